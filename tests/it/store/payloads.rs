//! Payloads: numbers of any length pass unchanged, and what is too large or too deep is in nobody's way.

use sea_orm::ConnectionTrait as _;
use sexton::{
    domain::{
        command::capture::Kept,
        task::{InvalidTask, NewTask, Report, limits::ConcurrencyLimits},
    },
    store::{Enqueued, HistoryFilter, OnStale, Store, StoreError, TaskFilter},
};
use sexton_entities::{
    history,
    json_text::JsonText,
    states::{Outcome, Verdict},
    task,
};

use super::{ended, register};
use crate::support::{Kind, on_each_database};

/// More digits than any type of number holds.
const LONG: [&str; 4] =
    ["123456789012345678901234567890", "0.1000000000000000055511151231257827", "-98765432109876543210.5", "1.10"];

fn text(json: &str) -> JsonText {
    json.parse().unwrap()
}

/// The payload without the spaces that PostgreSQL's `jsonb` adds.
fn shown(payload: &Option<JsonText>) -> String {
    payload.as_ref().unwrap().get().replace(' ', "")
}

async fn history(store: &Store) -> Vec<history::Model> {
    store.history(&HistoryFilter { limit: 100, ..HistoryFilter::default() }).await.unwrap()
}

async fn insert(store: &Store, priority: i32, payload: &str) -> bool {
    let sql = format!(
        "INSERT INTO sexton_task (name, queue, priority, payload) VALUES ('work', 'default', {priority}, '{payload}')"
    );
    store.connection().execute_unprepared(&sql).await.is_ok()
}

on_each_database! {
    async fn numbers_of_any_length_pass_unchanged(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        for number in LONG {
            let payload = format!("{{\"n\":[{number}]}}");
            let new = NewTask::new("work").queue("default").payload_text(text(&payload));
            assert!(matches!(store.enqueue(store.connection(), &new).await.unwrap(), Enqueued::New(_)));
            assert!(insert(&store, 0, &payload).await, "{payload}");
            let tasks = store.claim(&"n".into(), &"default".into(), 9).await.unwrap().tasks;
            assert_eq!(tasks.len(), 2);
            for task in &tasks {
                assert_eq!(shown(&task.payload), payload);
                let id = task.claim.task_id;
                assert_eq!(shown(&store.task(id).await.unwrap().unwrap().payload), payload);
                let mut again = ended(task, "n", Outcome::Failed, Verdict::Retry);
                again.report = Report { result: Some(text(number)), next_payload: Some(text(&format!("[{payload}]"))), ..Report::default() };
                store.finish(&[again], OnStale::Record).await.unwrap();
                assert_eq!(shown(&store.task(id).await.unwrap().unwrap().payload), format!("[{payload}]"));
                let row = history(&store).await.remove(0);
                assert_eq!((shown(&row.payload), shown(&row.result)), (payload.clone(), number.to_owned()));
            }
        }
    }

    async fn a_payload_that_is_too_large_is_refused_and_isolated(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        store.set_max_payload(1_000);
        let [largest, too_large] = [998, 999].map(|length| format!("\"{}\"", "x".repeat(length)));
        let new = |payload: &str| NewTask::new("work").queue("default").payload_text(text(payload));
        let refused = store.enqueue(store.connection(), &new(&too_large)).await.unwrap_err();
        assert!(matches!(refused, StoreError::InvalidTask(InvalidTask::LargePayload { bytes: 1_001, max: 1_000 })));
        assert_eq!(refused.to_string(), "the payload has 1001 bytes, and daemon.max_payload allows 1000");
        assert!(store.enqueue_all(store.connection(), &[new("1"), new(&too_large)]).await.is_err());
        // PostgreSQL writes a space behind each comma.
        let packed = format!("[{}]", vec!["1"; 499].join(","));
        store.enqueue(store.connection(), &new(&packed)).await.unwrap();
        let task = store.claim(&"n".into(), &"default".into(), 9).await.unwrap().tasks.remove(0);
        assert_eq!(shown(&task.payload), packed);
        // Other programs do not ask.
        let huge = format!("\"{}\"", "x".repeat(100_000));
        for (priority, payload) in [(-9, &huge), (0, &largest), (-8, &too_large)] {
            assert!(insert(&store, priority, payload).await);
        }
        let limits = ConcurrencyLimits::new([(&"default".into(), 9)], []);
        let mut claimed = store.claim(&"n".into(), &"default".into(), 1).await.unwrap();
        assert_eq!((claimed.tasks.len(), claimed.postponed), (0, 1), "one is set aside, and the next ones follow");
        let within = store.claim_within(&limits, &"n".into(), &"default".into(), 9).await.unwrap();
        claimed.tasks.extend(within.tasks);
        assert_eq!(claimed.tasks.iter().map(|task| shown(&task.payload)).collect::<Vec<_>>(), [largest]);
        let rows = history(&store).await;
        assert_eq!(rows.len(), 2);
        for row in rows {
            let why = row.error.unwrap();
            let bytes = shown(&row.payload).len();
            assert!(bytes == 1_001 || bytes == 100_002, "it is kept");
            assert!(why.ends_with(&format!("the payload has {bytes} bytes, and daemon.max_payload allows 1000")), "{why}");
            assert_eq!(row.verdict, Some(Verdict::Discarded));
        }
        assert_eq!(store.isolated().count(), 2);
    }

    /// PostgreSQL stores such a number in a few bytes, and has no memory for the text of nine thousand.
    async fn a_payload_beyond_memory_hides_no_other_row(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        assert!(insert(&store, 1, "1").await);
        let number = if database.kind == Kind::Postgres { "1e131071" } else { "1" };
        assert!(insert(&store, 0, &format!("[{}]", vec![number; 9_000].join(","))).await);
        assert!(insert(&store, 2, "2").await);
        let filter = TaskFilter { limit: 9, ..TaskFilter::default() };
        let payloads = |tasks: &[task::Model]| tasks.iter().map(|task| shown(&task.payload)).collect::<Vec<_>>();
        let is_beyond = usize::from(database.kind == Kind::Postgres);
        let tasks = store.tasks(&filter).await.unwrap();
        assert_eq!((tasks.len(), store.isolated().count()), (3 - is_beyond, is_beyond as u64));
        assert!(["1", "2"].iter().all(|other| payloads(&tasks).contains(&(*other).to_owned())));
        store.set_max_payload(1_000);
        let claimed = store.claim(&"n".into(), &"default".into(), 9).await.unwrap().tasks;
        assert_eq!(claimed.iter().map(|task| shown(&task.payload)).collect::<Vec<_>>(), ["1", "2"]);
        let ends: Vec<_> =
            claimed.iter().map(|task| ended(task, "n", Outcome::Succeeded, Verdict::Completed)).collect();
        store.finish(&ends, OnStale::Record).await.unwrap();
        assert!(store.tasks(&filter).await.unwrap().is_empty(), "what is too large is set aside");
        let rows = history(&store).await;
        let large = rows.iter().find(|row| row.verdict == Some(Verdict::Discarded)).unwrap();
        let why = large.error.as_ref().unwrap();
        assert!(why.contains(if is_beyond == 1 { "out of memory" } else { "the payload has 18001 bytes" }), "{why}");
        assert_eq!(rows.len(), 3);
    }

    async fn a_deep_payload_is_carried_or_refused_by_the_database(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        for depth in [25, 90, 200, 900] {
            let deep = format!("{}7{}", "[".repeat(depth), "]".repeat(depth));
            if depth > 30 {
                let told = store.enqueue(store.connection(), &NewTask::new("work").payload_text(text(&deep))).await;
                assert!(told.unwrap_err().to_string().contains("nested more than 30 levels deep"));
            }
            let deepest = match database.kind {
                Kind::MariaDb => 31,
                Kind::MySql => 100,
                Kind::Postgres | Kind::Sqlite => 1_000,
            };
            let is_accepted = insert(&store, 0, &deep).await;
            assert_eq!(is_accepted, depth <= deepest, "{depth}");
            let tasks = store.claim(&"n".into(), &"default".into(), 9).await.unwrap().tasks;
            assert_eq!(tasks.iter().map(|task| shown(&task.payload)).collect::<Vec<_>>(), vec![deep; is_accepted.into()]);
            for task in &tasks {
                store.finish(&[ended(task, "n", Outcome::Succeeded, Verdict::Completed)], OnStale::Record).await.unwrap();
            }
        }
    }

    async fn names_and_keys_beyond_their_columns_are_refused(database: Database) {
        let store = database.store().await;
        for (column, longest) in [("name", 150), ("queue", 100), ("schedule", 150), ("unique_key", 190)] {
            for (length, is_accepted) in [(longest, true), (longest + 1, false)] {
                let name = if column == "name" { "" } else { "name, " };
                let value = if column == "name" { "" } else { "'n', " };
                let sql = format!("INSERT INTO sexton_task ({name}{column}) VALUES ({value}'{}')", "é".repeat(length));
                let result = store.connection().execute_unprepared(&sql).await;
                assert_eq!(result.is_ok(), is_accepted, "{column} {length}: {result:?}");
            }
        }
    }

    async fn outputs_of_any_size_are_recorded(database: Database) {
        let store = database.store().await;
        register(&store, "n").await;
        assert!(insert(&store, 0, "1").await);
        let task = store.claim(&"n".into(), &"default".into(), 1).await.unwrap().tasks.remove(0);
        let mut finished = ended(&task, "n", Outcome::Succeeded, Verdict::Completed);
        finished.report.stdout = Kept { text: "é\u{1F600}\n".repeat(200_000), ..Kept::default() };
        store.finish(&[finished.clone()], OnStale::Record).await.unwrap();
        let output = store.output(history(&store).await[0].id).await.unwrap().unwrap();
        assert_eq!(output.stdout, finished.report.stdout.text);
    }
}
