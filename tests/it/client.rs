//! The light crate for applications, and the daemon inside a program of the application's own.

use std::{fs, time::Duration};

use sea_orm::{ConnectionTrait as _, TransactionTrait as _};
use serde::{Deserialize, Serialize};
use sexton::{
    CancelResult, Client, NewTask, Outcome, Progress, Sexton, StoreError, Task, TaskContext, TaskError, TaskState,
    TaskStatus, TypedHandler, Verdict, WaitError,
    handler::{AppData, Registry, TypedAdapter},
    sqlx::{self, Connection as _},
    store::TaskFilter,
};

use crate::support::{Inside, Kind, PATIENCE, block_on, blueprint, eventually, on_each_database};

/// Sends an invoice.
struct SendInvoice;

#[derive(Serialize, Deserialize)]
struct Invoice {
    number: i64,
    lines: Vec<Line>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    price: u32,
}

impl Task for SendInvoice {
    const NAME: &'static str = "send-invoice";
    type Payload = Invoice;
}

struct Sender;

impl TypedHandler for Sender {
    type Task = SendInvoice;

    async fn run(&self, invoice: Invoice, context: &TaskContext) -> Result<(), TaskError> {
        context.progress(Progress { percent: Some(50.0), text: None });
        assert!(!invoice.lines.is_empty(), "an invoice without a line");
        let total: u32 = invoice.lines.iter().map(|line| line.price).sum();
        context.result(serde_json::json!({ "number": invoice.number, "total": total }));
        Ok(())
    }
}

fn invoice(number: i64) -> NewTask {
    SendInvoice::task(Invoice { number, lines: vec![Line { price: 3 }, Line { price: 4 }] })
}

async fn unfinished(client: &Client) -> usize {
    client.store().count_selected(&sexton::store::TaskSelection::default()).await.unwrap().values().sum::<u64>()
        as usize
}

on_each_database! {
    async fn a_task_shares_the_fate_of_a_plain_sqlx_transaction(database: Database) {
        let store = database.store().await;
        let client = Client::connect(&database.url).unwrap();
        client.check().await.unwrap();
        /// Enqueues in a transaction of this driver, and commits it or not.
        macro_rules! enqueue {
            ($connection:ty, $commits:expr) => {{
                let mut connection = <$connection>::connect(&database.url).await.unwrap();
                let mut transaction = connection.begin().await.unwrap();
                client.enqueue_in_sqlx(&mut *transaction, invoice(1).unique_key("1")).await.unwrap();
                let again = client.enqueue_in_sqlx(&mut *transaction, invoice(1).unique_key("1")).await.unwrap();
                assert!(matches!(again, sexton::Enqueued::AlreadyThere(_)));
                let many = vec![NewTask::new("a").delay(Duration::from_secs(60)), NewTask::new("b").unique_key("1")];
                assert_eq!(client.enqueue_all_in_sqlx(&mut *transaction, many).await.unwrap(), 1);
                if $commits { transaction.commit().await.unwrap() } else { transaction.rollback().await.unwrap() }
                connection.close().await.unwrap();
            }};
        }
        for commits in [false, true] {
            match database.kind {
                Kind::Sqlite => enqueue!(sqlx::SqliteConnection, commits),
                Kind::Postgres => enqueue!(sqlx::PgConnection, commits),
                Kind::MariaDb | Kind::MySql => enqueue!(sqlx::MySqlConnection, commits),
            }
            assert_eq!(unfinished(&client).await, if commits { 2 } else { 0 });
        }
        let tasks = store.tasks(&TaskFilter { limit: 10, ..TaskFilter::default() }).await.unwrap();
        let task = tasks.iter().find(|task| task.name == "send-invoice").unwrap();
        assert_eq!(task.payload.as_ref().unwrap().decode::<Invoice>().unwrap().lines[1].price, 4);
        assert_eq!(tasks.iter().filter(|task| task.state == TaskState::Scheduled).count(), 1);
    }

    async fn a_task_shares_the_fate_of_a_transaction_on_the_clients_own_connection(database: Database) {
        database.store().await;
        let client = Client::connect(&database.url).unwrap();
        for commits in [false, true] {
            let transaction = client.connection().begin().await.unwrap();
            assert_eq!(client.enqueue_all_in(&transaction, vec![invoice(1), invoice(2)]).await.unwrap(), 2);
            if commits {
                transaction.commit().await.unwrap();
            } else {
                transaction.rollback().await.unwrap();
            }
            assert_eq!(unfinished(&client).await, if commits { 2 } else { 0 });
        }
    }

    async fn a_client_follows_a_task_to_its_end(database: Database) {
        database.store().await;
        let client = Client::connect(&database.url).unwrap();
        let waiting = client.enqueue(invoice(7).delay(Duration::from_secs(3_600))).await.unwrap().id();
        let status = client.status(waiting).await.unwrap().unwrap();
        assert!(matches!(status, TaskStatus::Unfinished { state: TaskState::Scheduled, attempt: 0, .. }), "{status:?}");
        assert_eq!(client.result(waiting).await.unwrap(), None);
        let error = client.wait(waiting, Duration::ZERO).await.unwrap_err();
        assert_eq!(error.to_string(), format!("task {waiting} did not end within 0 s"));
        assert_eq!(client.cancel(waiting).await.unwrap(), CancelResult::Cancelled);
        let end = client.wait(waiting, PATIENCE).await.unwrap();
        assert_eq!((end.verdict, end.outcome, end.attempt), (Verdict::Cancelled, Outcome::Cancelled, 0));
        assert!(!end.is_completed() && end.error.is_some(), "{end:?}");
        assert_eq!(client.cancel(waiting).await.unwrap(), CancelResult::NotThere);
        assert!(matches!(client.wait(4_711, PATIENCE).await.unwrap_err(), WaitError::NotThere(4_711)));
        assert_eq!(client.status(4_711).await.unwrap(), None);

        let mut registry = Registry::new();
        registry.register(TypedAdapter(Sender));
        let mut blueprint = blueprint(&database);
        for definition in registry.definitions() {
            blueprint.config.tasks.insert(definition.name.clone(), definition.clone().into());
        }
        (blueprint.registry, blueprint.app_data) = (registry, AppData::default());
        let daemon = Inside::start(blueprint);
        let id = client.enqueue(invoice(8)).await.unwrap().id();
        let end = client.wait(id, PATIENCE).await.unwrap();
        assert!(end.is_completed() && end.error.is_none(), "{end:?}");
        #[derive(Debug, Deserialize, PartialEq)]
        struct Sent {
            number: i64,
            total: u32,
        }
        assert_eq!(end.decode_result::<Sent>().unwrap(), Some(Sent { number: 8, total: 7 }));
        assert_eq!(client.result(id).await.unwrap(), end.result);
        let bad = serde_json::json!({ "number": 9, "lines": [{ "price": 1 }, { "price": "much" }] });
        let id = client.enqueue(NewTask::new(SendInvoice::NAME).payload(bad)).await.unwrap().id();
        let end = client.wait(id, PATIENCE).await.unwrap();
        assert_eq!((end.verdict, end.outcome), (Verdict::Discarded, Outcome::Failed));
        let error = end.error.unwrap();
        assert!(error.starts_with("the payload does not fit: field `lines[1].price`: invalid type: string"), "{error}");
        let id = client.enqueue(SendInvoice::task(Invoice { number: 10, lines: Vec::new() })).await.unwrap().id();
        let end = client.wait(id, PATIENCE).await.unwrap();
        let error = end.error.unwrap();
        assert!(error.starts_with("panic: an invoice without a line (tests/it/client.rs:"), "with its place: {error}");
        assert_eq!((end.verdict, end.outcome), (Verdict::Discarded, Outcome::Crashed));
        assert_eq!(daemon.stop(), 0);
    }
}

#[test]
fn on_sqlite_a_transaction_that_reads_first_can_write() {
    block_on(async {
        let database = crate::support::Database::new(Kind::Sqlite).await;
        database.store().await;
        let client = Client::connect(&database.url).unwrap();
        let other = Client::connect(&database.url).unwrap();
        let transaction = client.connection().begin().await.unwrap();
        transaction.execute_unprepared("SELECT COUNT(*) FROM sexton_task").await.unwrap();
        // Another process wants to write meanwhile: it waits.
        let writing = tokio::spawn(async move { other.enqueue(invoice(1)).await });
        client.enqueue_in(&transaction, invoice(2)).await.unwrap();
        transaction.commit().await.unwrap();
        writing.await.unwrap().unwrap();
        assert_eq!(unfinished(&client).await, 2);
    });
}

#[test]
fn a_transaction_of_another_database_is_refused() {
    block_on(async {
        let database = crate::support::Database::new(Kind::Sqlite).await;
        database.store().await;
        let client = Client::connect("postgres://nobody@localhost/nowhere").unwrap();
        let error = client.enqueue_in(&database.application().await, NewTask::new("a")).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the transaction belongs to sqlite, and the client to postgres: connect the client to the same database"
        );
    });
}

#[test]
fn a_client_creates_nothing_and_says_what_is_missing() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("var/sexton.db");
        let client = Client::connect(&format!("sqlite://{}", file.display())).unwrap();
        let error = client.check().await.unwrap_err();
        let text = error.to_string();
        assert!(error.is_outage() && text.contains("does not exist: the daemon creates it"), "{text}");
        assert!(!folder.path().join("var").exists(), "nothing was created");
        fs::create_dir(folder.path().join("var")).unwrap();
        fs::write(&file, "").unwrap();
        for error in [
            client.check().await.unwrap_err(),
            client.enqueue(NewTask::new("a")).await.unwrap_err(),
            client.status(1).await.unwrap_err(),
        ] {
            let text = error.to_string();
            assert!(matches!(error, StoreError::NoTables(_)), "{text}");
            assert!(text.ends_with("run `sexton db migrate`, or start the daemon"), "{text}");
        }
    });
}

/// Runs the daemon inside this program, in a runtime of the caller's, until a typed task is done.
async fn run_until_sent(daemon: Sexton, config: std::path::PathBuf, url: String) -> sexton::RunEnd {
    let work = async {
        let client = Client::connect(&url).unwrap();
        eventually("the daemon has created its tables", async || client.check().await.is_ok()).await;
        let id = client.enqueue(invoice(1)).await.unwrap().id();
        assert!(client.wait(id, PATIENCE).await.unwrap().is_completed());
    };
    daemon.run(Some(config), work).await.unwrap()
}

fn configuration(folder: &tempfile::TempDir) -> (std::path::PathBuf, String) {
    let url = format!("sqlite://{}", folder.path().join("var/sexton.db").display());
    let file = folder.path().join("sexton.toml");
    let state = folder.path().join("var");
    fs::write(&file, format!("[database]\nurl = \"{url}\"\n[daemon]\nstate_dir = \"{}\"\n", state.display())).unwrap();
    (file, url)
}

#[test]
fn a_program_with_a_runtime_of_its_own_runs_the_daemon_inside() {
    let folder = tempfile::tempdir().unwrap();
    let (config, url) = configuration(&folder);
    let daemon = Sexton::new().typed_handler(Sender);
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let end = tokio.block_on(run_until_sent(daemon.clone(), config.clone(), url.clone()));
    assert!(end.is_clean() && !end.wants_restart(), "{end:?}");
    let end = actix_rt::System::new().block_on(run_until_sent(daemon, config, url));
    assert!(end.is_clean(), "it runs again, in another runtime: {end:?}");
}

#[test]
fn a_daemon_inside_is_found_by_others_and_excludes_a_second_one() {
    let folder = tempfile::tempdir().unwrap();
    let (config, url) = configuration(&folder);
    let daemon = Sexton::new().typed_handler(Sender);
    block_on(async {
        let second = daemon.clone();
        let stop = async {
            let client = Client::connect(&url).unwrap();
            eventually("it runs", async || client.check().await.is_ok()).await;
            let error = second.run(Some(config.clone()), std::future::pending()).await.unwrap_err();
            assert!(error.to_string().starts_with("a daemon already runs with run directory"), "{error}");
            let printed = crate::support::sexton(&config).args(["status", "--json"]).output().unwrap();
            assert!(printed.status.success(), "{printed:?}");
        };
        assert!(daemon.clone().run(Some(config.clone()), stop).await.unwrap().is_clean());
        fs::write(&config, "[daemon]\nworkres = 3\n").unwrap();
        let error = daemon.clone().run(Some(config.clone()), std::future::pending()).await.unwrap_err().to_string();
        assert!(error.contains("workres"), "{error}");
        let late = Sexton::new();
        let error = late.run(Some(config.clone()), std::future::pending()).await.unwrap_err().to_string();
        assert!(error.starts_with("Sexton::new() was called inside an async runtime"), "{error}");
    });
}
