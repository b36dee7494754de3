//! A wrong role, password or database is no outage at the start. It is one for a daemon that runs.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use sea_orm::ConnectionTrait as _;
use sexton::{Client, NewTask};

use super::completed;
use crate::support::{Daemon, Database, Kind, Printed, Proxy, block_on, eventually, sexton};

/// The URL with another user, or another database.
fn changed(url: &str, change: impl FnOnce(&mut url::Url)) -> String {
    let mut url = url::Url::parse(url).unwrap();
    change(&mut url);
    url.to_string()
}

async fn is_refused_at_the_start(kind: Kind) {
    let mut database = Database::new(kind).await;
    let sound = database.url.clone();
    let wrong = [
        changed(&sound, |url| url.set_username("nobody-of-that-name").unwrap()),
        changed(&sound, |url| url.set_path("no_such_database")),
    ];
    for url in wrong {
        database.url = url;
        let file = database.config("n", "");
        for line in ["run", "run --once", "start", "task list", "db migrate"] {
            let output = sexton(&file).args(line.split(' ')).output().unwrap();
            let told = output.errors();
            assert_eq!(output.status.code(), Some(78), "{line}: {}{told}", output.text());
            assert!(told.contains("the database cannot be used as configured: "), "{line}: {told}");
            assert!(told.contains("nobody-of-that-name") || told.contains("no_such_database"), "{line}: {told}");
        }
        let status = sexton(&file).arg("status").output().unwrap();
        assert_eq!(status.status.code(), Some(3), "nothing is left: {}", status.text());
    }
}

#[test]
fn postgres_refuses_at_the_start() {
    block_on(is_refused_at_the_start(Kind::Postgres));
}

#[test]
fn mariadb_refuses_at_the_start() {
    block_on(is_refused_at_the_start(Kind::MariaDb));
}

#[test]
fn mysql_refuses_at_the_start() {
    block_on(is_refused_at_the_start(Kind::MySql));
}

#[test]
fn a_restart_that_could_not_log_in_stops_nothing() {
    block_on(async {
        let mut database = Database::new(Kind::Postgres).await;
        let file = database.config("n", "");
        let call = |line: &str| sexton(&file).args(line.split(' ')).output().unwrap();
        assert_eq!(call("start").status.code(), Some(0));
        let pid = || call("status --json").json()["daemon"]["pid"].clone();
        let before = pid();
        let sound = std::fs::read_to_string(&file).unwrap();
        database.url = changed(&database.url, |url| url.set_username("nobody-of-that-name").unwrap());
        database.config("n", "");
        let restart = call("restart");
        assert_eq!(restart.status.code(), Some(78), "{}{}", restart.text(), restart.errors());
        assert!(restart.errors().contains("the daemon was not stopped"), "{}", restart.errors());
        std::fs::write(&file, sound).unwrap();
        assert_eq!(pid(), before);
        assert_eq!(call("stop").status.code(), Some(0));
    });
}

#[test]
fn a_file_that_is_no_database_is_refused_at_the_start() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        std::fs::write(database.folder.path().join("sexton.db"), "This is text, and no database at all.".repeat(99))
            .unwrap();
        let file = database.config("n", "");
        for line in ["run", "start", "task list"] {
            let output = sexton(&file).args(line.split(' ')).output().unwrap();
            assert_eq!(output.status.code(), Some(78), "{line}: {}{}", output.text(), output.errors());
            assert!(output.errors().contains("file is not a database"), "{line}: {}", output.errors());
        }
    });
}

/// An account of its own for the daemon: the statements that create it, close it, and open it again. The tests' own
/// account on MySQL may not grant, but may write the table of grants.
fn account(kind: Kind, name: &str, url: &str) -> [Vec<String>; 3] {
    let database = url.rsplit('/').next().unwrap();
    match kind {
        Kind::Postgres => [
            vec![format!("CREATE ROLE {name} LOGIN SUPERUSER PASSWORD 'one'")],
            vec![format!("ALTER ROLE {name} NOLOGIN")],
            vec![format!("ALTER ROLE {name} LOGIN")],
        ],
        _ => [
            vec![
                format!("CREATE USER {name} IDENTIFIED BY 'one'"),
                format!(
                    "INSERT INTO mysql.db (Host, Db, User, Select_priv, Insert_priv, Update_priv, Delete_priv, \
                     Create_priv, Alter_priv, Index_priv, Drop_priv) \
                     VALUES ('%', '{database}', '{name}', 'Y', 'Y', 'Y', 'Y', 'Y', 'Y', 'Y', 'Y')"
                ),
                "FLUSH PRIVILEGES".to_owned(),
            ],
            vec![format!("ALTER USER {name} IDENTIFIED BY 'two'")],
            vec![format!("ALTER USER {name} IDENTIFIED BY 'one'")],
        ],
    }
}

async fn survives_a_changed_password(kind: Kind) {
    let mut database = Database::new(kind).await;
    let store = database.store().await;
    let application = database.application().await;
    let name = format!("u{}", &uuid::Uuid::new_v4().simple().to_string()[..12]);
    let [create, close, open] = account(kind, &name, &database.url);
    for sql in &create {
        application.execute_unprepared(sql).await.unwrap();
    }
    let proxy = Proxy::to(&database.url);
    database.url = changed(&proxy.url, |url| {
        url.set_username(&name).unwrap();
        url.set_password(Some("one")).unwrap();
    });
    let file = database.config("n", "heartbeat = \"500ms\"\nlease = \"4s\"\n[task.nothing]\nkind = \"noop\"");
    // The tables are there. MySQL's lock for migrations is one for all databases of the server.
    let mut command = sexton(&file);
    command.arg("run").env("SEXTON__DATABASE__MIGRATE", "false");
    let daemon = Daemon::start_command(command, &file);
    for sql in &close {
        application.execute_unprepared(sql).await.unwrap();
    }
    proxy.cut();
    eventually("its sessions are gone", async || proxy.open() == 0).await;
    proxy.restore();
    // A module says it once a minute: on MySQL it may have said first that its session is gone.
    daemon.wait_for_log("trying again every second");
    eventually("the login is refused", async || {
        sexton(&file).args(["task", "list"]).output().unwrap().status.code() == Some(78)
    })
    .await;
    for sql in &open {
        application.execute_unprepared(sql).await.unwrap();
    }
    Client::new(store.clone()).enqueue(NewTask::new("nothing")).await.unwrap();
    eventually("it works again", async || completed(&store).await == 1).await;
    daemon.stop();
    let drop = if kind == Kind::Postgres { "ROLE" } else { "USER" };
    let _ = application.execute_unprepared(&format!("DROP {drop} {name}")).await;
}

#[test]
fn a_daemon_that_fails_meanwhile_is_restarted_and_waits() {
    block_on(async {
        let mut database = Database::new(Kind::Postgres).await;
        let application = database.application().await;
        let name = format!("u{}", &uuid::Uuid::new_v4().simple().to_string()[..12]);
        let [create, close, open] = account(Kind::Postgres, &name, &database.url);
        application.execute_unprepared(&create[0]).await.unwrap();
        database.url = changed(&database.url, |url| url.set_username(&name).unwrap());
        let file = database.config("n", "");
        let call = |line: &str| sexton(&file).args(line.split(' ')).output().unwrap();
        let started = call("start");
        assert!(started.status.success(), "{}", started.errors());
        let pid = call("status --json").json()["daemon"]["pid"].as_i64().unwrap();
        application.execute_unprepared(&close[0]).await.unwrap();
        kill(Pid::from_raw(pid as i32), Signal::SIGKILL).unwrap();
        let phase = || call("status --json").json()["daemon"]["phase"].clone();
        eventually("another one waits", async || phase() == "waiting_for_database").await;
        application.execute_unprepared(&open[0]).await.unwrap();
        eventually("it runs", async || phase() == "running").await;
        let stopped = call("stop");
        assert!(stopped.status.success(), "{}", stopped.errors());
    });
}

#[test]
fn a_service_manager_restarts_a_crashed_daemon_only_into_waiting() {
    block_on(async {
        let mut database = Database::new(Kind::Postgres).await;
        let application = database.application().await;
        let name = format!("u{}", &uuid::Uuid::new_v4().simple().to_string()[..12]);
        let [create, close, open] = account(Kind::Postgres, &name, &database.url);
        application.execute_unprepared(&create[0]).await.unwrap();
        database.url = changed(&database.url, |url| url.set_username(&name).unwrap());
        let file = database.config("n", "");
        let under_a_manager = || {
            let mut command = sexton(&file);
            command.arg("run").env("NOTIFY_SOCKET", "@nobody-listens-there");
            command
        };
        let mut daemon = Daemon::start_command(under_a_manager(), &file);
        application.execute_unprepared(&close[0]).await.unwrap();
        daemon.kill();
        let daemon = Daemon::spawn_command(under_a_manager(), &file);
        daemon.wait_for_log("the database cannot be used as configured: ");
        daemon.wait_for_log("trying again every second");
        application.execute_unprepared(&open[0]).await.unwrap();
        daemon.wait_for_log(" runs on ");
        assert!(daemon.stop().contains("the database answers: the start waited for it for "));
        // A start by hand.
        application.execute_unprepared(&close[0]).await.unwrap();
        assert_eq!(under_a_manager().output().unwrap().status.code(), Some(78));
    });
}

#[test]
fn a_role_of_postgres_that_is_closed_for_a_while_is_an_outage() {
    block_on(survives_a_changed_password(Kind::Postgres));
}

#[test]
fn a_password_of_mariadb_that_changes_is_an_outage() {
    block_on(survives_a_changed_password(Kind::MariaDb));
}

#[test]
fn a_password_of_mysql_that_changes_is_an_outage() {
    block_on(survives_a_changed_password(Kind::MySql));
}
