//! Connections: a silent server, sessions that only read, full disks, and a database file that is lost.

use std::{fs, time::Duration};

use sea_orm::{ConnectionTrait, DbBackend, TransactionTrait as _};
use sexton::{
    domain::task::{NewTask, Report},
    store::{ConnectOptions, OnStale, Store, StoreError, TaskFilter},
};
use sexton_entities::states::{Outcome, Verdict};

use super::{ended, enqueue, one_claimed, register};
use crate::support::{Database, Kind, Mounted, PATIENCE, Proxy, block_on, eventually};

/// Few connections, and little patience.
fn hasty(url: &str) -> ConnectOptions {
    ConnectOptions {
        max_connections: 2,
        acquire_timeout: Duration::from_millis(500),
        statement_timeout: Duration::from_secs(1),
        ..ConnectOptions::new(url)
    }
}

/// The names of all tasks.
async fn names(store: &Store) -> Result<Vec<String>, StoreError> {
    let tasks = store.tasks(&TaskFilter { limit: 100, ..TaskFilter::default() }).await?;
    Ok(tasks.into_iter().map(|task| task.name).collect())
}

async fn outlives_a_silent_server(kind: Kind) {
    let database = Database::new(kind).await;
    let proxy = Proxy::to(&database.url);
    let store = Store::connect(&hasty(&proxy.url)).unwrap();
    for round in 0..3 {
        eventually("it answers", async || store.now().await.is_ok()).await;
        proxy.silence();
        // As modules do that are stopped, or whose own time is over.
        for _ in 0..4 {
            let given_up = tokio::time::timeout(Duration::from_millis(50), store.now()).await;
            assert!(given_up.is_err() || given_up.unwrap().is_err(), "nobody answers");
        }
        // As modules do that wait for the answer.
        for _ in 0..3 {
            let answer = tokio::time::timeout(PATIENCE, store.now()).await.expect("a time limit");
            assert!(answer.unwrap_err().is_outage());
        }
        proxy.restore();
        eventually(&format!("both connections work again, in round {round}"), async || {
            let (one, two) = tokio::join!(store.now(), store.now());
            one.is_ok() && two.is_ok()
        })
        .await;
        eventually("dead connections are closed", async || proxy.open() <= 2).await;
    }
    // In a transaction, too.
    let transaction = store.connection().begin().await.unwrap();
    proxy.silence();
    // Either side may give up first: the server ends a silent transaction after the same time.
    let error = StoreError::from(transaction.execute_unprepared("SELECT 1").await.unwrap_err());
    assert!(error.is_outage(), "{error}");
    drop(transaction);
    let transaction = store.connection().begin().await;
    assert!(transaction.is_err(), "nobody answers");
    proxy.restore();
    eventually("it answers", async || store.now().await.is_ok()).await;
    eventually("dead connections are closed", async || proxy.open() <= 2).await;
}

#[test]
fn a_silent_postgres_costs_no_connection() {
    block_on(outlives_a_silent_server(Kind::Postgres));
}

#[test]
fn a_silent_mariadb_costs_no_connection() {
    block_on(outlives_a_silent_server(Kind::MariaDb));
}

/// A machine that loses its power or its network in the middle of a transaction: the server hears nothing of it.
async fn frees_the_rows_of_a_client_that_vanished(kind: Kind) {
    let database = Database::new(kind).await;
    let store = database.store().await;
    enqueue(&store, "work", 1).await;
    let proxy = Proxy::to(&database.url);
    let lost = Store::connect(&hasty(&proxy.url)).unwrap();
    let transaction = lost.connection().begin().await.unwrap();
    transaction.execute_unprepared("UPDATE sexton_task SET priority = priority + 1").await.unwrap();
    let row = "SELECT id FROM sexton_task FOR UPDATE NOWAIT";
    assert!(store.connection().execute_unprepared(row).await.is_err(), "it is locked");
    proxy.silence();
    eventually("its row is free", async || store.connection().execute_unprepared(row).await.is_ok()).await;
    assert!(transaction.execute_unprepared("SELECT 1").await.is_err());
}

#[test]
fn a_vanished_client_of_postgres_keeps_no_rows() {
    block_on(frees_the_rows_of_a_client_that_vanished(Kind::Postgres));
}

#[test]
fn a_vanished_client_of_mariadb_keeps_no_rows() {
    block_on(frees_the_rows_of_a_client_that_vanished(Kind::MariaDb));
}

#[test]
fn a_vanished_client_of_mysql_keeps_no_rows() {
    block_on(frees_the_rows_of_a_client_that_vanished(Kind::MySql));
}

#[test]
fn an_idle_session_outlives_the_limits_of_the_server() {
    block_on(async {
        for kind in [Kind::Postgres, Kind::MariaDb, Kind::MySql] {
            let database = Database::new(kind).await;
            let store = Store::connect(&hasty(&database.url)).unwrap();
            store.now().await.unwrap();
            // Beyond two seconds without a word, MySQL and MariaDB end the session.
            tokio::time::sleep(Duration::from_millis(3_500)).await;
            store.now().await.unwrap_or_else(|error| panic!("{kind:?}: {error}"));
        }
    });
}

#[test]
fn a_silent_server_is_not_listened_to_for_ever() {
    block_on(async {
        let database = Database::new(Kind::Postgres).await;
        let proxy = Proxy::to(&database.url);
        let options = hasty(&proxy.url);
        let store = Store::connect(&options).unwrap();
        let mut listener = store.listen(&options, None).await.unwrap();
        proxy.silence();
        // The module waits in rounds.
        let mut error = None;
        eventually("the loss is noticed", async || {
            let round = tokio::time::timeout(Duration::from_millis(500), listener.wait()).await;
            error = round.ok().and_then(Result::err);
            error.is_some()
        })
        .await;
        let error = error.unwrap().to_string();
        assert_eq!(error, "the database is not available: the server does not answer the listener");
    });
}

#[test]
fn what_the_driver_says_is_in_plain_words() {
    block_on(async {
        let database = Database::new(Kind::Postgres).await;
        let store = database.store().await;
        let error = StoreError::from(store.connection().execute_unprepared("SELECT 1/0").await.unwrap_err());
        assert_eq!(error.to_string(), "the database refused a statement: division by zero");
        let proxy = Proxy::to(&database.url);
        let through = Store::connect(&hasty(&proxy.url)).unwrap();
        through.now().await.unwrap();
        proxy.silence();
        let error = through.now().await.unwrap_err().to_string();
        assert!(error.starts_with("the database is not available: no answer within 1 s to `"), "{error}");
    });
}

/// A failover leaves the old primary read-only, and the sessions with it open.
async fn leaves_a_session_that_only_reads(kind: Kind) {
    let database = Database::new(kind).await;
    let store = database.store().await;
    let store = Store::connect(&ConnectOptions { max_connections: 1, ..hasty(&database.url) }).map(|one| (one, store));
    let (one, store) = store.unwrap();
    for _ in 0..3 {
        one.connection().execute_unprepared("SET SESSION TRANSACTION READ ONLY").await.ok();
        one.connection().execute_unprepared("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY").await.ok();
        let error = one.enqueue(one.connection(), &NewTask::new("work")).await.unwrap_err();
        assert!(matches!(error, StoreError::ReadOnly(_)) && error.is_outage(), "an outage, not a refusal: {error}");
        one.enqueue(one.connection(), &NewTask::new("work")).await.expect("on another session");
    }
    assert_eq!(names(&store).await.unwrap().len(), 3);
}

#[test]
fn a_session_of_postgres_that_only_reads_is_left() {
    block_on(leaves_a_session_that_only_reads(Kind::Postgres));
}

#[test]
fn a_session_of_mariadb_that_only_reads_is_left() {
    block_on(leaves_a_session_that_only_reads(Kind::MariaDb));
}

#[test]
fn a_statement_without_a_free_connection_is_no_failure_of_the_database() {
    block_on(async {
        let database = Database::new(Kind::Postgres).await;
        let store = Store::connect(&hasty(&database.url)).unwrap();
        let (one, two) = (store.connection().begin().await.unwrap(), store.connection().begin().await.unwrap());
        let error = store.now().await.unwrap_err();
        assert!(error.is_outage());
        assert!(error.to_string().starts_with("no connection to the database was free in time"), "{error}");
        let beside = store.dedicated(Duration::from_secs(5));
        beside.now().await.expect("a connection of its own");
        drop((one, two));
        eventually("they are free again", async || store.now().await.is_ok()).await;
    });
}

#[test]
fn transactions_inside_a_transaction_end_for_themselves() {
    block_on(async {
        for kind in [Kind::Sqlite, Kind::Postgres, Kind::MariaDb] {
            let database = Database::new(kind).await;
            let store = database.store().await;
            let outer = store.connection().begin().await.unwrap();
            store.enqueue(&outer, &NewTask::new("kept")).await.unwrap();
            let inner = outer.begin().await.unwrap();
            store.enqueue(&inner, &NewTask::new("dropped")).await.unwrap();
            drop(inner);
            let inner = outer.begin().await.unwrap();
            store.enqueue(&inner, &NewTask::new("kept")).await.unwrap();
            inner.commit().await.unwrap();
            let inner = outer.begin().await.unwrap();
            store.enqueue(&inner, &NewTask::new("dropped")).await.unwrap();
            inner.rollback().await.unwrap();
            outer.commit().await.unwrap();
            let lost = store.connection().begin().await.unwrap();
            store.enqueue(&lost, &NewTask::new("dropped")).await.unwrap();
            drop(lost);
            let names = names(&store).await.unwrap();
            assert_eq!(names, ["kept", "kept"], "{kind:?}");
        }
    });
}

/// Fills a file system but for some bytes.
fn fill(path: &std::path::Path, leave: u64) {
    use std::io::Write as _;
    let mut file = fs::File::create(path).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    let length = file.metadata().unwrap().len();
    file.set_len(length.saturating_sub(leave)).unwrap();
}

#[test]
fn a_full_disk_loses_nothing_and_holds_no_lock() {
    block_on(async {
        let mut database = Database::new(Kind::Sqlite).await;
        let place = database.folder.path().join("small");
        fs::create_dir(&place).unwrap();
        let _small = Mounted::new(&place, "tmpfs", "size=4m");
        database.url = format!("sqlite://{}", place.join("sexton.db").display());
        let store = database.store().await;
        register(&store, "n").await;
        for round in 0..3 {
            let task = one_claimed(&store, "n").await;
            let filler = place.join("filler");
            fill(&filler, 64 * 1024);
            let mut finished = ended(&task, "n", Outcome::Succeeded, Verdict::Completed);
            let result = serde_json::json!("x".repeat(2_000_000));
            finished.report = Report { result: Some(result.into()), ..Report::default() };
            let error = store.finish(&[finished.clone()], OnStale::Record).await.unwrap_err();
            assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
            fs::remove_file(&filler).unwrap();
            finished.report.result = None;
            store.finish(&[finished], OnStale::Record).await.unwrap();
            enqueue(&store, "later", 1).await;
            // Others see it, and may write: no transaction was left open.
            let other = database.application().await;
            other.execute_unprepared("DELETE FROM sexton_task WHERE name = 'later'").await.unwrap();
            let sql = "SELECT COUNT(*) FROM sexton_history";
            let row =
                other.query_one_raw(sea_orm::Statement::from_string(DbBackend::Sqlite, sql)).await.unwrap().unwrap();
            assert_eq!(row.try_get_by_index::<i64>(0).unwrap(), round + 1);
        }
    });
}

#[test]
fn a_lost_database_file_is_noticed() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let store = database.store().await;
        enqueue(&store, "work", 1).await;
        let file = database.options().sqlite_file().unwrap();
        let kept = database.folder.path().join("kept.db");
        store.connection().execute_unprepared(&format!("VACUUM INTO '{}'", kept.display())).await.unwrap();
        let remove = || {
            for end in ["", "-wal", "-shm"] {
                let _ = fs::remove_file(format!("{}{end}", file.display()));
            }
        };
        remove();
        let error = names(&store).await.unwrap_err();
        assert!(matches!(&error, StoreError::Unavailable(text) if text.contains("was deleted or moved")), "{error}");
        assert!(!file.exists(), "nothing is made in its place");
        fs::copy(&kept, &file).unwrap();
        assert_eq!(names(&store).await.unwrap().len(), 1, "it is back");
        enqueue(&store, "work", 1).await;
        remove();
        fs::copy(&kept, &file).unwrap();
        assert_eq!(names(&store).await.unwrap().len(), 1, "what is in the file of now");
    });
}

#[test]
fn the_first_host_that_can_be_written_to_is_used() {
    block_on(async {
        let database = Database::new(Kind::Postgres).await;
        let store = database.store().await;
        let server = url::Url::parse(&database.url).unwrap();
        let host = format!("127.0.0.1:{}", server.port().unwrap());
        let several = |hosts: &str| database.url.replace(&host, hosts);
        let first_down = Store::connect(&hasty(&several(&format!("127.0.0.1:1,{host}")))).unwrap();
        first_down.now().await.expect("the second host");
        let none = Store::connect(&hasty(&several("127.0.0.1:1,127.0.0.1:2"))).unwrap();
        let error = none.now().await.unwrap_err().to_string();
        assert!(error.contains("127.0.0.1:1: Connection refused") && error.contains("127.0.0.1:2: "), "{error}");
        let name = server.path().trim_start_matches('/');
        let sql = format!("ALTER DATABASE {name} SET default_transaction_read_only = on");
        store.connection().execute_unprepared(&sql).await.unwrap();
        let only_reads = Store::connect(&hasty(&several(&format!("{host},127.0.0.1:1")))).unwrap();
        let error = only_reads.now().await.unwrap_err().to_string();
        assert!(error.contains(&format!("{host}: the server only reads")), "{error}");
    });
}

/// A session keeps the plan of a statement, also one that was made while the table was empty.
#[test]
fn tasks_are_found_by_an_index_also_in_a_table_that_was_empty() {
    block_on(async {
        let database = Database::new(Kind::Postgres).await;
        let store = database.store().await;
        database.application().await.execute_unprepared("VACUUM ANALYZE sexton_task").await.unwrap();
        for condition in ["id = 1", "queue = 'q' AND state = 'available' ORDER BY priority, id LIMIT 1"] {
            let sql = format!("EXPLAIN (COSTS OFF) SELECT * FROM sexton_task WHERE {condition}");
            let statement = sea_orm::Statement::from_string(DbBackend::Postgres, sql);
            let plan = store.connection().query_all_raw(statement).await.unwrap();
            let plan: Vec<String> = plan.iter().map(|row| row.try_get_by_index(0).unwrap()).collect();
            assert!(plan.iter().any(|line| line.contains("Index Scan")), "{plan:?}");
            assert!(!plan.iter().any(|line| line.contains("Seq Scan") || line.contains("Sort")), "{plan:?}");
        }
    });
}
