//! Outages longer than the lease: nobody's work is lost or repeated by the outage itself, and what must never run twice
//! at once does not, whichever node is cut off.

use std::path::Path;

use nix::sys::signal::Signal;
use sea_orm::ConnectionTrait as _;
use sexton::{Client, NewTask, store::Store};
use sexton_entities::states::{Outcome, Verdict};

use super::{completed, count, history};
use crate::support::{Daemon, Database, Inside, Kind, Proxy, block_on, blueprint, eventually, on_each_database};

/// The settings of every node, then its tasks. The text of `script` goes on after the attempt has noted its begin, and
/// whether an earlier attempt was still alive then.
fn settings(folder: &Path, script: &str, more: &str) -> String {
    let folder = folder.display();
    format!(
        "heartbeat = \"500ms\"\nlease = \"6s\"\n[queue.serial]\nworkers = 2\nlimit = 1\n\
         [task.it]\nkill_after = \"1s\"\n{more}\ncommand = [\"sh\", \"-c\", '''\n\
         if [ -e {folder}/pid ] && kill -0 $(cat {folder}/pid) 2>/dev/null; then echo overlap >> {folder}/marks; fi\n\
         echo $$ > {folder}/pid; echo begin >> {folder}/marks\n{script}''']\n"
    )
}

/// Waits for the file `go`, in the first attempt only.
fn until_told(folder: &Path) -> String {
    only_first(folder, &format!("while [ ! -e {}/go ]; do sleep 0.05; done", folder.display()))
}

/// The script in the first attempt, nothing in later ones.
fn only_first(folder: &Path, script: &str) -> String {
    format!("test $(grep -c begin {}/marks) -gt 1 || {{ {script}; }}", folder.display())
}

fn marks(folder: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join("marks")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// A daemon behind a proxy, with a directory of its own.
fn through(database: &Database, proxy: &Proxy, name: &str, settings: &str) -> Daemon {
    let file = database.config(name, settings);
    let text = std::fs::read_to_string(&file).unwrap().replace(&database.url, &proxy.url);
    std::fs::write(&file, text).unwrap();
    Daemon::start(&file, &["run"])
}

async fn enqueue(store: &Store, task: NewTask) {
    Client::new(store.clone()).enqueue(task).await.unwrap();
}

async fn begun(folder: &Path, times: usize) {
    eventually("it has begun", async || marks(folder).len() >= times).await;
}

/// Waits until that node has seen that many others at a heartbeat, which are all that there are.
async fn nodes_know_each_other(store: &Store, nodes: i64) {
    eventually("all nodes are registered", async || count(store, "COUNT(*) FROM sexton_node").await == nodes).await;
    let first: String = heartbeats(store).await;
    // Two further heartbeats of each: the second one began after all were registered.
    for _ in 0..2 {
        let before = heartbeats(store).await;
        eventually("each has sent a heartbeat", async || differ(&before, &heartbeats(store).await)).await;
    }
    assert!(differ(&first, &heartbeats(store).await));
}

/// The instants of the last heartbeats, by node.
async fn heartbeats(store: &Store) -> String {
    let mut nodes = store.nodes().await.unwrap();
    nodes.sort_by(|one, other| one.id.cmp(&other.id));
    nodes.iter().map(|node| format!("{}\n", node.heartbeat_at)).collect()
}

/// Whether each line differs.
fn differ(one: &str, other: &str) -> bool {
    one.lines().zip(other.lines()).all(|(one, other)| one != other)
}

fn only(rows: &[history::Model], outcome: Outcome) -> &history::Model {
    let found: Vec<_> = rows.iter().filter(|row| row.outcome == outcome).collect();
    assert_eq!(found.len(), 1, "one row as {outcome}: {rows:#?}");
    found[0]
}

fn newest_fence(rows: &[history::Model]) -> Option<i64> {
    rows.iter().map(|row| row.fence).max()
}

/// A node that is alone finishes everything, and what it finishes counts.
async fn alone(kind: Kind) {
    let database = Database::new(kind).await;
    let store = database.store().await;
    let (folder, proxy) = (tempfile::tempdir().unwrap(), Proxy::to(&database.url));
    let (folder, more) = (folder.path(), "queue = \"serial\"\n");
    let short = "[task.short]\ncommand = [\"sleep\", \"1\"]";
    let settings = format!("{}{short}", settings(folder, &until_told(folder), more));
    let daemon = through(&database, &proxy, "n", &settings);
    enqueue(&store, NewTask::new("it").queue("serial")).await;
    Client::new(store.clone()).enqueue_all(vec![NewTask::new("short"); 5]).await.unwrap();
    begun(folder, 1).await;
    eventually("all run", async || count(&store, "COUNT(*) FROM sexton_task WHERE state = 'running'").await == 6).await;
    proxy.cut();
    daemon.wait_for_log("there was no other node, so all work goes on");
    proxy.restore();
    daemon.wait_for_log("the lease is kept again");
    std::fs::write(folder.join("go"), "").unwrap();
    eventually("all is on record", async || completed(&store).await == 6).await;
    let rows = history(&store).await;
    assert!(rows.len() == 6 && rows.iter().all(|row| row.verdict == Some(Verdict::Completed)), "{rows:#?}");
    assert_eq!(marks(folder), ["begin"]);
    let log = daemon.stop();
    assert!(!log.contains("stopping 1"), "{log}");
}

/// The work of the first node goes on when the database is back.
async fn together(kind: Kind) {
    outage_of_both(kind, false).await;
}

/// The work of the first node ends during the outage, and waits in its spool.
async fn together_with_a_spool(kind: Kind) {
    outage_of_both(kind, true).await;
}

/// Both nodes lose the database for longer than the lease. The one that comes back first leaves the other's tasks to it.
async fn outage_of_both(kind: Kind, ends_meanwhile: bool) {
    let database = Database::new(kind).await;
    let store = database.store().await;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let proxies = [(); 2].map(|()| Proxy::to(&database.url));
    let settings = settings(folder, &until_told(folder), "");
    let first = through(&database, &proxies[0], "first", &settings);
    enqueue(&store, NewTask::new("it")).await;
    begun(folder, 1).await;
    let second = through(&database, &proxies[1], "second", &settings);
    nodes_know_each_other(&store, 2).await;
    for proxy in &proxies {
        proxy.cut();
    }
    for daemon in [&first, &second] {
        daemon.wait_for_log("other nodes may take the tasks");
    }
    if ends_meanwhile {
        std::fs::write(folder.join("go"), "").unwrap();
        first.wait_for_log("it ended well in");
    }
    proxies[1].restore();
    second.wait_for_log("for the node to come back before its tasks are released");
    proxies[0].restore();
    first.wait_for_log("the lease is kept again");
    // Longer than the other one waits.
    let before = heartbeats(&store).await;
    let ends = std::time::Instant::now() + std::time::Duration::from_secs(7);
    eventually("a lease is over", async || std::time::Instant::now() > ends).await;
    assert!(differ(&before, &heartbeats(&store).await));
    std::fs::write(folder.join("go"), "").unwrap();
    eventually("it is on record", async || completed(&store).await == 1).await;
    assert_eq!(history(&store).await.len(), 1);
    assert_eq!(marks(folder), ["begin"]);
    first.stop();
    second.stop();
}

/// One node is cut off while it runs what must never run twice at once, and what it runs ignores TERM.
async fn exclusive_work_does_not_overlap(kind: Kind) {
    let database = Database::new(kind).await;
    let store = database.store().await;
    let folder = tempfile::tempdir().unwrap();
    let (folder, proxy) = (folder.path(), Proxy::to(&database.url));
    let script = only_first(folder, "trap '' TERM; while :; do sleep 0.05; done");
    let settings = settings(folder, &script, "queue = \"serial\"\n");
    let first = through(&database, &proxy, "first", &settings);
    enqueue(&store, NewTask::new("it").queue("serial")).await;
    begun(folder, 1).await;
    let second = database.daemon("second", &settings);
    nodes_know_each_other(&store, 2).await;
    proxy.cut();
    eventually("the other node has done it", async || completed(&store).await == 1).await;
    assert_eq!(marks(folder), ["begin", "begin"]);
    first.wait_for_log("stopping 1 running attempt, because another node may take the same work then");
    first.wait_for_log("it interrupted after");
    assert!(first.log().contains("the lease could not be kept: killed by SIGKILL"), "{}", first.log());
    proxy.restore();
    first.wait_for_log("the lease is kept again");
    first.stop();
    second.stop();
    let rows = history(&store).await;
    assert!(rows.len() == 2 && Some(only(&rows, Outcome::Succeeded).fence) == newest_fence(&rows), "{rows:#?}");
}

/// A node freezes, or dies: its shepherds keep the rule without it.
async fn exclusive_work_does_not_overlap_without_its_daemon(kind: Kind) {
    for dies in [false, true] {
        let database = Database::new(kind).await;
        let store = database.store().await;
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let script = only_first(folder, "trap '' TERM; while :; do sleep 0.05; done");
        let settings = settings(folder, &script, "queue = \"serial\"\n");
        let mut first = database.daemon("first", &settings);
        enqueue(&store, NewTask::new("it").queue("serial")).await;
        begun(folder, 1).await;
        let second = database.daemon("second", &settings);
        nodes_know_each_other(&store, 2).await;
        match dies {
            true => first.kill(),
            false => first.signal(Signal::SIGSTOP),
        }
        eventually("the other node has done it", async || completed(&store).await == 1).await;
        assert_eq!(marks(folder), ["begin", "begin"], "dies: {dies}");
        if !dies {
            first.signal(Signal::SIGCONT);
            first.wait_for_log("the lease is kept again");
            let log = first.stop();
            assert!(!log.contains("it succeeded") && !log.contains("ended well"), "{log}");
        }
        second.stop();
        let rows = history(&store).await;
        assert!(rows.len() == 2 && Some(only(&rows, Outcome::Succeeded).fence) == newest_fence(&rows), "{rows:#?}");
    }
}

/// The same while the database is away for both: nobody takes it, and history has the true reason.
async fn exclusive_work_stops_on_record(kind: Kind) {
    let database = Database::new(kind).await;
    let store = database.store().await;
    let folder = tempfile::tempdir().unwrap();
    let (folder, proxy) = (folder.path(), Proxy::to(&database.url));
    let settings = settings(folder, &until_told(folder), "max_parallel = 1\n");
    let nodes = ["first", "second"].map(|name| through(&database, &proxy, name, &settings));
    nodes_know_each_other(&store, 2).await;
    enqueue(&store, NewTask::new("it")).await;
    begun(folder, 1).await;
    proxy.stall();
    for daemon in &nodes {
        daemon.wait_for_log("other nodes may take the tasks");
    }
    proxy.restore();
    eventually("the next attempt has done it", async || completed(&store).await == 1).await;
    assert_eq!(marks(folder), ["begin", "begin"]);
    for daemon in nodes {
        daemon.stop();
    }
    let rows = history(&store).await;
    let stopped = only(&rows, Outcome::Interrupted);
    assert_eq!(stopped.error.as_deref(), Some("the lease could not be kept: killed by SIGTERM"), "{rows:#?}");
    assert_eq!((stopped.verdict, rows.len()), (Some(Verdict::Released), 2));
}

/// One node is cut off while it runs what may run twice: the other one takes it, and the first learns so.
async fn what_others_were_given_is_stopped(kind: Kind) {
    let database = Database::new(kind).await;
    let store = database.store().await;
    let folder = tempfile::tempdir().unwrap();
    let (folder, proxy) = (folder.path(), Proxy::to(&database.url));
    let settings = settings(folder, &until_told(folder), "");
    let first = through(&database, &proxy, "first", &settings);
    enqueue(&store, NewTask::new("it")).await;
    begun(folder, 1).await;
    let second = database.daemon("second", &settings);
    nodes_know_each_other(&store, 2).await;
    proxy.cut();
    eventually("the other node has done it", async || completed(&store).await == 1).await;
    proxy.restore();
    first.wait_for_log("other nodes were given tasks of this node while it had no lease: stopping 1 running attempt");
    let superseded = format!("COUNT(*) FROM sexton_history WHERE outcome = '{}'", Outcome::Superseded);
    eventually("the late end is on record", async || count(&store, &superseded).await == 1).await;
    let log = first.stop();
    assert!(
        log.contains("it superseded after") && !log.contains("it succeeded") && !log.contains("ended well"),
        "{log}"
    );
    second.stop();
    let rows = history(&store).await;
    let late = only(&rows, Outcome::Superseded);
    assert_eq!(late.error.as_deref(), Some("another node has the task: killed by SIGTERM"));
    assert!(late.fence < only(&rows, Outcome::Succeeded).fence, "{rows:#?}");
}

macro_rules! on_servers {
    ($($name:ident)+) => {
        $(mod $name {
            use super::{Kind, block_on};

            #[test]
            fn on_postgres() {
                block_on(super::$name(Kind::Postgres));
            }

            #[test]
            fn on_mariadb() {
                block_on(super::$name(Kind::MariaDb));
            }

            #[test]
            fn on_mysql() {
                block_on(super::$name(Kind::MySql));
            }
        })+
    };
}

on_servers! {
    alone
    together
    together_with_a_spool
    exclusive_work_does_not_overlap
    exclusive_work_does_not_overlap_without_its_daemon
    exclusive_work_stops_on_record
    what_others_were_given_is_stopped
}

on_each_database! {
    async fn a_machine_that_is_too_slow_for_its_lease_repeats_nothing(database: Database) {
        let store = database.store().await;
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let settings = settings(folder, &until_told(folder), "").replace("6s", "1s");
        let mut daemons = vec![database.daemon("first", &settings)];
        enqueue(&store, NewTask::new("it")).await;
        begun(folder, 1).await;
        // A daemon that was killed still has its lease when the next one starts, which is not alone then.
        daemons[0].kill();
        daemons.push(database.daemon("first", &settings));
        daemons[1].wait_for_log("adopting the command of it");
        daemons[1].signal(Signal::SIGSTOP);
        eventually("every lease is over", async || {
            let now = store.now().await.unwrap();
            store.nodes().await.unwrap().iter().all(|node| node.lease_expires_at < now)
        })
        .await;
        daemons[1].signal(Signal::SIGCONT);
        daemons[1].wait_for_log("the lease is kept again");
        daemons[1].kill();
        daemons.push(database.daemon("first", &settings));
        daemons[2].wait_for_log("adopting the command of it");
        std::fs::write(folder.join("go"), "").unwrap();
        eventually("it is on record", async || completed(&store).await == 1).await;
        assert_eq!((history(&store).await.len(), marks(folder)), (1, vec!["begin".to_owned()]));
        daemons.remove(2).stop();
    }

    async fn tasks_that_never_began_leave_no_rows(database: Database) {
        let store = database.store().await;
        let inside = Inside::start(blueprint(&database));
        let (node, in_flight) = (inside.daemon.identity.id.clone(), inside.daemon.in_flight.clone());
        eventually("it has a lease", async || inside.daemon.lease.grant().is_some()).await;
        in_flight.set_quiet(true);
        // The daemon's first claim may still be on its way, and would take some of them.
        eventually("it claims nothing any more", async || !in_flight.is_claiming()).await;
        let tasks = vec![NewTask::new("nothing").queue("default"); 5];
        store.enqueue_all(store.connection(), &tasks).await.unwrap();
        // As if the answer to the claim had been lost.
        let mut claimed = 0;
        eventually("all are claimed", async || {
            claimed += store.claim(&node, &"default".into(), 5).await.unwrap().tasks.len();
            claimed == 5
        })
        .await;
        in_flight.release_lost(&store, std::time::Duration::ZERO).await.unwrap();
        assert_eq!(count(&store, "COUNT(*) FROM sexton_task WHERE state = 'available' AND attempt = 0").await, 5);
        assert!(history(&store).await.is_empty());
        in_flight.set_quiet(false);
        eventually("all are done", async || completed(&store).await == 5).await;
        let rows = history(&store).await;
        assert!(rows.len() == 5 && rows.iter().all(|row| row.attempt == 1), "{rows:#?}");
        assert_eq!(inside.stop(), 0);
    }
}

#[test]
fn another_writer_of_the_file_ends_no_work() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let store = database.store().await;
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let settings = settings(folder, &until_told(folder), "max_parallel = 1\n").replace("6s", "2s");
        let daemon = database.daemon("n", &settings);
        enqueue(&store, NewTask::new("it")).await;
        begun(folder, 1).await;
        let writer = database.application().await;
        writer.execute_unprepared("BEGIN IMMEDIATE").await.unwrap();
        daemon.wait_for_log("there was no other node, so all work goes on");
        writer.execute_unprepared("COMMIT").await.unwrap();
        daemon.wait_for_log("the lease is kept again");
        std::fs::write(folder.join("go"), "").unwrap();
        eventually("it is on record", async || completed(&store).await == 1).await;
        assert_eq!((history(&store).await.len(), marks(folder)), (1, vec!["begin".to_owned()]));
        daemon.stop();
    });
}
