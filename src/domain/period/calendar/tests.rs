//! Calendars in the forms that programs write.

use proptest::prelude::*;

use super::*;

fn calendar(events: &str) -> String {
    let events = events.trim().lines().map(str::trim_start).collect::<Vec<_>>().join("\r\n");
    format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//x//y//EN\r\nBEGIN:VEVENT\r\n{events}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    )
}

fn spans(events: &str) -> Vec<String> {
    let spans = days_of(&calendar(events), Tz::Europe__Berlin).expect(events);
    let show =
        |at: chrono::DateTime<chrono::Utc>| at.with_timezone(&Tz::Europe__Berlin).format("%Y-%m-%d %H:%M").to_string();
    spans.as_slice().iter().map(|span| format!("{} - {}", show(span.start), show(span.end))).collect()
}

#[test]
fn days_and_times() {
    assert_eq!(
        spans("SUMMARY:Christmas\nDTSTART;VALUE=DATE:20261224\nDTEND;VALUE=DATE:20261227\nTRANSP:TRANSPARENT"),
        ["2026-12-24 00:00 - 2026-12-27 00:00"]
    );
    assert_eq!(spans("DTSTART;VALUE=DATE:20261003"), ["2026-10-03 00:00 - 2026-10-04 00:00"]);
    assert_eq!(spans("DTSTART:20261003T080000Z\nDURATION:PT1H30M"), ["2026-10-03 10:00 - 2026-10-03 11:30"]);
    assert_eq!(spans("DTSTART:20261003T080000\nDTEND:20261003T090000"), ["2026-10-03 08:00 - 2026-10-03 09:00"]);
    assert_eq!(
        spans("DTSTART;TZID=/x.org/2024/America/New_York:20261003T080000\nDURATION:P1D"),
        ["2026-10-03 14:00 - 2026-10-04 14:00"]
    );
    assert!(spans("DTSTART;VALUE=DATE:20261003\nSTATUS:CANCELLED").is_empty());
    assert!(spans("DTSTART:20261003T080000").is_empty());
    assert_eq!(spans("DTSTART;VALUE=DATE:20260329\nSUMMARY:a long\n  name").len(), 1);
}

#[test]
fn yearly_for_ever_is_until_2099() {
    let spans = spans("DTSTART;VALUE=DATE:20201224\nRRULE:FREQ=YEARLY");
    assert_eq!((spans.len(), spans[1].as_str()), (80, "2021-12-24 00:00 - 2021-12-25 00:00"));
}

#[test]
fn count_until_interval_and_exceptions() {
    let weekly = |rule: &str, more: &str| {
        let found = spans(&format!(
            "UID:1\nDTSTART;TZID=Europe/Berlin:20261012T090000\nDURATION:PT1H\nRRULE:FREQ=WEEKLY;{rule}{more}"
        ));
        found.iter().map(|span| span[5..16].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(weekly("COUNT=3", ""), ["10-12 09:00", "10-19 09:00", "10-26 09:00"]);
    assert_eq!(weekly("INTERVAL=2;COUNT=2", ""), ["10-12 09:00", "10-26 09:00"]);
    // A clock change lies in between, and the limit is an instant.
    assert_eq!(weekly("UNTIL=20261026T080000Z", "").len(), 3);
    assert_eq!(weekly("UNTIL=20261026T075959Z", "").len(), 2);
    assert_eq!(weekly("UNTIL=20261026", "").len(), 3);
    assert_eq!(weekly("BYDAY=MO,WE;COUNT=3", ""), ["10-12 09:00", "10-14 09:00", "10-19 09:00"]);
    let without = weekly("COUNT=3", "\nEXDATE;TZID=Europe/Berlin:20261019T090000,20261026T090000");
    assert_eq!(without, ["10-12 09:00"]);
    assert_eq!(weekly("COUNT=3", "\nEXDATE;VALUE=DATE:20261012").len(), 2);
    let moved = "\nEND:VEVENT\nBEGIN:VEVENT\nUID:1\nRECURRENCE-ID;TZID=Europe/Berlin:20261019T090000\n\
                 DTSTART;TZID=Europe/Berlin:20261020T100000\nDURATION:PT1H";
    assert_eq!(weekly("COUNT=3", moved), ["10-12 09:00", "10-20 10:00", "10-26 09:00"]);
    assert_eq!(spans("DTSTART;VALUE=DATE:20261001\nRDATE;VALUE=DATE:20261005,20261007").len(), 3);
    assert_eq!(
        spans("DTSTART;VALUE=DATE:20260904\nRRULE:FREQ=YEARLY;BYMONTH=9;BYDAY=1MO;COUNT=2"),
        ["2026-09-07 00:00 - 2026-09-08 00:00", "2027-09-06 00:00 - 2027-09-07 00:00"]
    );
}

#[test]
fn mistakes_name_the_event() {
    let mistake = |events: &str| days_of(&calendar(events), Tz::UTC).expect_err(events);
    assert_eq!(mistake("SUMMARY:Party"), "event `Party`: DTSTART is missing");
    assert!(
        mistake("UID:7\nDTSTART:tomorrow").starts_with("event `7`: DTSTART: `tomorrow` is neither a day nor a time")
    );
    assert!(mistake("DTSTART;TZID=W. Europe Standard Time:20261003T080000").contains("there is no time zone"));
    assert!(mistake("DTSTART:20261003\nRRULE:FREQ=HOURLY").contains("too frequent"));
    assert!(mistake("DTSTART:20261003\nRRULE:FREQ=OFTEN").contains("RRULE: `FREQ=OFTEN` cannot be read"));
    assert!(mistake("DTSTART:20261003\nDTEND:20261001").contains("DTEND is before DTSTART"));
    assert!(mistake("DTSTART:20261003\nDURATION:1D").contains("is not a duration"));
    assert!(days_of("<html>", Tz::UTC).expect_err("no calendar").contains("does not begin with"));
    assert!(days_of("BEGIN:VCALENDAR\nBEGIN:VEVENT\n", Tz::UTC).expect_err("incomplete").contains("is incomplete"));
    assert!(days_of(&format!("BEGIN:VCALENDAR\n{}", "BEGIN:X\n".repeat(100_000)), Tz::UTC).is_err());
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(lines in "((DTSTART|DTEND|RRULE|EXDATE|DURATION|TZID|FREQ|UNTIL|COUNT|YEARLY|WEEKLY|BYDAY|MO|-?[0-9]{1,3}|20261224|T180000|Z|P|D|[:;=,])|\\n){0,24}") {
        let _ = days_of(&calendar(&lines), Tz::UTC);
        let _ = days_of(&lines, Tz::UTC);
    }
}
