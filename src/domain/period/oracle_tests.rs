//! Random periods against an oracle that marks each minute of a year by the text of the rules.

use std::sync::OnceLock;

use proptest::prelude::*;

use super::{tests::period, *};

/// A definition by the text of the rules, without the types of the implementation.
#[derive(Clone, Debug)]
struct OracleRule {
    text: String,
    /// The days of the year, found by trying each.
    days: Vec<NaiveDate>,
    rank: u8,
    times: Vec<(i64, i64)>,
}

const ZONES: [Tz; 5] =
    [Tz::UTC, Tz::Europe__Berlin, Tz::America__New_York, Tz::Australia__Lord_Howe, Tz::America__Santiago];
const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

fn year() -> Vec<NaiveDate> {
    use chrono::Datelike as _;
    let first = NaiveDate::from_ymd_opt(2025, 12, 1).expect("a date");
    first.iter_days().take_while(|day| (day.year(), day.month()) < (2027, 2)).collect()
}

/// The days of the month that have a property, in order.
fn in_month(like: NaiveDate, month: u32, test: impl Fn(NaiveDate) -> bool) -> Vec<NaiveDate> {
    use chrono::Datelike as _;
    let first = NaiveDate::from_ymd_opt(like.year(), month, 1).expect("a date");
    first.iter_days().take_while(|day| day.month() == month).filter(|day| test(*day)).collect()
}

/// The nth element of a list, or the nth from its end. `None` if the list is too short.
fn nth(days: &[NaiveDate], n: i64) -> Option<NaiveDate> {
    if n > 0 { days.get(n as usize - 1).copied() } else { days.iter().rev().nth((-n) as usize - 1).copied() }
}

fn weekday(day: NaiveDate) -> usize {
    use chrono::Datelike as _;
    day.weekday().num_days_from_monday() as usize
}

fn number(most: i64) -> impl Strategy<Value = i64> {
    (1..=most, any::<bool>()).prop_map(|(number, back)| if back { -number } else { number })
}

/// A definition of one of the kinds, with its days.
fn texts() -> impl Strategy<Value = (String, Vec<NaiveDate>, u8)> {
    use chrono::Datelike as _;
    let keep = |test: &dyn Fn(NaiveDate) -> bool| year().into_iter().filter(|day| test(*day)).collect::<Vec<_>>();
    let every = |_: NaiveDate| true;
    prop_oneof![
        (0_usize..7).prop_map(move |day| (DAYS[day].to_owned(), keep(&|at| weekday(at) == day), 5)),
        (0_usize..7, 0_usize..7, 1_usize..4).prop_map(move |(first, length, step)| {
            let days: Vec<usize> = (0..=length).step_by(step).map(|more| (first + more) % 7).collect();
            let text = format!("{} - {} / {step}", DAYS[first], DAYS[(first + length) % 7]);
            (text, keep(&|at| days.contains(&weekday(at))), 5)
        }),
        (0_usize..7, number(5)).prop_map(move |(day, n)| {
            let days = keep(&|at| nth(&in_month(at, at.month(), |at| weekday(at) == day), n) == Some(at));
            (format!("{} {n}", DAYS[day]), days, 4)
        }),
        (0_usize..7, number(4), 0_u32..12).prop_map(move |(day, n, month)| {
            let days = keep(&|at| nth(&in_month(at, month + 1, |at| weekday(at) == day), n) == Some(at));
            (format!("{} {n} {}", DAYS[day], MONTHS[month as usize]), days, 3)
        }),
        number(31).prop_map(move |n| {
            (format!("day {n}"), keep(&|at| nth(&in_month(at, at.month(), every), n) == Some(at)), 2)
        }),
        (1_i64..=31, 0_i64..=30, 1_i64..5).prop_map(move |(first, more, step)| {
            let last = (first + more).min(31);
            let days = keep(&|at| {
                let day = i64::from(at.day());
                (first..=last).contains(&day) && (day - first) % step == 0
            });
            (format!("day {first} - {last} / {step}"), days, 2)
        }),
        (1_i64..=28, 0_u32..12).prop_map(move |(n, month)| {
            let days = keep(&|at| nth(&in_month(at, month + 1, every), -n) == Some(at));
            (format!("{} -{n}", MONTHS[month as usize]), days, 1)
        }),
        (0_u32..11, 1_i64..=28, 1_u32..12, 1_i64..=28).prop_map(move |(month, first, months, last)| {
            let until = (month + months).min(11);
            let days = keep(&|at| {
                let here = (at.month() - 1, i64::from(at.day()));
                ((month, first)..=(until, last)).contains(&here)
            });
            (format!("{} {first} - {} {last}", MONTHS[month as usize], MONTHS[until as usize]), days, 1)
        }),
        (0_usize..365, 0_usize..60, 1_usize..9).prop_map(move |(first, more, step)| {
            let days = year();
            let last = (first + more).min(days.len() - 1);
            let text = format!("{} - {} / {step}", days[first], days[last]);
            (text, days[first..=last].iter().step_by(step).copied().collect(), 0)
        }),
        (0_usize..365, 2_usize..30).prop_map(move |(first, step)| {
            let days = year();
            (format!("{} / {step}", days[first]), days[first..].iter().step_by(step).copied().collect(), 0)
        }),
    ]
}

fn times() -> impl Strategy<Value = (i64, i64)> {
    // Mostly near the hours of clock changes.
    let time = || prop_oneof![0_i64..240, 0_i64..1_440];
    (time(), prop_oneof![time(), Just(1_440)])
}

fn definition() -> impl Strategy<Value = OracleRule> {
    (texts(), prop::collection::vec(times(), 1..3)).prop_map(|((text, days, rank), times)| OracleRule {
        text,
        days,
        rank,
        times,
    })
}

/// Every minute of fourteen months with its wall-clock time.
struct Minutes {
    first: DateTime<Utc>,
    /// The first minute at which the clocks show a time.
    seen: BTreeMap<chrono::NaiveDateTime, i64>,
    count: i64,
}

impl Minutes {
    fn known(zone: Tz) -> &'static Self {
        static KNOWN: [OnceLock<Minutes>; ZONES.len()] = [const { OnceLock::new() }; ZONES.len()];
        let at = ZONES.iter().position(|known| *known == zone).expect("one of them");
        KNOWN[at].get_or_init(|| Self::of(zone))
    }

    fn of(zone: Tz) -> Self {
        let first: DateTime<Utc> = "2025-12-03T00:00:00Z".parse().expect("an instant");
        let count = 420 * 1_440;
        let mut seen = BTreeMap::new();
        for minute in 0..count {
            let wall = (first + TimeDelta::minutes(minute)).with_timezone(&zone).naive_local();
            seen.entry(wall).or_insert(minute);
        }
        Self { first, seen, count }
    }

    /// The minute at which the clocks show a time, or would show it without the change.
    fn minute(&self, wall: chrono::NaiveDateTime) -> Option<i64> {
        let (shown, minute) = self.seen.range(..=wall).next_back()?;
        Some(minute + (wall - *shown).num_minutes())
    }

    fn marked(&self, definitions: &[OracleRule], precedence: bool) -> Vec<bool> {
        let mut marks = vec![false; self.count as usize];
        for day in year() {
            let of_day: Vec<&OracleRule> = definitions.iter().filter(|rule| rule.days.contains(&day)).collect();
            let highest = of_day.iter().map(|rule| rule.rank).min();
            for rule in of_day.iter().filter(|rule| !precedence || Some(rule.rank) == highest) {
                for (begin, end) in &rule.times {
                    let end = if end <= begin { end + 1_440 } else { *end };
                    let at = |minutes| self.minute(day.and_time(chrono::NaiveTime::MIN) + TimeDelta::minutes(minutes));
                    if let (Some(begin), Some(end)) = (at(*begin), at(end)) {
                        (begin..end.min(self.count)).for_each(|minute| marks[minute as usize] = true);
                    }
                }
            }
        }
        marks
    }
}

fn built(zone: Tz, definitions: &[OracleRule], precedence: bool) -> Period {
    let time = |minutes: i64| format!("{:02}:{:02}", minutes / 60, minutes % 60);
    let rules: Vec<(String, String)> = definitions
        .iter()
        .map(|rule| {
            let times: Vec<String> =
                rule.times.iter().map(|(begin, end)| format!("{}-{}", time(*begin), time(*end))).collect();
            (rule.text.clone(), times.join(","))
        })
        .filter(|(text, _)| text.parse::<DayRange>().is_ok())
        .collect();
    let rules: Vec<(&str, &str)> = rules.iter().map(|(days, times)| (days.as_str(), times.as_str())).collect();
    Period { precedence, ..period(zone, &rules) }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_year_of_minutes_agrees(
        zone in 0_usize..ZONES.len(),
        own in prop::collection::vec(definition(), 1..4),
        included in prop::collection::vec(definition(), 0..2),
        excluded in prop::collection::vec(definition(), 0..3),
        flags in any::<(bool, bool)>(),
        samples in prop::collection::vec(0_i64..360 * 1_440, 40),
    ) {
        let (precedence, prefer_includes) = flags;
        let zone = ZONES[zone];
        let minutes = Minutes::known(zone);
        let mut marks = minutes.marked(&own, precedence);
        let (more, less) = (minutes.marked(&included, true), minutes.marked(&excluded, true));
        for (minute, mark) in marks.iter_mut().enumerate() {
            *mark = match prefer_includes {
                true => (*mark && !less[minute]) || more[minute],
                false => (*mark || more[minute]) && !less[minute],
            };
        }
        let period = Period {
            prefer_includes,
            includes: vec![Arc::new(built(zone, &included, true))],
            excludes: vec![Arc::new(built(zone, &excluded, true))],
            ..built(zone, &own, precedence)
        };
        let at = |minute: i64| minutes.first + TimeDelta::minutes(minute);
        // It begins after a month, because the days before count as well, and covers a year.
        let (begin, end) = (40 * 1_440, 405 * 1_440);
        for minute in samples.iter().map(|sample| begin + sample) {
            let inside = marks[minute as usize];
            prop_assert_eq!(period.is_inside(at(minute)), inside, "{}", at(minute));
            let same = marks[minute as usize..end as usize].iter().take_while(|mark| **mark == inside).count() as i64;
            let change = (minute + same < end).then(|| at(minute + same));
            prop_assert_eq!(period.next_change(at(minute)).filter(|change| *change < at(end)), change, "{}", at(minute));
        }
        let spans = period.spans(Span { start: at(begin), end: at(end) });
        let mut found = vec![false; marks.len()];
        for span in spans.as_slice() {
            let minute = |at: DateTime<Utc>| (at - minutes.first).num_minutes() as usize;
            found[minute(span.start)..minute(span.end)].fill(true);
        }
        let wrong = (begin..end).find(|minute| found[*minute as usize] != marks[*minute as usize]);
        prop_assert_eq!(wrong.map(at), None);
    }
}
