//! Wake-ups: polling is set so slow here that a task which is done was told of.

use std::time::Duration;

use sea_orm::ConnectionTrait;
use sexton::{Client, Enqueued, NewTask, sqlx, store::Wakeup};

use super::completed;
use crate::support::{Database, Kind, PATIENCE, Printed as _, block_on, eventually, on_each_database, sexton};

const SETTINGS: &str = "poll_interval = \"10m\"\n[task.nothing]\nkind = \"noop\"";

/// A daemon that rests, having done one task, and what enqueues another one.
async fn rested(database: &Database, settings: &str) -> crate::support::Daemon {
    let store = database.store().await;
    Client::new(store.clone()).enqueue(NewTask::new("nothing")).await.unwrap();
    let daemon = database.daemon("n", settings);
    eventually("what was there at the start is done", async || completed(&store).await == 1).await;
    daemon
}

#[test]
fn a_client_tells_over_postgres() {
    block_on(async {
        let database = Database::new(Kind::Postgres).await;
        let daemon = rested(&database, SETTINGS).await;
        let store = database.bare_store();
        let client = Client::connect(&database.url).unwrap();
        for number in 2..6 {
            client.enqueue(NewTask::new("nothing")).await.unwrap();
            eventually("it is done", async || completed(&store).await == number).await;
        }
        client.enqueue(NewTask::new("nothing").delay(Duration::from_millis(300))).await.unwrap();
        eventually("a future one is done", async || completed(&store).await == 6).await;
        daemon.stop();
    });
}

#[test]
fn on_postgres_the_first_enqueue_after_a_pause_is_one_statement() {
    block_on(async {
        let database = Database::new(Kind::Postgres).await;
        database.store().await;
        let mut listener = sqlx::postgres::PgListener::connect(&database.url).await.unwrap();
        listener.listen("sexton_wakeup").await.unwrap();
        let client = Client::connect(&database.url).unwrap();
        client.check().await.unwrap();
        let sent = client.store().statements();
        client.enqueue(NewTask::new("nothing").unique_key("k")).await.unwrap();
        assert_eq!(listener.recv().await.unwrap().payload(), "now");
        assert_eq!(client.store().statements() - sent, 1, "the enqueue itself has sent it");
        client.enqueue(NewTask::new("nothing").delay(Duration::from_secs(60))).await.unwrap();
        assert_eq!(listener.recv().await.unwrap().payload(), "later");
    });
}

#[test]
fn a_task_is_enqueued_although_the_message_is_refused() {
    block_on(async {
        let database = Database::new(Kind::Postgres).await;
        let store = database.store().await;
        let owner = database.application().await;
        owner.execute_unprepared("REVOKE EXECUTE ON FUNCTION pg_notify(text, text) FROM PUBLIC").await.unwrap();
        let role = crate::support::Role::new(&database).await;
        role.grant("GRANT INSERT ON sexton_task TO shop_app").await;
        let enqueue = async |url: &str| {
            let client = Client::connect(url).unwrap();
            client.enqueue(NewTask::new("nothing").unique_key("k")).await.unwrap()
        };
        let enqueued = enqueue(role.url.as_str()).await;
        assert!(matches!(enqueued, Enqueued::New(_)), "{enqueued:?}");
        assert_eq!(enqueue(&database.url).await, Enqueued::AlreadyThere(enqueued.id()));
        assert_eq!(super::count(&store, "COUNT(*) FROM sexton_task").await, 1);
    });
}

#[test]
fn postgres_tells_of_a_plain_insert_if_it_is_to() {
    block_on(async {
        let database = Database::new(Kind::Postgres).await;
        let store = database.store().await;
        let file = database.config("n", SETTINGS);
        let text = std::fs::read_to_string(&file).unwrap().replace("[daemon]", "notify_on_insert = true\n[daemon]");
        std::fs::write(&file, text).unwrap();
        let daemon = crate::support::Daemon::start(&file, &["run"]);
        let application = database.application().await;
        for number in 1..4 {
            application.execute_unprepared("INSERT INTO sexton_task (name) VALUES ('nothing')").await.unwrap();
            eventually("it is done", async || completed(&store).await == number).await;
        }
        daemon.stop();
        let sql = "COUNT(*) FROM pg_trigger WHERE tgname IN ('sexton_task_wakeup', 'sexton_event_wakeup')";
        assert_eq!(super::count(&store, sql).await, 2, "of tasks and of events");
        let daemon = database.daemon("n", SETTINGS);
        assert_eq!(super::count(&store, sql).await, 0, "the setting is gone, and so are the triggers");
        daemon.stop();
    });
}

/// How many nodes say where they hear datagrams.
async fn reachable(store: &sexton::store::Store) -> i64 {
    super::count(store, "COUNT(*) FROM sexton_node WHERE wakeup IS NOT NULL").await
}

async fn a_client_and_the_command_line_send_datagrams(kind: Kind) {
    let database = Database::new(kind).await;
    let store = database.store().await;
    let file = database.config("n", SETTINGS);
    let daemon = crate::support::Daemon::start(&file, &["run"]);
    Client::new(store.clone()).enqueue(NewTask::new("nothing")).await.unwrap();
    eventually("the node says where it hears", async || reachable(&store).await == 1).await;
    let client = Client::connect(&database.url).unwrap();
    client.wake_up_now(Wakeup::Now).await.unwrap();
    eventually("what was there at the start is done", async || completed(&store).await == 1).await;
    for number in 2..5 {
        client.enqueue(NewTask::new("nothing")).await.unwrap();
        eventually("it is done", async || completed(&store).await == number).await;
    }
    client.enqueue(NewTask::new("nothing").delay(Duration::from_millis(300))).await.unwrap();
    eventually("a future one is done", async || completed(&store).await == 5).await;
    let added = sexton(&file).args(["task", "add", "nothing"]).output().unwrap();
    assert!(added.status.success(), "{}", added.errors());
    eventually("the one of the command line is done", async || completed(&store).await == 6).await;
    daemon.stop();
}

#[test]
fn a_client_tells_over_datagrams_on_mariadb() {
    block_on(a_client_and_the_command_line_send_datagrams(Kind::MariaDb));
}

#[test]
fn a_client_tells_over_datagrams_on_mysql() {
    block_on(a_client_and_the_command_line_send_datagrams(Kind::MySql));
}

#[test]
fn a_node_hears_no_datagrams_if_it_is_not_to() {
    block_on(async {
        let database = Database::new(Kind::MariaDb).await;
        let store = database.store().await;
        let file = database.config("n", "[task.nothing]\nkind = \"noop\"");
        let text = std::fs::read_to_string(&file).unwrap().replace("[daemon]", "wakeup_address = \"none\"\n[daemon]");
        std::fs::write(&file, text).unwrap();
        Client::new(store.clone()).enqueue(NewTask::new("nothing")).await.unwrap();
        let daemon = crate::support::Daemon::start(&file, &["run"]);
        eventually("it is done by polling", async || completed(&store).await == 1).await;
        assert_eq!(reachable(&store).await, 0);
        daemon.stop();
    });
}

#[test]
fn sqlite_shows_a_plain_insert() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let daemon = rested(&database, SETTINGS).await;
        let store = database.bare_store();
        let application = database.application().await;
        for number in 2..5 {
            application.execute_unprepared("INSERT INTO sexton_task (name) VALUES ('nothing')").await.unwrap();
            eventually("it is done", async || completed(&store).await == number).await;
        }
        daemon.stop();
    });
}

on_each_database! {
    async fn an_idle_node_sends_little_beside_its_heartbeats(database: Database) {
        let mut blueprint = crate::support::blueprint(&database);
        // A tenth of the defaults.
        blueprint.config.daemon.heartbeat = Duration::from_secs(1);
        blueprint.config.daemon.lease = Duration::from_secs(30);
        blueprint.config.daemon.poll_interval = Duration::from_millis(25);
        // Triggers cost nothing while there are no events.
        blueprint.config.triggers.insert("t".to_owned(), std::sync::Arc::new(crate::events::trigger("t")));
        let inside = crate::support::Inside::start(blueprint);
        let beats = || inside.daemon.modules.get("node").map_or(0, |node| node.rounds);
        // After its start, a node polls more often for a while.
        eventually("the start is over", async || beats() >= 12).await;
        let (begun, sent) = (beats(), inside.daemon.store.statements());
        eventually("some heartbeats", async || beats() >= begun + 6).await;
        let (beats, sent) = (beats() - begun, inside.daemon.store.statements() - sent);
        // On SQLite, each heartbeat changes the file, and the dispatcher looks several times after a change.
        let each = if database.kind == Kind::Sqlite { 6 } else { 3 };
        assert!(sent <= beats * each + 6, "{sent} statements during {beats} heartbeats");
        assert_eq!(inside.stop(), 0);
    }

    async fn inside_the_daemon_nobody_waits_for_a_poll(database: Database) {
        let mut blueprint = crate::support::blueprint(&database);
        blueprint.config.daemon.poll_interval = Duration::from_secs(600);
        let inside = crate::support::Inside::start(blueprint);
        let store = database.bare_store();
        for number in 1..4 {
            inside.daemon.client.enqueue(NewTask::new("nothing")).await.unwrap();
            eventually("it is done", async || completed(&store).await == number).await;
        }
        inside.daemon.client.enqueue(NewTask::new("nothing").delay(Duration::from_millis(200))).await.unwrap();
        eventually("a future one is done", async || completed(&store).await == 4).await;
        assert_eq!(inside.stop(), 0);
    }

    async fn a_node_that_is_known_late_has_missed_nothing(database: Database) {
        let mut blueprint = crate::support::blueprint(&database);
        blueprint.config.daemon.poll_interval = Duration::from_secs(600);
        let (go, may_go) = std::sync::mpsc::channel();
        crate::support::change_modules(&mut blueprint, move |mut modules| {
            let node = modules.iter_mut().find(|module| module.name == "node").unwrap();
            let make = node.factory.clone();
            let may_go = std::sync::Mutex::new(may_go);
            node.factory = std::sync::Arc::new(move || {
                may_go.lock().unwrap().recv().unwrap();
                make()
            });
            modules
        });
        let inside = crate::support::Inside::start(blueprint);
        let store = database.bare_store();
        inside.daemon.client.enqueue(NewTask::new("nothing")).await.unwrap();
        let rounds = || inside.daemon.modules.get("dispatcher").map_or(0, |dispatcher| dispatcher.rounds);
        eventually("the dispatcher has looked", async || rounds() > 0).await;
        assert_eq!(completed(&store).await, 0, "a node that is not known is given nothing");
        go.send(()).unwrap();
        eventually("it is done", async || completed(&store).await == 1).await;
        assert_eq!(inside.stop(), 0);
    }
}

#[test]
fn a_process_that_ends_after_its_enqueue_has_sent_its_wake_up() {
    block_on(async {
        let database = Database::new(Kind::Postgres).await;
        let store = database.store().await;
        let mut listener = store.listen(&database.options(), None).await.unwrap();
        let url = database.url.clone();
        let application = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let client = Client::connect(&url).unwrap();
                client.enqueue(NewTask::new("nothing")).await.unwrap();
                client.enqueue(NewTask::new("nothing").delay(Duration::from_secs(600))).await.unwrap();
            });
        });
        tokio::task::spawn_blocking(|| application.join().unwrap()).await.unwrap();
        // Nothing else wakes: neither a poll nor a later enqueue.
        let (mut now, mut later) = (false, false);
        while !(now && later) {
            let heard = tokio::time::timeout(PATIENCE, listener.wait()).await.expect("a wake-up").unwrap();
            now |= matches!(heard, Wakeup::Now | Wakeup::Anything);
            later |= matches!(heard, Wakeup::Later | Wakeup::Anything);
        }
    });
}

#[test]
fn wake_ups_that_follow_closely_are_few_and_none_is_lost() {
    block_on(async {
        let database = Database::new(Kind::Postgres).await;
        let store = database.store().await;
        let mut listener = store.listen(&database.options(), None).await.unwrap();
        let client = Client::new(store.clone());
        for _ in 0..1_000 {
            client.wake_up(Wakeup::Now);
        }
        client.wake_up(Wakeup::Cancel);
        let mut heard = Vec::new();
        while heard.last() != Some(&Wakeup::Cancel) {
            heard.push(tokio::time::timeout(PATIENCE, listener.wait()).await.expect("a wake-up").unwrap());
        }
        assert!(heard.len() < 100, "{}", heard.len());
    });
}
