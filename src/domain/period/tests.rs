//! Typical periods, and the days of clock changes.

use super::*;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("an instant")
}

pub(super) fn period(zone: Tz, rules: &[(&str, &str)]) -> Period {
    let rule =
        |(days, times): &(&str, &str)| Rule { days: days.parse().expect(days), times: read_times(times).expect(times) };
    Period {
        name: "p".to_owned(),
        zone,
        rules: rules.iter().map(rule).collect(),
        precedence: true,
        prefer_includes: true,
        includes: Vec::new(),
        excludes: Vec::new(),
        include_ics: Vec::new(),
        exclude_ics: Vec::new(),
    }
}

/// The spans of one day in Berlin in wall-clock time.
fn day(rules: &[(&str, &str)], date: &str) -> Vec<String> {
    let zone = Tz::Europe__Berlin;
    let date: NaiveDate = date.parse().expect("a date");
    let whole = Span { start: wall_clock::time_of(zone, date, 0), end: wall_clock::time_of(zone, date, times::DAY) };
    let show = |at: DateTime<Utc>| at.with_timezone(&zone).format("%H:%M%:::z").to_string();
    let spans = period(zone, rules).spans(whole);
    spans.as_slice().iter().map(|span| format!("{} {}", show(span.start), show(span.end))).collect()
}

#[test]
fn begins_count_and_ends_do_not() {
    let office = period(Tz::UTC, &[("monday", "09:00-17:00")]);
    assert!(!office.is_inside(at("2026-11-23T08:59:59.999Z")));
    assert!(office.is_inside(at("2026-11-23T09:00:00Z")) && office.is_inside(at("2026-11-23T16:59:59.999Z")));
    assert!(!office.is_inside(at("2026-11-23T17:00:00Z")));
    assert_eq!(office.next_change(at("2026-11-23T09:00:00Z")), Some(at("2026-11-23T17:00:00Z")));
    assert_eq!(office.next_change(at("2026-11-23T17:00:00Z")), Some(at("2026-11-30T09:00:00Z")));
    assert_eq!(office.next_inside(at("2026-11-23T12:34:00Z")), Some(at("2026-11-23T12:34:00Z")));
    assert_eq!(office.next_inside(at("2026-11-23T08:59:59.5Z")), Some(at("2026-11-23T09:00:00Z")));
}

#[test]
fn over_midnight_and_touching_ranges() {
    let night = period(Tz::UTC, &[("saturday", "22:00-06:00"), ("sunday", "06:00-07:00")]);
    assert_eq!(night.next_change(at("2026-11-28T22:00:00Z")), Some(at("2026-11-29T07:00:00Z")));
    let always = period(Tz::UTC, &[("monday - sunday", "00:00-24:00")]);
    assert_eq!(
        (always.next_change(at("2026-11-28T22:00:00Z")), always.is_inside(at("2026-11-28T00:00:00Z"))),
        (None, true)
    );
    let long = period(Tz::UTC, &[("monday", "20:00-48:00")]);
    assert_eq!(long.next_change(at("2026-11-23T21:00:00Z")), Some(at("2026-11-25T00:00:00Z")));
}

#[test]
fn the_day_on_which_the_clocks_are_set_forward() {
    let spring = |times| day(&[("sunday", times)], "2026-03-29");
    assert_eq!(spring("02:00-04:00"), ["03:00+02 04:00+02"]);
    assert_eq!(spring("01:30-02:30"), ["01:30+01 03:30+02"]);
    assert_eq!(spring("02:15-02:45"), ["03:15+02 03:45+02"]);
    assert!(spring("02:30-03:15").is_empty());
    assert_eq!(spring("00:00-24:00"), ["00:00+01 00:00+02"]);
}

#[test]
fn the_day_on_which_the_clocks_are_set_back() {
    let autumn = |times| day(&[("sunday", times)], "2026-10-25");
    assert_eq!(autumn("02:00-04:00"), ["02:00+02 04:00+01"]);
    assert_eq!(autumn("02:15-02:45"), ["02:15+02 02:45+02"]);
    assert_eq!(autumn("01:30-02:30"), ["01:30+02 02:30+02"]);
    assert_eq!(autumn("02:30-03:30"), ["02:30+02 03:30+01"]);
    let whole = period(Tz::Europe__Berlin, &[("sunday", "02:00-04:00")]);
    assert_eq!(whole.next_change(at("2026-10-25T00:00:00Z")), Some(at("2026-10-25T03:00:00Z")));
}

#[test]
fn a_day_that_a_zone_leaves_out_has_no_times() {
    let samoa = period(Tz::Pacific__Apia, &[("2011-12-30", "09:00-10:00"), ("2011-12-31", "12:00-13:00")]);
    assert_eq!(samoa.next_inside(at("2011-12-29T00:00:00Z")), Some(at("2011-12-30T22:00:00Z")));
}

#[test]
fn the_more_special_definition_counts() {
    let rules =
        [("thursday", "09:00-17:00"), ("2026-12-24", "09:00-12:00"), ("day 31", "18:00-19:00"), ("2026-12-10", "")];
    assert_eq!(day(&rules, "2026-12-17"), ["09:00+01 17:00+01"]);
    assert_eq!(day(&rules, "2026-12-24"), ["09:00+01 12:00+01"]);
    assert_eq!(day(&rules, "2026-12-31"), ["18:00+01 19:00+01"]);
    assert!(day(&rules, "2026-12-10").is_empty());
    let mut union = period(Tz::Europe__Berlin, &rules);
    union.precedence = false;
    assert_eq!(union.next_change(at("2026-12-24T08:00:00Z")), Some(at("2026-12-24T16:00:00Z")));
}

#[test]
fn rare_and_late_changes_are_found() {
    let leap = period(Tz::UTC, &[("february 29", "09:00-17:00")]);
    assert_eq!(leap.next_inside(at("2096-03-01T00:00:00Z")), Some(at("2104-02-29T09:00:00Z")));
    let once = period(Tz::UTC, &[("2077-05-04", "09:00-17:00")]);
    assert_eq!(once.next_inside(at("2026-03-01T00:00:00Z")), Some(at("2077-05-04T09:00:00Z")));
    assert_eq!(once.next_change(at("2077-05-04T17:00:00Z")), None);
    let long = period(Tz::UTC, &[("2020-01-01 - 2099-12-31", "00:00-24:00")]);
    assert_eq!(long.next_change(at("2026-03-01T00:00:00Z")), Some(at("2100-01-01T00:00:00Z")));
}

fn drafts(links: &[(&str, &[&str], &[&str])]) -> BTreeMap<String, PeriodDraft> {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let one = |(name, includes, excludes): &(&str, &[&str], &[&str])| {
        let period = Period { name: (*name).to_owned(), ..period(Tz::UTC, &[("monday", "09:00-17:00")]) };
        ((*name).to_owned(), PeriodDraft { period, includes: names(includes), excludes: names(excludes) })
    };
    links.iter().map(one).collect()
}

#[test]
fn circles_and_unknown_names_are_told_with_their_chain() {
    let (periods, faults) =
        resolve(&drafts(&[("a", &["b"], &[]), ("b", &[], &["c"]), ("c", &["a", "d"], &[]), ("self", &["self"], &[])]));
    let told: Vec<String> =
        faults.iter().map(|fault| format!("{} {}: {}", fault.period, fault.setting, fault.problem)).collect();
    assert_eq!(told[0], "c includes: `a` leads back to itself: a → b → c → a");
    assert!(told[1].starts_with("c includes: there is no period `d`; known: a, b, self"), "{}", told[1]);
    assert!(told[1].ends_with("(a → b → c)"), "{}", told[1]);
    assert_eq!(told[2], "self includes: `self` leads back to itself: self → self");
    assert_eq!((told.len(), periods.0.len()), (3, 4));
}

#[test]
fn includes_or_excludes_have_the_last_word() {
    let with = |prefer_includes| {
        let mut drafts = drafts(&[("p", &["more"], &["less"]), ("more", &[], &[]), ("less", &[], &[])]);
        let rules = |times| period(Tz::UTC, &[("monday", times)]).rules;
        drafts.get_mut("more").expect("it").period.rules = rules("12:00-20:00");
        drafts.get_mut("less").expect("it").period.rules = rules("10:00-14:00");
        drafts.get_mut("p").expect("it").period.prefer_includes = prefer_includes;
        let (periods, _) = resolve(&drafts);
        let whole = Span { start: at("2026-11-23T00:00:00Z"), end: at("2026-11-24T00:00:00Z") };
        let spans = periods.get("p").expect("it").spans(whole);
        spans
            .as_slice()
            .iter()
            .map(|span| format!("{}", span.start.format("%H")) + &span.end.format("-%H").to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(with(true), ["09-10", "12-20"]);
    assert_eq!(with(false), ["09-10", "14-20"]);
}
