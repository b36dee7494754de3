//! Sentences about instants, and that they contain no guesses.

use chrono::TimeDelta;
use proptest::prelude::{any, prop_assert_eq, proptest};
use sexton_entities::history;

use super::*;
use crate::domain::{
    period::sample,
    schedule::{
        Outside, definitions,
        missed_policy::{Missed, Policy},
        reason::tests::{entry as reasoned, reasons},
        recurrence::Recurrence,
    },
};

pub(super) fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("an instant")
}

/// A Saturday.
pub(super) const AT: &str = "2026-11-21T10:00:00Z";
pub(super) const LATER: &str = "2026-11-21T12:00:00Z";

pub(super) fn entry(due_at: &str, fate: Fate, reason: Option<Reason>) -> occurrence::Model {
    reasoned(at(due_at), fate, reason.as_ref())
}

fn late(seconds: i64) -> Option<Reason> {
    Some(Reason::Late { by: TimeDelta::seconds(seconds) })
}

fn into(instant: &str) -> Option<Reason> {
    Some(Reason::Coalesced { into: at(instant) })
}

pub(super) fn hourly() -> Schedule {
    Schedule::new("s", vec![Recurrence::Every(Duration::from_secs(3_600))])
}

fn seen() -> schedule::Model {
    schedule::Model {
        spec: hourly().spec(),
        last_at: at("2026-11-21T09:00:00Z"),
        created_at: at("2026-11-20T00:00:00Z"),
        defined_on: None,
        defined_at: None,
        ..definitions::tests::row("")
    }
}

fn node(id: &str, started_at: &str, lease_expires_at: &str) -> node::Model {
    node::Model {
        id: id.into(),
        name: id.into(),
        host: "h".into(),
        pid: 1,
        version: "1".into(),
        state: sexton_entities::states::NodeState::Running,
        started_at: at(started_at),
        heartbeat_at: at(started_at),
        lease_expires_at: at(lease_expires_at),
        modules: None,
        defines: None,
        disabled: None,
        queues: None,
        schedules: None,
        deployment: None,
        wakeup: None,
    }
}

/// An hourly schedule whose latest entry is that of 09:00, seen at `now`.
pub(super) fn background<'a>(schedule: &'a Schedule, now: &str) -> Background<'a> {
    Background {
        name: "s",
        seen: Some(seen()),
        schedule: Some(schedule),
        keep: Duration::from_secs(90 * 86_400),
        now: at(now),
        ..Background::default()
    }
}

pub(super) fn of(background: &Background<'_>, known: &InstantRecord) -> Account {
    let (_, expected, _) = background.neighbours(at(AT));
    background.account(at(AT), expected, known)
}

pub(super) fn with(entry: occurrence::Model) -> InstantRecord {
    InstantRecord { entry: Some(entry), ..InstantRecord::default() }
}

pub(super) fn told(background: &Background<'_>, known: &InstantRecord) -> String {
    of(background, known).why
}

pub(super) fn attempt(id: i64, verdict: Verdict, error: Option<&str>) -> Run {
    let attempt = history::Model {
        id: 1,
        task_id: Some(id),
        name: "s".into(),
        kind: None,
        queue: None,
        schedule: Some("s".into()),
        due_at: Some(at(AT)),
        enqueued_at: None,
        claimed_at: None,
        started_at: None,
        finished_at: at(AT),
        duration_ms: Some(2_000),
        node: None,
        attempt: 1,
        outcome: Outcome::Succeeded,
        verdict: Some(verdict),
        exit_code: None,
        signal: None,
        error: error.map(str::to_owned),
        payload: None,
        fence: 1,
        core_dumped: None,
        cpu_user_ms: None,
        cpu_system_ms: None,
        peak_memory: None,
        output_bytes: None,
        result: None,
        cancelled_by: None,
        cancelled_host: None,
        cancel_reason: None,
        reason_code: None,
        left_behind: None,
        traceparent: None,
        group_name: None,
    };
    Run { attempt: Some(attempt), ..Run::default() }
}

pub(super) fn unfinished(id: i64, state: TaskState) -> Run {
    let task = task::Model {
        id,
        name: "s".into(),
        queue: Some("q".into()),
        state,
        priority: 0,
        payload: None,
        run_at: at(AT),
        unique_key: None,
        attempt: 1,
        max_attempts: None,
        fence: 1,
        schedule: Some("s".into()),
        due_at: Some(at(AT)),
        enqueued_at: at(AT),
        started_at: None,
        node: None,
        cancel_requested_at: None,
        pickups: 0,
        progress: None,
        snoozes: 0,
        unknown_since: None,
        expires_at: None,
        traceparent: None,
        tracestate: None,
        group_name: None,
        predecessors: None,
        limit_key: None,
        applied: None,
    };
    Run { task: Some(task), ..Run::default() }
}

#[test]
fn an_entry_of_the_ledger_is_explained_from_its_values() {
    let hourly = hourly();
    let hourly = background(&hourly, LATER);
    let fired = with(entry(AT, Fate::Fired, None));
    let gone = "s ran at 2026-11-21T10:00:00Z, on time, as a task that is no longer on record";
    assert_eq!(told(&hourly, &fired), gone);
    let late = with(entry(AT, Fate::Late, late(180)));
    let ran = "s ran for 2026-11-21T10:00:00Z, late by 3m: no node entered it in time, as a";
    assert!(told(&hourly, &late).starts_with(ran));
    let skipped = with(entry(AT, Fate::Skipped, Some(Reason::Paused)));
    assert_eq!(told(&hourly, &skipped), "s was skipped at 2026-11-21T10:00:00Z: the schedule is paused");
    // The node that entered it started after the instant.
    let nodes = vec![node("n", "2026-11-21T10:02:00Z", LATER)];
    let since = told(&Background { nodes, ..hourly }, &late);
    assert!(since.contains("; node n, which entered it, has been up since 2026-11-21T10:02:00Z, as a task"), "{since}");
}

#[test]
fn a_coalesced_instant_is_explained_with_the_run_in_its_place() {
    let hourly = hourly();
    let schedule = background(&hourly, LATER);
    let eleven = "2026-11-21T11:00:00Z";
    let coalesced = |other| InstantRecord { into: other, ..with(entry(AT, Fate::Coalesced, into(eleven))) };
    let account = of(&schedule, &coalesced(None));
    assert_eq!((account.became, account.into, account.task_id), (Became::Coalesced, Some(at(eleven)), None));
    assert!(account.why.ends_with("itself: coalesced into the run of 2026-11-21T11:00:00Z"), "{}", account.why);
    let late = entry(eleven, Fate::Late, late(3_600));
    let ran = of(&schedule, &coalesced(Some((late, attempt(9, Verdict::Completed, None)))));
    assert!(ran.words.ends_with("11:00:00Z, as task 9, which was completed after 2.0 s"), "{}", ran.words);
    assert_eq!(ran.task_id, Some(9));
    let paused = entry(eleven, Fate::Skipped, Some(Reason::Paused));
    let paused = told(&schedule, &coalesced(Some((paused, Run::default()))));
    assert!(paused.ends_with("which was skipped itself: the schedule is paused"), "{paused}");
    let unexplained = told(&schedule, &coalesced(Some((entry(eleven, Fate::Skipped, None), Run::default()))));
    assert!(unexplained.ends_with("which was skipped itself: no reason is on record"), "{unexplained}");
}

#[test]
fn typed_values_accompany_the_sentence() {
    let hourly = hourly();
    let schedule = background(&hourly, LATER);
    let mut stored = entry(AT, Fate::Coalesced, into("2026-11-21T11:00:00Z"));
    (stored.stands_for, stored.stands_for_more) = (10_000, true);
    let account = serde_json::to_value(of(&schedule, &with(stored))).expect("JSON");
    let expected = serde_json::json!({
        "reason": "coalesced into the run of 2026-11-21T11:00:00Z; stands for more than 10000 earlier instants",
        "reason_code": "coalesced", "coalesced_into": "2026-11-21T11:00:00Z", "held_until": null, "late_ms": null,
        "stands_for": 10_000, "stands_for_more": true,
    });
    for (field, value) in expected.as_object().expect("an object") {
        assert_eq!(&account[field], value, "{field}");
    }
}

fn office() -> std::sync::Arc<Period> {
    sample("office", "monday - friday", "09:00-17:00").get("office").expect("the period").clone()
}

#[test]
fn a_period_is_explained_with_the_ranges_around_the_instant() {
    let ranges = "`monday - friday 09:00-17:00` ended at 2026-11-20T17:00:00+00:00, and `monday - friday 09:00-17:00` begins at \
                  2026-11-23T09:00:00+00:00";
    let office = office();
    let schedule = Schedule { period: Some("office".to_owned()), ..hourly() };
    let decision = || schedule.due(at("2026-11-21T09:00:00Z"), at(AT), None).remove(0);
    let reason = |schedule: &Schedule, decision| schedule.within(decision, Some(&office)).reason;
    let (skip, decided) = (reason(&schedule, decision()), decision());
    fn of_period<'a>(office: &'a Period, schedule: &'a Schedule, now: &str) -> Background<'a> {
        Background { period: Some(office), ..background(schedule, now) }
    }
    let of_office = |now| of_period(&office, &schedule, now);
    let skipped = of(&of_office(LATER), &with(entry(AT, Fate::Skipped, skip)));
    assert_eq!(skipped.why, format!("s was skipped at 2026-11-21T10:00:00Z: outside period office: {ranges}"));
    let ahead = told(&of_office("2026-11-21T09:30:00Z"), &InstantRecord::default());
    assert!(ahead.contains(" is 30m ahead, and it is skipped: outside period office: `monday"), "{ahead}");
    let no_node = told(&of_office(LATER), &InstantRecord::default());
    assert!(no_node.contains("none is running now, and it is skipped: outside period office: `monday"), "{no_node}");
    let schedule = Schedule { outside_period: Outside::Hold, ..schedule };
    let ahead = told(&of_period(&office, &schedule, "2026-11-21T09:30:00Z"), &InstantRecord::default());
    let into = "and it is coalesced into the run of 2026-11-23T08:00:00Z: outside period office: `monday";
    assert!(ahead.contains(into), "{ahead}");
    let schedule = Schedule { policy: Policy { missed: Missed::All, ..Policy::default() }, ..schedule };
    let of_office = |now| of_period(&office, &schedule, now);
    let hold = reason(&schedule, decided);
    let known = InstantRecord { run: unfinished(4, TaskState::Scheduled), ..with(entry(AT, Fate::Fired, hold)) };
    let held = of(&of_office(LATER), &known);
    assert_eq!((held.became, held.columns.held_until), (Became::Held, Some(at("2026-11-23T09:00:00Z"))));
    let until = "held until 2026-11-23T09:00:00Z: outside period office";
    assert_eq!(held.words, format!("{until}: {ranges}, as task 4, which is scheduled"));
    let ahead = told(&of_office("2026-11-21T09:30:00Z"), &InstantRecord::default());
    assert!(ahead.contains("and it is held until 2026-11-23T09:00:00Z: outside period office: `monday"), "{ahead}");
    // By now the period includes Mondays.
    let monday = of_office("2026-11-24T00:00:00Z");
    let entry =
        entry("2026-11-23T10:00:00Z", Fate::Skipped, Some(Reason::OutsidePeriod { period: "office".to_owned() }));
    let edited = monday.account(at("2026-11-23T10:00:00Z"), Some(true), &with(entry));
    assert_eq!(edited.words, "outside period office; the period has been edited since");
}

#[test]
fn an_instant_without_an_entry_is_explained_from_the_other_tables() {
    let hourly = hourly();
    let schedule = background(&hourly, LATER);
    let nothing = InstantRecord::default();
    let down = of(&schedule, &nothing);
    assert_eq!(down.became, Became::NotRun);
    assert!(down.why.ends_with("no daemon with this schedule was running, and none is running now"), "{}", down.why);
    let now = |now: &str| Background { now: at(now), ..schedule.clone() };
    let due = of(&now("2026-11-21T10:00:20Z"), &nothing);
    assert_eq!(due.why, "s has been due since 2026-11-21T10:00:00Z, and no node has entered it yet");
    assert_eq!(told(&now("2026-11-21T09:30:00Z"), &nothing), "s is not due yet: 2026-11-21T10:00:00Z is 30m ahead");
    let other = |change: fn(&mut schedule::Model)| {
        let mut seen = seen();
        change(&mut seen);
        Background { seen: Some(seen), ..schedule.clone() }
    };
    let all_paused = Background { all_paused_since: Some(at("2026-11-21T09:59:00Z")), ..schedule.clone() };
    assert_eq!(
        told(&all_paused, &nothing),
        "s has been due since 2026-11-21T10:00:00Z, and everything is paused since 2026-11-21T09:59:00Z: no schedule \
         fires until `sexton resume`"
    );
    let maintained = Background { maintenance_since: Some(at("2026-11-21T09:59:00Z")), ..schedule.clone() };
    assert_eq!(
        told(&maintained, &nothing),
        "s has been due since 2026-11-21T10:00:00Z, and maintenance is on since 2026-11-21T09:59:00Z: no schedule fires \
         until it is over"
    );
    let paused_later = Background { all_paused_since: Some(at("2026-11-21T10:01:00Z")), ..schedule.clone() };
    assert!(!told(&paused_later, &nothing).contains("everything"), "it was not the cause");
    let paused = other(|seen| seen.paused = true);
    assert!(told(&paused, &nothing).ends_with(", and the schedule is paused"));
    let newer = other(|seen| seen.created_at = at("2026-11-21T11:30:00Z"));
    assert!(told(&newer, &nothing).contains("the schedule is newer: it was first seen at 2026-11-21T11:30:00Z"));
    // The schedule is beyond its last entry: it was edited.
    let further = other(|seen| seen.last_at = at("2026-11-21T11:10:00Z"));
    let edited = of(&further, &nothing);
    assert_eq!(edited.became, Became::NotRun);
    assert!(edited.words.starts_with("the schedule was edited and restarted at 2026-11-21T11:10:00Z"));
    let next = |stands_for| {
        let reason = into("2026-11-21T11:00:00Z");
        let next = occurrence::Model { stands_for, ..entry("2026-11-21T10:30:00Z", Fate::Coalesced, reason) };
        InstantRecord { next: Some(next), ..InstantRecord::default() }
    };
    let summed = of(&further, &next(25));
    assert_eq!((summed.became, summed.into), (Became::Coalesced, Some(at("2026-11-21T11:00:00Z"))));
    assert!(summed.words.starts_with("the entry of 2026-11-21T10:30:00Z stands for it: coalesced"), "{}", summed.words);
    let gap = of(&further, &next(0));
    assert_eq!((gap.became, gap.into), (Became::NotKnown, None));
    let unknown = "the record does not show what happened to s at 2026-11-21T10:00:00Z: there is no record of it";
    assert!(gap.why.starts_with(unknown), "{}", gap.why);
    let short = Background { keep: Duration::from_secs(3_600), ..further };
    assert!(told(&short, &nothing).ends_with("its entry would be older than history is kept (1h)"));
    let unseen = Background { seen: None, ..schedule };
    assert!(told(&unseen, &nothing).ends_with("no node has seen this schedule yet"));
}

#[test]
fn with_daemons_up_the_cause_is_not_guessed() {
    let hourly = hourly();
    let up = |started_at| Background {
        nodes: vec![node("n", started_at, "2026-11-21T13:00:00Z")],
        ..background(&hourly, LATER)
    };
    let early = up("2026-11-21T08:00:00Z");
    let unknown = of(&early, &InstantRecord::default());
    assert_eq!(unknown.became, Became::NotKnown);
    assert!(
        unknown.words.ends_with("although n has been up since 2026-11-21T08:00:00Z: it may not have this schedule")
    );
    let off = of(&Background { is_cron_off: true, ..early.clone() }, &InstantRecord::default());
    assert!(off.words.ends_with("the configuration here disables the daemon module cron"), "{}", off.words);
    let mut edited = seen();
    edited.spec = "every 2h".to_owned();
    let edited = of(&Background { seen: Some(edited), ..early }, &InstantRecord::default());
    assert!(edited.words.ends_with("have the schedule as `every 2h`, the configuration here as `every 1h`"));
    let late = of(&up("2026-11-21T11:30:00Z"), &InstantRecord::default());
    assert!(late.words.ends_with("the first daemon that is up, n, started at 2026-11-21T11:30:00Z"), "{}", late.words);
}

#[test]
fn an_unexpected_instant_is_explained_with_its_neighbours() {
    let schedule = hourly();
    let schedule = background(&schedule, LATER);
    let (before, expected, after) = schedule.neighbours(at("2026-11-21T10:30:00Z"));
    assert_eq!((before, expected, after), (Some(at(AT)), Some(false), Some(at("2026-11-21T11:00:00Z"))));
    let account = schedule.account(at("2026-11-21T10:30:00Z"), expected, &InstantRecord::default());
    let expected = "s is not expected at 2026-11-21T10:30:00Z: the nearest instants are 2026-11-21T10:00:00Z and \
                    2026-11-21T11:00:00Z";
    assert_eq!((account.became, account.why.as_str()), (Became::NotExpected, expected));
    let due = schedule.expected(None, 3);
    assert_eq!(due, [at(AT), at("2026-11-21T11:00:00Z"), at(LATER)]);
    assert_eq!(schedule.expected(Some(at("2026-11-21T11:30:00Z")), 3), [at(LATER)]);
    assert_eq!(schedule.expected(Some(at(LATER)), 3), [at(LATER)]);
    assert_eq!(schedule.expected(None, 1_000).len(), 36, "nothing was expected before it was first seen");
}

proptest! {
    #[test]
    fn no_text_decides_what_became_of_an_instant(
        reason in reasons(),
        fate in proptest::sample::select(Fate::ALL),
        stands_for in 0i64..3,
        text in any::<String>(),
        sentence in reasons(),
        is_next in any::<bool>(),
    ) {
        let hourly = hourly();
        let mut seen = seen();
        seen.last_at = at(LATER);
        let background = Background { seen: Some(seen), ..background(&hourly, LATER) };
        let mut stored = occurrence::Model { stands_for, ..entry(AT, fate, Some(reason)) };
        let mut decided = |text: Option<String>| {
            stored.reason = text;
            let next = occurrence::Model { due_at: at("2026-11-21T10:30:00Z"), ..stored.clone() };
            let known = match is_next {
                true => InstantRecord { next: Some(next), ..InstantRecord::default() },
                false => with(stored.clone()),
            };
            let account = of(&background, &known);
            (account.became, account.fate, account.columns, account.into, account.stands_for, known.coalesced_into())
        };
        let without = decided(None);
        prop_assert_eq!(&decided(Some(text)), &without);
        prop_assert_eq!(&decided(Some(sentence.to_string())), &without);
    }
}
