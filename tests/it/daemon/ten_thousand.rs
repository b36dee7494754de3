//! Two nodes whose clocks jump to and fro over changes of the clocks: each expected instant has one row, and at most one task.
//!
//! What is expected is worked out by the minute, from the words of the rules (docs/CONFIGURATION.md, "Schedules"), by what the
//! wall clock shows and has shown; the house's own arithmetic has no part in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::{DateTime, NaiveDateTime, TimeDelta, Timelike as _, Utc};
use chrono_tz::Tz;
use sea_orm::{ConnectionTrait as _, EntityTrait as _};
use sexton::{
    clock::Clock,
    domain::{
        schedule::{
            Schedule,
            missed_policy::{Missed, Policy, runs},
            recurrence::Recurrence,
            zone::Dst,
        },
        task::definition::{NOOP, TaskDefinition},
    },
    store::{ScheduleRow, Store},
};
use sexton_entities::{occurrence, states::Verdict};

use super::{count, history};
use crate::support::{Database, Inside, blueprint, eventually, on_each_database, within};

const MINUTE: TimeDelta = TimeDelta::minutes(1);
/// The days around a change of the clocks. In Berlin an hour is left out, and one comes twice.
const STRETCHES: [(&str, &str); 2] =
    [("2026-03-28T12:00:00Z", "2026-03-29T20:00:00Z"), ("2026-10-24T12:00:00Z", "2026-10-25T20:00:00Z")];
/// By how many seconds both clocks go on at most, and how far from there each of them goes astray: no node ever misses more
/// instants at once than have a place in the ledger each.
const STEP: i64 = 3_600;
const ASTRAY: i64 = 2 * 3_600;
/// For how long history is kept: a hundred years.
const KEEP: Duration = Duration::from_secs(100 * 366 * 86_400);

/// An expression, and what it means in words that need no parser.
struct Case {
    expression: &'static str,
    /// Whether minute or hour has a star.
    is_wildcard: bool,
    matches: fn(NaiveDateTime) -> bool,
}

const CASES: [Case; 8] = [
    Case { expression: "*/4 * * * *", is_wildcard: true, matches: |wall| wall.minute() % 4 == 0 },
    Case { expression: "*/5 * * * *", is_wildcard: true, matches: |wall| wall.minute() % 5 == 0 },
    Case {
        expression: "7-59/10 */2 * * *",
        is_wildcard: true,
        matches: |wall| wall.minute() % 10 == 7 && wall.hour() % 2 == 0,
    },
    Case { expression: "30 2 * * *", is_wildcard: false, matches: |wall| wall.hour() == 2 && wall.minute() == 30 },
    Case { expression: "0 3 * * *", is_wildcard: false, matches: |wall| wall.hour() == 3 && wall.minute() == 0 },
    Case {
        expression: "0,20,40 1-3 * * *",
        is_wildcard: false,
        matches: |wall| (1..=3).contains(&wall.hour()) && wall.minute() % 20 == 0,
    },
    Case { expression: "59 23 * * *", is_wildcard: false, matches: |wall| wall.hour() == 23 && wall.minute() == 59 },
    Case { expression: "15 0-23 * * *", is_wildcard: false, matches: |wall| wall.minute() == 15 },
];
const RULES: [Dst; 3] = [Dst::Cron, Dst::Skip, Dst::All];
const MISSED: [Missed; 3] = [Missed::All, Missed::Last, Missed::Skip];
const ZONES: [Tz; 2] = [Tz::Europe__Berlin, Tz::Europe__London];

fn instant(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// The instants in `(start, end]` at which a case is expected by the words of a rule.
fn expected(case: &Case, rule: Dst, zone: Tz, start: DateTime<Utc>, end: DateTime<Utc>) -> BTreeSet<DateTime<Utc>> {
    let mut expected = BTreeSet::new();
    let mut shown = BTreeSet::new();
    let mut previous: Option<NaiveDateTime> = None;
    let mut at = start - TimeDelta::hours(3);
    while at <= end {
        let wall = at.with_timezone(&zone).naive_local();
        // Times that the clock has left out.
        let mut missing = previous.map_or(wall, |previous| previous + MINUTE);
        let mut is_owed = false;
        while missing < wall {
            is_owed |= (case.matches)(missing);
            missing += MINUTE;
        }
        let is_again = !shown.insert(wall);
        let (is_caught_up, counts_again) = match rule {
            Dst::Cron => (!case.is_wildcard, case.is_wildcard),
            Dst::Skip => (false, false),
            Dst::All => (true, true),
        };
        let is_due = (case.matches)(wall) && (!is_again || counts_again);
        if at > start && (is_due || (is_owed && is_caught_up)) {
            expected.insert(at);
        }
        previous = Some(wall);
        at += MINUTE;
    }
    expected
}

type Instants = BTreeMap<String, BTreeSet<DateTime<Utc>>>;

/// All schedules as tasks, and what is expected of them in a stretch.
fn schedules(start: DateTime<Utc>, end: DateTime<Utc>) -> (Vec<TaskDefinition>, Instants) {
    let (mut tasks, mut instants) = (Vec::new(), Instants::new());
    for (number, case) in CASES.iter().enumerate() {
        for rule in RULES {
            for zone in ZONES {
                for missed in MISSED {
                    let name = format!("{number}-{}-{}-{missed:?}", rule.word(), zone.name().replace('/', "-"));
                    let expr = case.expression.parse().unwrap();
                    let policy = Policy { missed, missed_max: 1_000, ..Policy::default() };
                    let recurrence = Recurrence::Cron { expr, zone, dst: rule };
                    let schedule = Schedule { policy, ..Schedule::new(name.clone(), vec![recurrence]) };
                    tasks.push(TaskDefinition { schedule: Some(schedule.into()), ..TaskDefinition::new(&name, NOOP) });
                    instants.insert(name, expected(case, rule, zone, start, end));
                }
            }
        }
    }
    (tasks, instants)
}

/// An instant as the database writes it.
fn text(store: &Store, at: DateTime<Utc>) -> String {
    let is_short = store.connection().get_database_backend() == sea_orm::DbBackend::MySql;
    at.format(if is_short { "%Y-%m-%d %H:%M:%S.%6f" } else { "%Y-%m-%dT%H:%M:%S.%6f+00:00" }).to_string()
}

/// Lists the schedules as if that had happened at `start`: everything after it is due.
async fn list_since(store: &Store, tasks: &[TaskDefinition], start: DateTime<Utc>) {
    let sightings: Vec<ScheduleRow> = tasks
        .iter()
        .map(|task| ScheduleRow {
            name: task.name.clone(),
            task: task.name.clone(),
            spec: task.schedule.as_ref().unwrap().spec(),
        })
        .collect();
    store.sync_schedules(&sightings).await.unwrap();
    let sql = format!("UPDATE sexton_schedule SET last_at = '{}', next_at = NULL", text(store, start));
    assert_eq!(store.connection().execute_unprepared(&sql).await.unwrap().rows_affected(), tasks.len() as u64);
}

/// A node whose clock is turned by hand.
struct Node {
    inside: Inside,
    clock: Clock,
}

impl Node {
    fn start(database: &Database, name: &str, at: DateTime<Utc>, tasks: &[TaskDefinition]) -> Self {
        let mut blueprint = blueprint(database);
        blueprint.config.daemon.name = Some(name.to_owned());
        blueprint.config.daemon.state_dir = database.folder.path().join(name);
        // By the time of the database, all of this is long ago.
        blueprint.config.daemon.keep_history = KEEP;
        blueprint.config.tasks = tasks.iter().map(|task| (task.name.clone(), task.clone().into())).collect();
        blueprint.clock = Clock::by_hand(at);
        let clock = blueprint.clock.clone();
        Self { inside: Inside::start(blueprint), clock }
    }

    /// Sets the clock, and lets the schedules be looked at; gives how often that was done before.
    fn turn(&self, at: DateTime<Utc>) -> u64 {
        self.clock.turn(at);
        let before = self.rounds();
        self.inside
            .daemon
            .wakers
            .wake(&sexton::domain::identity::ModuleName::CRON, sexton::daemon::WakeReason::Requested);
        before
    }

    fn rounds(&self) -> u64 {
        self.inside.daemon.modules.get("cron").map_or(0, |cron| cron.rounds)
    }

    async fn has_looked(&self, before: u64) {
        eventually("the schedules were looked at", async || self.rounds() > before).await;
    }
}

/// Lets both clocks jump from `start` to `end`, forward and back, each by itself: now the one is ahead, now the other.
async fn jump(nodes: &[Node; 2], start: DateTime<Utc>, end: DateTime<Utc>, random: &mut fastrand::Rng) -> usize {
    let (mut front, mut jumps) = (start, 0);
    while front < end {
        front += TimeDelta::seconds(random.i64(1..=STEP));
        let targets = [0, 1].map(|_| (front + TimeDelta::seconds(random.i64(-ASTRAY..=ASTRAY))).clamp(start, end));
        turn(nodes, targets).await;
        jumps += 2;
    }
    // What has been lived through comes again. Only the second look at the end has surely begun there.
    for target in [end, end - TimeDelta::hours(6), end, end] {
        turn(nodes, [target; 2]).await;
        jumps += 2;
    }
    jumps
}

/// Sets both clocks, and waits until both nodes have looked at their schedules.
async fn turn(nodes: &[Node; 2], to: [DateTime<Utc>; 2]) {
    let before = [0, 1].map(|node| nodes[node].turn(to[node]));
    for node in 0..2 {
        nodes[node].has_looked(before[node]).await;
    }
}

fn by_schedule(rows: &[occurrence::Model]) -> Instants {
    let mut instants = Instants::new();
    for row in rows {
        assert!(instants.entry(row.schedule.clone()).or_default().insert(row.due_at), "twice: {row:?}");
    }
    instants
}

on_each_database! {
    async fn ten_thousand_instants_over_changes_of_the_clocks_have_one_row_each(database: Database) {
        let store = database.store().await;
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut all, mut jumps) = (0, 0);
        for (start, end) in STRETCHES.map(|(start, end)| (instant(start), instant(end))) {
            let (tasks, expected) = schedules(start, end);
            list_since(&store, &tasks, start).await;
            let nodes = ["a", "b"].map(|name| Node::start(&database, name, start, &tasks));
            for node in &nodes {
                node.has_looked(0).await;
            }
            jumps += jump(&nodes, start, end, &mut random).await;

            all += expected.values().map(BTreeSet::len).sum::<usize>();
            within(Duration::from_secs(120), "all tasks have run", async || {
                count(&store, "COUNT(*) FROM sexton_task").await == 0
            })
            .await;
            for node in nodes {
                assert_eq!(node.inside.stop(), 0);
            }
            let mut rows = occurrence::Entity::find().all(store.connection()).await.unwrap();
            rows.retain(|row| row.due_at > start);
            let mut found = by_schedule(&rows);
            for (name, expected) in &expected {
                let found = found.remove(name).unwrap_or_default();
                let (missing, excess): (Vec<_>, Vec<_>) =
                    (expected.difference(&found).collect(), found.difference(expected).collect());
                assert!(missing.is_empty() && excess.is_empty(), "{name}: missing {missing:?}, in excess {excess:?}");
            }
            assert!(found.is_empty(), "{found:?}");
            assert!(rows.iter().all(|row| row.stands_for == 0), "every instant has its own entry");
            let authors: BTreeSet<&str> = rows.iter().map(|row| row.node.as_str()).collect();
            assert_eq!(authors.len(), 2, "both nodes have had a part in it");

            let due: BTreeSet<(String, DateTime<Utc>)> =
                rows.iter().filter(|row| runs(row.fate)).map(|row| (row.schedule.clone(), row.due_at)).collect();
            let ran: Vec<(String, DateTime<Utc>)> = history(&store)
                .await
                .into_iter()
                .filter(|row| row.verdict == Some(Verdict::Completed) && row.due_at > Some(start))
                .map(|row| (row.schedule.unwrap(), row.due_at.unwrap()))
                .collect();
            assert_eq!(ran.len(), due.len(), "no task twice");
            assert_eq!(ran.into_iter().collect::<BTreeSet<_>>(), due);
        }
        println!("{all} instants, {jumps} jumps");
        assert!(all > 10_000, "only {all} instants");
    }
}
