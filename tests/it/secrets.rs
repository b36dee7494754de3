//! Passwords are never shown, whatever is requested and however it fails.

use std::{fs, path::Path, process::Command};

use crate::support::{Daemon, Database, Kind, block_on, eventually, sexton};

const SECRET: &str = "s3cr3t-pw";
/// Everything is logged, including the libraries' events.
const EVERYTHING: &str = "trace,sexton=trace";

/// The output and the errors of a command.
fn said(mut command: Command) -> String {
    let output = command.output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// The content of all files below a directory except the configuration.
fn files_below(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else if path.is_file() && path.file_name().unwrap() != "sexton.toml" {
            found.push((path.display().to_string(), String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned()));
        }
    }
    found
}

fn assert_hidden(what: &str, text: &str) {
    let line = text.lines().find(|line| line.contains(SECRET));
    assert!(line.is_none(), "{what}: {}", line.unwrap_or_default());
}

/// Runs everything that reads or uses the URL. `told` is the message of the commands that need the database.
async fn is_hidden(url: &str, told: &str) {
    let mut database = Database::new(Kind::Sqlite).await;
    database.url = url.to_owned();
    let file = database.config("n", "[database.x]\n");
    let mistaken = said({
        let mut command = sexton(&file);
        command.args(["config", "check", "--log", EVERYTHING]);
        command
    });
    assert!(mistaken.contains("database.x"), "{mistaken}");
    assert_hidden("a mistake", &mistaken);
    let file = database.config("n", "");
    for arguments in [
        ["config", "show"],
        ["config", "check"],
        ["db", "status"],
        ["db", "migrate"],
        ["task", "list"],
        ["node", "list"],
    ] {
        for filter in [EVERYTHING, "trace"] {
            for json in [None, Some("--json")] {
                let mut command = sexton(&file);
                command.args(arguments).args(["--log", filter]).args(json);
                let text = said(command);
                let what = format!("{url}: {arguments:?} --log {filter} {json:?}");
                if arguments[0] == "config" {
                    assert!(!text.is_empty(), "{what}");
                } else {
                    assert!(text.contains(told), "{what} says: {text}");
                }
                assert_hidden(&what, &text);
            }
        }
    }
}

/// A daemon during an outage, with its log on standard error and in files, as text and as JSON.
async fn is_hidden_while_it_runs(url: &str, told: &str) {
    for format in ["text", "json"] {
        for target in [None, Some("--log-files")] {
            let mut database = Database::new(Kind::Sqlite).await;
            database.url = url.to_owned();
            let file = database.config("n", &format!("[log]\nformat = \"{format}\""));
            let arguments: Vec<&str> = ["run", "--debug", "--log", EVERYTHING].into_iter().chain(target).collect();
            let mut daemon = Daemon::spawn(&file, &arguments);
            let folder = database.folder.path();
            let all = || files_below(folder);
            eventually("the outage is logged", async || all().iter().any(|(_, text)| text.contains(told))).await;
            daemon.kill();
            let shown = url.replace(SECRET, "***");
            assert!(all().iter().any(|(_, text)| text.contains(&shown)), "it says which database: {shown}");
            for (path, text) in all() {
                assert_hidden(&format!("{url}: run {target:?}, {path}"), &text);
            }
        }
    }
}

const AWAY: &str = "the database is not available";
const REFUSED: &str = "the database cannot be used as configured";

#[test]
fn with_postgres_out_of_reach() {
    block_on(async {
        let url = format!("postgres://u:{SECRET}@127.0.0.1:1/db");
        is_hidden(&url, AWAY).await;
        is_hidden_while_it_runs(&url, AWAY).await;
    });
}

#[test]
fn with_mysql_out_of_reach() {
    block_on(async {
        let url = format!("mysql://u:{SECRET}@127.0.0.1:1/db");
        is_hidden(&url, AWAY).await;
        is_hidden_while_it_runs(&url, AWAY).await;
    });
}

#[test]
fn with_a_host_that_does_not_exist() {
    block_on(async {
        is_hidden(&format!("postgres://u:{SECRET}@no-such-host.invalid/db"), AWAY).await;
        is_hidden(&format!("mysql://u:{SECRET}@no-such-host.invalid/db"), AWAY).await;
    });
}

#[test]
fn with_invalid_urls() {
    block_on(async {
        for url in [
            format!("postgres://u:{SECRET}@127.0.0.1:port/db"),
            format!("mysql://u:{SECRET}@127.0.0.1:99999/db"),
            format!("postgres://u:{SECRET}@[::1/db"),
            format!("postgres://u:{SECRET}@127.0.0.1:1/db?password={SECRET}&sslmode=wrong"),
            format!("oracle://u:{SECRET}@127.0.0.1:1/db"),
            format!("u:{SECRET}@127.0.0.1/db"),
            format!("{SECRET}@127.0.0.1/db"),
            format!("mysql:u:{SECRET}@127.0.0.1/db"),
            format!("postgres://u:12/{SECRET}@127.0.0.1/db"),
        ] {
            is_hidden(&url, "database").await;
            let database = Database { url: url.clone(), ..Database::new(Kind::Sqlite).await };
            let file = database.config("n", "");
            let mut daemon = Daemon::spawn(&file, &["run", "--log", EVERYTHING]);
            // Some of them are refused, others look like an outage.
            daemon.wait_for_log("database");
            daemon.kill();
            assert_hidden(&url, &daemon.log());
        }
    });
}

#[test]
fn with_the_url_in_a_wrong_setting() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sexton.toml");
    fs::write(&file, format!("[database]\nurl_file = \"mysql://u:{SECRET}@h/db\"\n")).unwrap();
    for json in [None, Some("--json")] {
        let mut command = sexton(&file);
        command.args(["config", "check"]).args(json);
        let text = said(command);
        assert!(text.contains("cannot read mysql://u:***@h/db"), "{text}");
        assert_hidden("url_file", &text);
    }
}

/// The test servers accept every valid user; these connections use an unneeded or a wrong password.
async fn with_a_real_server(kind: Kind) {
    let database = Database::new(kind).await;
    let mut address = url::Url::parse(&database.url).unwrap();
    address.set_password(Some(SECRET)).unwrap();
    if kind == Kind::Postgres {
        is_hidden(address.as_str(), "").await;
        let database = Database { url: address.to_string(), ..database };
        let file = database.config("n", "[log]\nformat = \"json\"");
        let daemon = Daemon::start(&file, &["run", "--log", EVERYTHING]);
        let log = daemon.stop();
        assert!(log.contains("\"target\":\"mio"), "libraries are heard: {log}");
        assert_hidden("a daemon that is up", &log);
    }
    address.set_username("nobody-of-that-name").unwrap();
    is_hidden(address.as_str(), REFUSED).await;
    is_hidden_while_it_runs(address.as_str(), REFUSED).await;
}

#[test]
fn with_postgres() {
    block_on(with_a_real_server(Kind::Postgres));
}

#[test]
fn with_mariadb() {
    block_on(with_a_real_server(Kind::MariaDb));
}

#[test]
fn with_mysql() {
    block_on(with_a_real_server(Kind::MySql));
}
