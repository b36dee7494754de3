//! pgbouncer in transaction mode between the daemon and PostgreSQL.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command},
};

use sexton::{
    Client, NewTask,
    store::{ConnectOptions, Store},
};

use super::{completed, count};
use crate::support::{Daemon, Database, Kind, Printed as _, block_on, eventually, sexton};

const PROGRAM: &str = "/usr/sbin/pgbouncer";

/// A pgbouncer in transaction mode, for the duration of a test.
struct Pgbouncer {
    child: Child,
    port: u16,
    // What it may read and write lies in a directory that its user may enter.
    _folder: tempfile::TempDir,
}

impl Pgbouncer {
    fn before(server_port: u16) -> Self {
        assert!(Path::new(PROGRAM).exists(), "pgbouncer is missing: apt-get install pgbouncer");
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let file = folder.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={server_port} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\ndefault_pool_size = 3\n\
             ignore_startup_parameters = extra_float_digits\n"
        );
        fs::write(&file, text).unwrap();
        let mut command = if nix::unistd::getuid().is_root() {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs::set_permissions(folder.path(), mode).unwrap();
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--", PROGRAM]);
            command
        } else {
            Command::new(PROGRAM)
        };
        Self { child: command.arg("-q").arg(&file).spawn().unwrap(), port, _folder: folder }
    }
}

impl Drop for Pgbouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn works_through_a_pooler(listens: bool, schema: Option<&str>) {
    let mut database = Database::new(Kind::Postgres).await;
    let schema_name = schema.map(|name| name.parse().unwrap());
    let options = ConnectOptions { schema: schema_name, ..database.options() };
    let store = Store::connect(&options).unwrap();
    store.migrate(&options).await.unwrap();
    let direct = database.url.clone();
    let mut through = url::Url::parse(&direct).unwrap();
    let pooler = Pgbouncer::before(through.port().unwrap());
    eventually("it listens", async || TcpStream::connect(("127.0.0.1", pooler.port)).is_ok()).await;
    through.set_port(Some(pooler.port)).unwrap();
    database.url = through.to_string();
    let settings = "heartbeat = \"500ms\"\nlease = \"5s\"\n[task.nothing]\nkind = \"noop\"\n[task.often]\nkind = \"noop\"\nschedule = { every = \"1s\" }";
    let file = database.config("n", settings);
    let mut more = if listens { format!("direct_url = \"{direct}\"\n") } else { String::new() };
    if let Some(schema) = schema {
        more.push_str(&format!("schema = \"{schema}\"\n"));
    }
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replacen("\n\n[daemon]", &format!("\npooler = \"transaction\"\n{more}\n[daemon]"), 1))
        .unwrap();
    let daemon = Daemon::start(&file, &["run"]);
    let client = Client::new(store.clone());
    for _ in 0..20 {
        client.enqueue_all(vec![NewTask::new("nothing"); 50]).await.unwrap();
    }
    let done = "COUNT(*) FROM sexton_history WHERE name = 'nothing' AND verdict = 'completed'";
    eventually("all are done", async || count(&store, done).await == 1_000).await;
    eventually("the schedule fires", async || completed(&store).await >= 1_003).await;
    let added = sexton(&file).args(["task", "add", "nothing"]).output().unwrap();
    assert!(added.status.success(), "{}", added.errors());
    eventually("that one, too", async || count(&store, done).await == 1_001).await;
    if listens {
        let listening = "COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'";
        eventually("it listens past the pooler", async || count(&store, listening).await == 1).await;
    }
    let log = daemon.stop();
    assert!(!log.contains("prepared statement") && !log.contains("is not available"), "{log}");
}

#[test]
fn a_pooler_in_transaction_mode_is_worked_through() {
    block_on(works_through_a_pooler(false, None));
}

#[test]
fn a_pooler_is_passed_by_to_listen() {
    block_on(works_through_a_pooler(true, None));
}

#[test]
fn behind_a_pooler_a_schema_is_set_in_each_transaction() {
    block_on(async {
        works_through_a_pooler(true, Some("chores")).await;
        works_through_a_pooler(false, Some("chores")).await;
    });
}
