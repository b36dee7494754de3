//! Sentences, columns, and that no rule depends on a text.

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof, proptest};
use sexton_entities::{occurrence, states::Fate};

use super::{columns::ReasonColumns, *};

/// An entry of the ledger for schedule `s`.
pub(in crate::domain::schedule) fn entry(
    due_at: DateTime<Utc>,
    fate: Fate,
    reason: Option<&Reason>,
) -> occurrence::Model {
    let columns = ReasonColumns::of(reason);
    let text = match reason {
        Some(Reason::Other { text }) => text.clone(),
        _ => None,
    };
    occurrence::Model {
        schedule: "s".to_owned(),
        due_at,
        fate,
        reason: text,
        node: "n".to_owned(),
        entry: "e".to_owned(),
        entered_at: due_at,
        reason_code: columns.reason_code,
        late_ms: columns.late_ms,
        coalesced_into: columns.coalesced_into,
        held_until: columns.held_until,
        period: columns.period,
        blocked_by: columns.blocked_by,
        missed_max: columns.missed_max,
        missed_age_ms: columns.missed_age_ms,
        window_from: columns.window_from,
        window_to: columns.window_to,
        window_at: columns.window_at,
        window_timezone: columns.window_timezone,
        stands_for: 0,
        stands_for_more: false,
    }
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("an instant")
}

fn time(hour: u32) -> NaiveTime {
    NaiveTime::from_hms_opt(hour, 0, 0).expect("a time")
}

#[test]
fn every_reason_has_a_sentence() {
    let (instant, seconds) = (at("2026-11-21T10:00:00Z"), TimeDelta::seconds);
    let office = || "office".to_owned();
    let zone = "Europe/Berlin".to_owned();
    let told = [
        (Reason::Late { by: seconds(30) }, "late by 30s"),
        (Reason::Late { by: seconds(180) }, "late by 3m: no node entered it in time"),
        (Reason::Missed, "missed: no node entered it in time, and the schedule skips missed runs"),
        (Reason::MissedMax { max: 1 }, "missed: only the latest missed run is made up for"),
        (Reason::MissedMax { max: 24 }, "missed: only the latest 24 missed runs are made up for"),
        (Reason::MissedAge { by: seconds(240), limit: seconds(150) }, "missed: 4m late, and at most 2m 30s is allowed"),
        (
            Reason::MissedWindow { from: time(5), to: time(6), at: time(4), zone },
            "missed: 04:00 is outside the window 05:00-06:00 Europe/Berlin",
        ),
        (Reason::Overlap { unfinished: instant }, "the run of 2026-11-21T10:00:00Z is not finished"),
        (Reason::Queued { unfinished: instant, late_by: None }, "queued behind the run of 2026-11-21T10:00:00Z"),
        (
            Reason::Queued { unfinished: instant, late_by: Some(seconds(180)) },
            "queued behind the run of 2026-11-21T10:00:00Z; late by 3m: no node entered it in time",
        ),
        (Reason::Coalesced { into: instant }, "coalesced into the run of 2026-11-21T10:00:00Z"),
        (Reason::Held { until: instant, period: office() }, "held until 2026-11-21T10:00:00Z: outside period office"),
        (Reason::OutsidePeriod { period: office() }, "outside period office"),
        (Reason::Paused, "the schedule is paused"),
        (Reason::Other { text: Some("because".to_owned()) }, "because"),
        (Reason::Other { text: None }, "no reason is on record"),
    ];
    for (reason, expected) in told {
        assert_eq!(reason.to_string(), expected);
    }
}

#[test]
fn an_entry_says_how_many_it_stands_for() {
    let others = |count, is_more| Some(StandsFor { count, is_more });
    let told = |reason: Option<Reason>, others| sentence(reason.as_ref(), others);
    assert_eq!(told(None, None), None);
    assert_eq!(told(Some(Reason::Paused), None).as_deref(), Some("the schedule is paused"));
    assert_eq!(told(None, others(7, false)).as_deref(), Some("on time; stands for 7 earlier instants"));
    let one = told(Some(Reason::Paused), others(1, false));
    assert_eq!(one.as_deref(), Some("the schedule is paused; stands for 1 earlier instant"));
    assert!(told(None, others(10_000, true)).is_some_and(|told| told.ends_with("more than 10000 earlier instants")));
}

#[test]
fn what_waits_for_a_run_keeps_its_lateness_and_its_period() {
    let unfinished = at("2026-11-21T10:00:00Z");
    let late = TimeDelta::seconds(30);
    let behind = |reason| Reason::queued_behind(unfinished, reason);
    assert_eq!(behind(None), Reason::Queued { unfinished, late_by: None });
    assert_eq!(behind(Some(Reason::Late { by: late })), Reason::Queued { unfinished, late_by: Some(late) });
    let held = Reason::Held { until: unfinished, period: "office".to_owned() };
    assert_eq!(behind(Some(held.clone())), held);
}

#[test]
fn an_entry_without_the_values_of_its_code_shows_its_text() {
    let coalesced = Reason::Coalesced { into: at("2026-11-21T10:00:00Z") };
    let mut damaged = entry(at("2026-11-21T09:00:00Z"), Fate::Coalesced, Some(&coalesced));
    assert_eq!(Reason::of(&damaged), Some(coalesced));
    damaged.coalesced_into = None;
    assert_eq!(Reason::of(&damaged), Some(Reason::Other { text: None }));
    let on_time = entry(at("2026-11-21T09:00:00Z"), Fate::Fired, None);
    assert_eq!(Reason::of(&on_time), None);
    let unexplained = entry(at("2026-11-21T09:00:00Z"), Fate::Skipped, None);
    assert_eq!(Reason::of(&unexplained), Some(Reason::Other { text: None }));
}

#[test]
fn a_lateness_beyond_the_grace_period_stays_beyond_it() {
    let by = GRACE + TimeDelta::nanoseconds(1_000);
    assert_eq!(ReasonColumns::of(Some(&Reason::Late { by })).late_ms, Some(60_001));
    assert_eq!(ReasonColumns::of(Some(&Reason::Late { by: GRACE })).late_ms, Some(60_000));
    assert_eq!(ReasonColumns::of(Some(&Reason::Late { by: TimeDelta::MAX })).late_ms, Some(i64::MAX));
}

/// Any instant with the resolution of the database.
fn instants() -> impl Strategy<Value = DateTime<Utc>> {
    (0i64..4_000_000_000_000_000).prop_map(|micros| DateTime::from_timestamp_micros(micros).expect("an instant"))
}

fn lengths() -> impl Strategy<Value = TimeDelta> {
    (0i64..10_000_000_000).prop_map(TimeDelta::milliseconds)
}

fn times() -> impl Strategy<Value = NaiveTime> {
    (0u32..1_440).prop_map(|minute| NaiveTime::from_hms_opt(minute / 60, minute % 60, 0).expect("a time"))
}

/// Any reason. Names and texts are arbitrary, sentences of ours included.
pub(in crate::domain::schedule) fn reasons() -> impl Strategy<Value = Reason> {
    let texts = || prop_oneof![any::<String>(), Just("held until 2026-11-21T10:00:00Z: outside period x".to_owned())];
    prop_oneof![
        lengths().prop_map(|by| Reason::Late { by }),
        Just(Reason::Missed),
        (1usize..1_000).prop_map(|max| Reason::MissedMax { max }),
        (lengths(), lengths()).prop_map(|(by, limit)| Reason::MissedAge { by, limit }),
        (times(), times(), times(), texts()).prop_map(|(from, to, at, zone)| Reason::MissedWindow {
            from,
            to,
            at,
            zone
        }),
        instants().prop_map(|unfinished| Reason::Overlap { unfinished }),
        (instants(), proptest::option::of(lengths()))
            .prop_map(|(unfinished, late_by)| Reason::Queued { unfinished, late_by }),
        instants().prop_map(|into| Reason::Coalesced { into }),
        (instants(), texts()).prop_map(|(until, period)| Reason::Held { until, period }),
        texts().prop_map(|period| Reason::OutsidePeriod { period }),
        Just(Reason::Paused),
        proptest::option::of(texts()).prop_map(|text| Reason::Other { text }),
    ]
}

proptest! {
    #[test]
    fn the_columns_hold_every_reason_without_its_sentence(reason in reasons(), due_at in instants()) {
        let stored = entry(due_at, Fate::Skipped, Some(&reason));
        prop_assert_eq!(Reason::of(&stored), Some(reason));
    }
}
