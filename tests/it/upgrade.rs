//! Databases of the version before: the ledger's sentences become typed values, once.

use std::path::Path;

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use sea_orm::ConnectionTrait as _;
use serde_json::Value;
use sexton::{
    Client, NewTask,
    domain::schedule::reason::{Reason, StandsFor},
    store::{HistoryFilter, Store, TaskFilter},
};
use sexton_entities::{
    occurrence,
    states::{Fate, Outcome, ReasonCode, TaskState},
};
use sexton_migration::{Migrator, MigratorTrait as _};

use crate::support::{Database, Kind, Printed, block_on, eventually, on_each_database, sexton};

/// The last step that stored sentences.
const BEFORE: u32 = 7;

fn at(text: &str) -> DateTime<Utc> {
    format!("2026-11-21T{text}Z").parse().unwrap()
}

fn seconds(seconds: i64) -> TimeDelta {
    TimeDelta::seconds(seconds)
}

fn late(by: i64) -> Option<Reason> {
    Some(Reason::Late { by: seconds(by) })
}

fn into(text: &str) -> Option<Reason> {
    Some(Reason::Coalesced { into: text.parse().unwrap() })
}

fn outside() -> Option<Reason> {
    Some(Reason::OutsidePeriod { period: "past".to_owned() })
}

fn time(text: &str) -> NaiveTime {
    text.parse().unwrap()
}

/// The entries of a schedule, oldest first.
async fn ledger(store: &Store, schedule: &str) -> Vec<occurrence::Model> {
    let mut ledger = store.occurrences(schedule, 100_000).await.unwrap();
    ledger.reverse();
    ledger
}

async fn reasons(store: &Store, schedule: &str) -> Decisions {
    ledger(store, schedule).await.iter().map(|entry| (entry.fate, Reason::of(entry))).collect()
}

/// A copy of the database that the version before has made.
async fn copy() -> Database {
    let database = Database::new(Kind::Sqlite).await;
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/ledger-of-sentences.db");
    std::fs::copy(fixture, database.folder.path().join("sexton.db")).unwrap();
    database
}

fn json(file: &Path, arguments: &[&str]) -> Value {
    let output = sexton(file).args(arguments).arg("--json").output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", output.errors());
    output.json()
}

/// Decisions on the instants of a schedule, oldest first.
type Decisions = Vec<(Fate, Option<Reason>)>;

/// What the daemon of the version before decided on the instants 15:30 to 18:30, by schedule.
fn decided() -> Vec<(&'static str, Decisions)> {
    use Fate::{Coalesced, Fired, Late, Skipped};
    // It entered everything at 18:46:19, or 16 minutes and 19 seconds after the latest instant.
    let by = |hours: i64| 979 + 3_600 * hours;
    let latest = || into("2026-11-21T18:30:00Z");
    let age = |hours| Some(Reason::MissedAge { by: seconds(by(hours)), limit: seconds(5_400) });
    let window = || {
        let [from, to, at] = ["23:58:00", "23:59:00", "00:16:00"].map(time);
        (Skipped, Some(Reason::MissedWindow { from, to, at, zone: "Asia/Kolkata".to_owned() }))
    };
    let unfinished = at("15:30:00");
    let overlap = || (Skipped, Some(Reason::Overlap { unfinished }));
    let queued = |hours| (Late, Some(Reason::Queued { unfinished, late_by: Some(seconds(by(hours))) }));
    let max = || (Skipped, Some(Reason::MissedMax { max: 2 }));
    let held = || {
        let until = "2099-11-23T09:00:00Z".parse().unwrap();
        (Fired, Some(Reason::Held { until, period: "coming".to_owned() }))
    };
    let far = || (Coalesced, into("2099-11-23T08:30:00Z"));
    vec![
        ("last", vec![(Coalesced, latest()), (Coalesced, latest()), (Coalesced, latest()), (Late, late(by(0)))]),
        ("none", vec![(Skipped, Some(Reason::Missed)); 4]),
        ("max", vec![max(), max(), (Late, late(by(1))), (Late, late(by(0)))]),
        ("old", vec![(Skipped, age(3)), (Skipped, age(2)), (Coalesced, latest()), (Late, late(by(0)))]),
        ("window", vec![window(), window(), window(), window()]),
        ("paused", vec![(Skipped, Some(Reason::Paused)); 4]),
        ("alone", vec![(Late, late(by(3))), overlap(), overlap(), overlap()]),
        ("queued", vec![(Late, late(by(3))), queued(2), queued(1), queued(0)]),
        ("outside", vec![(Skipped, outside()); 4]),
        ("held", vec![held(), held(), held(), held()]),
        ("once", vec![far(), far(), far(), far()]),
    ]
}

#[test]
fn a_database_of_the_version_before_is_migrated() {
    block_on(async {
        let database = copy().await;
        let file = database.config("n", "");
        let steps = json(&file, &["db", "migrate"]);
        assert!(steps.to_string().contains("m20261121_000008_type_reasons"), "{steps}");
        let store = database.bare_store();
        for (schedule, expected) in decided() {
            // Decided in fractions of a second, and recorded in whole ones.
            assert_eq!(reasons(&store, schedule).await, expected, "{schedule}");
        }
        for (schedule, others) in [("often", (664, false)), ("seconds", (10_000, true))] {
            let first = ledger(&store, schedule).await.remove(0);
            assert_eq!((first.stands_for, first.stands_for_more), others, "{schedule}");
        }
        // The rest of the database is untouched.
        let tasks = store.tasks(&TaskFilter { limit: 100, ..TaskFilter::default() }).await.unwrap();
        let count = |state| tasks.iter().filter(|task| task.state == state).count();
        assert_eq!(
            [TaskState::Available, TaskState::Running, TaskState::Retryable, TaskState::Scheduled].map(count),
            [1, 2, 1, 5]
        );
        let history = store.history(&HistoryFilter { limit: 1_000, ..HistoryFilter::default() }).await.unwrap();
        let known = Outcome::ALL.iter().filter(|outcome| **outcome != Outcome::Snoozed);
        assert!(known.into_iter().all(|outcome| history.iter().any(|row| row.outcome == *outcome)));
        let unread: Vec<_> = ledger(&store, "by-hand").await.into_iter().filter_map(|entry| entry.reason).collect();
        assert_eq!(unread, ["the operator said no"], "only what cannot be read keeps its text");
    });
}

#[test]
fn the_commands_explain_what_the_version_before_has_recorded() {
    block_on(async {
        let database = copy().await;
        let file = database.config("n", "");
        json(&file, &["db", "migrate"]);
        let mut accounts = json(&file, &["history", "--schedule", "by-hand"]).as_array().unwrap().clone();
        accounts.reverse();
        let expected = [
            ("fired", "queued", "queued behind the run of 2026-11-21T09:00:00.250Z"),
            ("fired", "-", "on time; stands for 7 earlier instants"),
            ("skipped", "paused", "the schedule is paused; stands for more than 10000 earlier instants"),
            ("late", "late", "late by 1m: no node entered it in time"),
            ("skipped", "other", "the operator said no"),
            ("late", "-", "no reason is on record"),
            ("held", "held", "held until 2026-11-22T06:00:00Z: outside period shop; stands for 2 earlier instants"),
        ];
        let told: Vec<_> = accounts
            .iter()
            .map(|account| ["became", "reason_code", "reason"].map(|field| account[field].as_str().unwrap_or("-")))
            .map(|[became, code, reason]| (became, code, reason))
            .collect();
        assert_eq!(told, expected);
        let why = |schedule: &str, at: &str| json(&file, &["schedule", "why", schedule, "--at", at]);
        let coalesced = why("last", "2026-11-21T16:30:00Z");
        assert_eq!((&coalesced["task_id"], &coalesced["into"]), (&11.into(), &"2026-11-21T18:30:00Z".into()));
        let run = "last did not run at 2026-11-21T16:30:00Z itself: coalesced into the run of 2026-11-21T18:30:00Z, \
                   as task 11, which was completed after 0 ms";
        assert_eq!(coalesced["why"], run);
        let held = why("held", "2026-11-21T17:30:00Z");
        assert_eq!((&held["became"], &held["held_until"]), (&"held".into(), &"2099-11-23T09:00:00Z".into()));
        assert!(held["why"].as_str().unwrap().ends_with("as task 7, which is scheduled"), "{held}");
        // An instant without an entry, for which another one stands.
        let counted = why("often", "2026-11-21T18:00:00Z");
        assert_eq!((&counted["became"], &counted["into"]), (&"coalesced".into(), &"2026-11-21T18:46:00Z".into()));
        assert!(
            counted["why"].as_str().unwrap().contains("the entry of 2026-11-21T18:12:40Z stands for it: "),
            "{counted}"
        );
    });
}

/// A table of the version before, with these rows: due instant, fate, sentence.
async fn of_sentences(database: &Database, rows: &[(DateTime<Utc>, Fate, String)]) -> Store {
    let store = database.bare_store();
    Migrator::up(&database.application().await, Some(BEFORE)).await.unwrap();
    insert(database, &store, rows).await;
    store
}

/// Inserts rows as a node of the version before does.
async fn insert(database: &Database, store: &Store, rows: &[(DateTime<Utc>, Fate, String)]) {
    let format = match database.kind {
        Kind::MariaDb | Kind::MySql => "%Y-%m-%d %H:%M:%S%.6f",
        Kind::Sqlite | Kind::Postgres => "%Y-%m-%dT%H:%M:%S%.6f+00:00",
    };
    for rows in rows.chunks(500) {
        let values: Vec<String> = rows
            .iter()
            .map(|(at, fate, reason)| {
                format!("('s', '{}', '{fate}', '{}', 'n', 'e')", at.format(format), reason.replace('\'', "''"))
            })
            .collect();
        let sql = format!(
            "INSERT INTO sexton_occurrence (schedule, due_at, fate, reason, node, entry) VALUES {}",
            values.join(", ")
        );
        store.connection().execute_unprepared(&sql).await.unwrap();
    }
}

on_each_database! {
    async fn every_sentence_becomes_typed_values(database: Database) {
        let instant = "2026-11-21T09:00:00.000250+00:00";
        let unfinished: DateTime<Utc> = instant.parse().unwrap();
        let period = || "büro/früh".to_owned();
        let zone = || "Europe/Berlin".to_owned();
        let [from, to, closed] = ["22:30:00", "00:00:00", "04:07:00"].map(time);
        let none = "no node entered it in time";
        use Fate::{Coalesced, Fired, Late, Skipped};
        let known = [
            (Late, "late by 30s".to_owned(), late(30)),
            (Late, format!("late by 1day 2h: {none}"), late(93_600)),
            (Skipped, format!("missed: {none}, and missed runs are skipped"), Some(Reason::Missed)),
            (Skipped, "missed, and only the latest 24 are made up for".to_owned(), Some(Reason::MissedMax { max: 24 })),
            (Skipped, "missed too old: by 4m, at most 2m 30s is allowed".to_owned(), Some(Reason::MissedAge { by: seconds(240), limit: seconds(150) })),
            (Skipped, "missed, and 04:07 is outside the window 22:30-00:00 Europe/Berlin".to_owned(), Some(Reason::MissedWindow { from, to, at: closed, zone: zone() })),
            (Skipped, format!("the run of {instant} is not finished"), Some(Reason::Overlap { unfinished })),
            (Fired, format!("queued: the run of {instant} is not finished"), Some(Reason::Queued { unfinished, late_by: None })),
            (Late, format!("queued: the run of {instant} is not finished; late by 3m: {none}"), Some(Reason::Queued { unfinished, late_by: Some(seconds(180)) })),
            (Coalesced, format!("coalesced into the run of {instant}"), Some(Reason::Coalesced { into: unfinished })),
            (Fired, format!("held until {instant}: outside period büro/früh"), Some(Reason::Held { until: unfinished, period: period() })),
            (Skipped, "outside period büro/früh".to_owned(), Some(Reason::OutsidePeriod { period: period() })),
            (Skipped, "the schedule is paused".to_owned(), Some(Reason::Paused)),
            (Skipped, "it's \"by hand\"".to_owned(), Some(Reason::Other { text: Some("it's \"by hand\"".to_owned()) })),
        ];
        let due = |number: usize| at("10:00:00") + TimeDelta::microseconds(number as i64 * 1_000_001);
        let mut rows: Vec<_> = known.iter().enumerate().map(|(number, (fate, sentence, _))| (due(number), *fate, sentence.clone())).collect();
        let first_many = rows.len();
        rows.push((due(first_many), Fired, "on time; and more than 10000 before it".to_owned()));
        // More than one portion.
        rows.extend((first_many + 1..2_500).map(|number| (due(number), Coalesced, format!("coalesced into the run of {instant}; and {number} before it"))));
        let store = of_sentences(&database, &rows).await;
        assert_eq!(store.migrate(&database.options()).await.unwrap()[0], "m20261121_000008_type_reasons");

        let migrated = ledger(&store, "s").await;
        assert_eq!(migrated.len(), rows.len());
        for (entry, (fate, sentence, reason)) in migrated.iter().zip(&known) {
            assert_eq!((entry.fate, Reason::of(entry).as_ref(), StandsFor::of(entry)), (*fate, reason.as_ref(), None), "{sentence}");
        }
        let many = &migrated[first_many];
        assert_eq!((Reason::of(many), StandsFor::of(many)), (None, Some(StandsFor { count: 10_000, is_more: true })));
        for (number, entry) in migrated.iter().enumerate().skip(first_many + 1) {
            assert_eq!((entry.due_at, entry.coalesced_into, entry.stands_for), (due(number), Some(unfinished), number as i64));
        }
        let texts = migrated.iter().filter(|entry| entry.reason.is_some()).count();
        assert_eq!(texts, 1, "no sentence is left but the one that cannot be read");
    }

    async fn a_node_of_the_version_before_may_still_write(database: Database) {
        let store = of_sentences(&database, &[]).await;
        store.migrate(&database.options()).await.unwrap();
        let sentence = "held until 2026-11-22T06:00:00+00:00: outside period p; and 2 before it";
        insert(&database, &store, &[(at("10:00:00"), Fate::Fired, sentence.to_owned())]).await;
        let entry = ledger(&store, "s").await.remove(0);
        let text = Reason::Other { text: Some(sentence.to_owned()) };
        assert_eq!((Reason::of(&entry), entry.reason_code, entry.stands_for), (Some(text), None, 0), "the text is shown, and not read");
        // A step that was cut short runs again: it reads what is left.
        let step = "DELETE FROM sexton_migration WHERE version LIKE '%000008%'";
        store.connection().execute_unprepared(step).await.unwrap();
        assert_eq!(store.migrate(&database.options()).await.unwrap().len(), 1);
        let entry = ledger(&store, "s").await.remove(0);
        assert_eq!((entry.reason_code, entry.reason.as_deref(), entry.stands_for), (Some(ReasonCode::Held), None, 2));
    }

    async fn a_node_stops_in_good_order_when_a_newer_version_migrates(database: Database) {
        let store = database.store().await;
        let settings = "heartbeat = \"200ms\"\npoll_interval = \"20ms\"\n[task.slow]\ncommand = [\"sleep\", \"2\"]";
        let mut daemon = database.daemon("n", settings);
        let client = Client::new(store.clone());
        client.enqueue(NewTask::new("slow")).await.unwrap();
        eventually("it runs", async || {
            let running = TaskFilter { state: Some(TaskState::Running), limit: 1, ..TaskFilter::default() };
            !store.tasks(&running).await.unwrap().is_empty()
        })
        .await;
        let newer = "INSERT INTO sexton_migration (version, applied_at) VALUES ('m20991231_000099_future', 0)";
        store.connection().execute_unprepared(newer).await.unwrap();
        let why = "the daemon claims nothing more and stops: the database was migrated by a newer Sexton \
                   (step `m20991231_000099_future` is unknown here): upgrade this program, or use another database";
        daemon.wait_for_log(why);
        client.enqueue(NewTask::new("slow")).await.unwrap();
        assert_eq!(daemon.wait().code(), Some(76), "{}", daemon.log());
        let rows = store.history(&HistoryFilter { limit: 9, ..HistoryFilter::default() }).await.unwrap();
        assert_eq!(rows.iter().map(|row| row.outcome).collect::<Vec<_>>(), [Outcome::Succeeded]);
        let left = store.tasks(&TaskFilter { limit: 9, ..TaskFilter::default() }).await.unwrap();
        assert_eq!(left.iter().map(|task| task.state).collect::<Vec<_>>(), [TaskState::Available], "for the new version");
    }

    async fn a_node_of_the_version_before_claims_and_finishes_beside_new_ones(database: Database) {
        let store = database.store().await;
        let connection = store.connection();
        let (now, later) = match database.kind {
            Kind::Sqlite => ("strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')", "'2099-01-01T00:00:00.000000+00:00'"),
            Kind::Postgres => ("now()", "'2099-01-01T00:00:00+00:00'"),
            Kind::MariaDb | Kind::MySql => ("utc_timestamp(6)", "'2099-01-01 00:00:00'"),
        };
        let client = Client::new(store.clone());
        for name in ["kept", "gone", "retried"] {
            client.enqueue(NewTask::new(name).queue("default")).await.unwrap();
        }
        // Its statements name no column that it does not know.
        let register = format!(
            "INSERT INTO sexton_node (id, name, host, version, state, pid, lease_expires_at) \
             VALUES ('old-1', 'old', 'h', '0.1.0', 'running', 1, {later})"
        );
        let claim = format!(
            "UPDATE sexton_task SET state = 'running', fence = fence + 1, attempt = attempt + 1, node = 'old-1', \
             started_at = {now} WHERE name <> 'kept'"
        );
        let retry = "UPDATE sexton_task SET state = 'retryable', node = NULL, started_at = NULL, progress = NULL \
                     WHERE name = 'retried' AND fence = 1";
        for sql in [register.as_str(), &claim, "DELETE FROM sexton_task WHERE name = 'gone' AND fence = 1", retry] {
            connection.execute_unprepared(sql).await.unwrap();
        }
        // What only the old node may define is not set aside. What it has left is done by a new one.
        let settings = "poll_interval = \"20ms\"\n[task.retried]\nkind = \"noop\"\nqueue = \"default\"";
        let daemon = database.daemon("n", settings);
        daemon.wait_for_log("its tasks are left to old, whose version does not say what it defines");
        eventually("the new node goes on", async || crate::daemon::completed(&store).await == 1).await;
        let left = store.tasks(&TaskFilter { limit: 9, ..TaskFilter::default() }).await.unwrap();
        let left: Vec<_> = left.iter().map(|task| (task.name.as_str(), task.state, task.unknown_since)).collect();
        assert_eq!(left, [("kept", TaskState::Available, None)]);
        daemon.stop();
    }

    async fn the_step_can_be_taken_back(database: Database) {
        let store = database.store().await;
        let application = database.application().await;
        let steps = Migrator::migrations().len() as u32 - BEFORE;
        Migrator::down(&application, Some(steps)).await.unwrap();
        let sql = "SELECT reason_code FROM sexton_occurrence";
        assert!(store.connection().execute_unprepared(sql).await.is_err());
        assert_eq!(store.migrate(&database.options()).await.unwrap().len(), steps as usize);
        store.connection().execute_unprepared(sql).await.unwrap();
    }
}
