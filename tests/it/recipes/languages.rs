//! Each language on the databases that its page names as tested.

use std::process::Command;

use super::shop::{Recipe, try_out};
use crate::support::{Kind, block_on};

/// The interpreter of the system: the drivers are packages of Debian, which another installation would not find.
const PYTHON: Recipe = Recipe {
    page: "python",
    probe: &["/usr/bin/python3", "-c", "import psycopg2, pymysql, sqlite3"],
    packages: "python3-psycopg2 python3-pymysql",
    compile: &[],
    enqueue: ("python enqueue.py", &["/usr/bin/python3", "enqueue.py"]),
    worker: ("python worker.py", &["/usr/bin/python3", "worker.py"]),
};

const PHP: Recipe = Recipe {
    page: "php",
    probe: &[
        "php",
        "-r",
        "exit(count(array_intersect(PDO::getAvailableDrivers(), ['pgsql', 'mysql', 'sqlite'])) - 3);",
    ],
    packages: "php-cli php-pgsql php-mysql php-sqlite3",
    compile: &[],
    enqueue: ("php enqueue.php", &["php", "enqueue.php"]),
    worker: ("php worker.php", &["php", "worker.php"]),
};

const NODE: Recipe = Recipe {
    page: "nodejs",
    probe: &["node", "-e", "require('pg')"],
    packages: "nodejs node-pg",
    compile: &[],
    enqueue: ("javascript enqueue.js", &["node", "enqueue.js"]),
    worker: ("javascript worker.js", &["node", "worker.js"]),
};

const RUBY: Recipe = Recipe {
    page: "ruby",
    probe: &["ruby", "-e", "require 'pg'; require 'mysql2'; require 'json'"],
    packages: "ruby ruby-pg ruby-mysql2",
    compile: &[],
    enqueue: ("ruby enqueue.rb", &["ruby", "enqueue.rb"]),
    worker: ("ruby worker.rb", &["ruby", "worker.rb"]),
};

const GO: Recipe = Recipe {
    page: "go",
    probe: &["go", "list", "github.com/lib/pq"],
    packages: "golang-go golang-github-lib-pq-dev",
    compile: &[&["go", "build", "enqueue.go"], &["go", "build", "worker.go"]],
    enqueue: ("go enqueue.go", &["./enqueue"]),
    worker: ("go worker.go", &["./worker"]),
};

const JAVA: Recipe = Recipe {
    page: "java",
    probe: &["sh", "-c", "javac -version && ls /usr/share/java/postgresql.jar /usr/share/java/gson.jar"],
    packages: "default-jdk-headless libpostgresql-jdbc-java libgoogle-gson-java",
    compile: &[&["javac", "-cp", "/usr/share/java/gson.jar", "Enqueue.java", "Worker.java"]],
    enqueue: (
        "java Enqueue.java",
        &["java", "-cp", "/usr/share/java/postgresql.jar:/usr/share/java/gson.jar:.", "Enqueue"],
    ),
    worker: ("java Worker.java", &["java", "-cp", "/usr/share/java/gson.jar:.", "Worker"]),
};

const SHELL: Recipe = Recipe {
    page: "shell",
    probe: &["sh", "-c", "psql --version && sqlite3 --version && jq --version"],
    packages: "postgresql-client sqlite3 jq",
    compile: &[],
    enqueue: ("sh enqueue.sh", &["sh", "enqueue.sh"]),
    worker: ("sh worker.sh", &["sh", "worker.sh"]),
};

#[test]
fn python_on_postgres() {
    block_on(try_out(Kind::Postgres, PYTHON));
}

#[test]
fn python_on_mariadb() {
    let enqueue: (_, &[_]) = ("python enqueue_mysql.py", &["/usr/bin/python3", "enqueue_mysql.py"]);
    block_on(try_out(Kind::MariaDb, Recipe { enqueue, ..PYTHON }));
}

#[test]
fn python_on_sqlite() {
    let enqueue: (_, &[_]) = ("python enqueue_sqlite.py", &["/usr/bin/python3", "enqueue_sqlite.py"]);
    block_on(try_out(Kind::Sqlite, Recipe { enqueue, ..PYTHON }));
}

#[test]
fn php_on_postgres() {
    block_on(try_out(Kind::Postgres, PHP));
}

#[test]
fn php_on_mariadb() {
    block_on(try_out(Kind::MariaDb, PHP));
}

#[test]
fn php_on_mysql() {
    block_on(try_out(Kind::MySql, PHP));
}

#[test]
fn php_on_sqlite() {
    block_on(try_out(Kind::Sqlite, PHP));
}

#[test]
fn nodejs_on_postgres() {
    block_on(try_out(Kind::Postgres, NODE));
}

#[test]
fn ruby_on_postgres() {
    block_on(try_out(Kind::Postgres, RUBY));
}

#[test]
fn ruby_on_mysql() {
    let enqueue: (_, &[_]) = ("ruby enqueue_mysql.rb", &["ruby", "enqueue_mysql.rb"]);
    block_on(try_out(Kind::MySql, Recipe { enqueue, ..RUBY }));
}

#[test]
fn go_on_postgres() {
    block_on(try_out(Kind::Postgres, GO));
}

#[test]
fn java_on_postgres() {
    block_on(try_out(Kind::Postgres, JAVA));
}

#[test]
fn shell_on_postgres() {
    block_on(try_out(Kind::Postgres, SHELL));
}

#[test]
fn shell_on_sqlite() {
    let enqueue: (_, &[_]) = ("sh enqueue_sqlite.sh", &["sh", "enqueue_sqlite.sh"]);
    block_on(try_out(Kind::Sqlite, Recipe { enqueue, ..SHELL }));
}

#[test]
fn a_missing_interpreter_is_named_with_the_way_to_install_it() {
    let recipe = Recipe { probe: &["no-such-interpreter"], packages: "no-such-package", ..SHELL };
    let found = recipe.missing(&mut Command::new("no-such-interpreter")).unwrap();
    assert!(found.contains("tests/run installs it") && found.contains("apt-get install no-such-package"), "{found}");
}
