//! `[period.NAME]` and `sexton period`, with the real binary.

use std::{fs, path::PathBuf, process::Output};

use sexton::config::{Config, ConfigDiff, KnownNames, Source, load};

use crate::support::{Printed, sexton};

/// A directory with a configuration and a calendar.
struct ConfigDir {
    folder: tempfile::TempDir,
}

const PERIODS: &str = r#"
[daemon]
timezone = "Europe/Berlin"

[period.office]
ranges = { monday = "09:00-17:00", thursday = "09:00-12:00,13:00-17:00", "2026-12-24" = "09:00-10:00", "day -1" = "00:00-24:00" }
includes = ["night"]
excludes = ["holidays"]
exclude_ics = "free.ics"
prefer_includes = false

[period.night]
timezone = "America/New_York"
ranges = { saturday = "22:00-06:00" }

[period.holidays]
ranges = { "december 25" = "00:00-24:00", "monday -1 may" = "00:00-24:00" }

[queue.q]
workers = 1
period = "office"
at_period_end = "stop"

[task.t]
kind = "noop"
schedule = "@hourly"
period = "office"
outside_period = "hold"
"#;

const CALENDAR: &str = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:1\r\nSUMMARY:Party\r\n\
                        DTSTART;VALUE=DATE:20250504\r\nRRULE:FREQ=YEARLY\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";

impl ConfigDir {
    fn of(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("sexton.toml"), text).unwrap();
        fs::write(folder.path().join("free.ics"), CALENDAR).unwrap();
        Self { folder }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("sexton.toml")
    }

    fn load(&self) -> Result<Config, String> {
        let known = KnownNames {
            kinds: vec!["command".to_owned(), "noop".to_owned()],
            modules: Vec::new(),
            ..KnownNames::default()
        };
        load(&Source { file: Some(self.file()), ..Source::default() }, &known).map_err(|mistakes| mistakes.to_string())
    }

    fn mistakes(text: &str) -> String {
        let home = Self::of(text);
        let folder = home.folder.path().display().to_string();
        home.load().expect_err(text).replace(&folder, "FOLDER")
    }

    fn period(&self, arguments: &[&str]) -> Output {
        sexton(&self.file()).arg("period").args(arguments).output().unwrap()
    }

    /// The exit code and the sentence.
    fn check(&self, name: &str, at: &str) -> (i32, String) {
        let output = self.period(&["check", name, "--at", at]);
        (output.status.code().unwrap(), output.text() + &output.errors())
    }
}

#[test]
fn check_reports_by_exit_code_and_sentence() {
    let home = ConfigDir::of(PERIODS);
    let (code, said) = home.check("office", "2026-11-23 12:00");
    assert_eq!(
        (code, said.as_str()),
        (0, "period office: Mon 2026-11-23 12:00:00 +01:00 is inside, until Mon 2026-11-23 17:00:00 +01:00\n")
    );
    let (code, said) = home.check("office", "2026-11-26 12:30");
    assert_eq!(
        (code, said.as_str()),
        (1, "period office: Thu 2026-11-26 12:30:00 +01:00 is outside, until Thu 2026-11-26 13:00:00 +01:00\n")
    );
    // The date has precedence over the weekday; the calendar and the other periods apply.
    assert_eq!(home.check("office", "2026-12-24 11:00").0, 1);
    assert_eq!(home.check("office", "2026-05-04 12:00").0, 1);
    assert_eq!(home.check("office", "2026-05-25 12:00").0, 1);
    assert_eq!(home.check("office", "2026-11-29 11:59").0, 0);
    assert_eq!(home.check("night", "2026-11-29T06:00:00-05:00").0, 1);
    for (arguments, told) in [
        (["check", "offic", "--at", "2026-11-23"], "there is no period `offic`; did you mean `office`?"),
        (["check", "office", "--at", "soon"], "`soon` is not a time"),
    ] {
        let output = home.period(&arguments);
        assert_eq!(output.status.code(), Some(2));
        assert!(output.errors().contains(told), "{}", output.errors());
    }
    let json = home.period(&["check", "office", "--at", "2026-11-23 12:00", "--json"]).json();
    assert_eq!((json["inside"].as_bool(), json["until"].as_str()), (Some(true), Some("2026-11-23T17:00:00+01:00")));
}

#[test]
fn list_and_show_report_the_times() {
    let home = ConfigDir::of(PERIODS);
    let list = home.period(&["list", "--json"]).json();
    let office = list.as_array().unwrap().iter().find(|period| period["name"] == "office").unwrap();
    assert_eq!(office["used_by"], serde_json::json!(["queue q", "schedule t"]));
    assert!(office["until"].is_string() && office["inside"].is_boolean());
    let text = home.period(&["list"]).text();
    assert!(text.contains("America/New_York") && text.contains("period office"), "{text}");
    let shown = home.period(&["show", "office", "--days", "365", "--json"]).json();
    assert!(shown["spans"].as_array().unwrap().len() > 100);
    assert_eq!(shown["ranges"]["thursday"], "09:00-12:00,13:00-17:00");
    let text = home.period(&["show", "night"]).text();
    assert!(text.contains("time zone America/New_York") && text.contains("saturday: 22:00-06:00"), "{text}");
    assert_eq!(ConfigDir::of("").period(&["list"]).text(), "There are no periods.\n");
}

#[test]
fn shown_periods_can_be_read_back_and_compared() {
    let home = ConfigDir::of(PERIODS);
    let config = home.load().unwrap();
    // The working directory does not matter.
    let other = ConfigDir::of(&config.show());
    assert_eq!(other.load().unwrap(), config);
    fs::write(home.file(), PERIODS.replace("december 25", "december 26")).unwrap();
    let diff = ConfigDiff::between(&config, &home.load().unwrap());
    assert_eq!(diff.to_string(), "periods changed: holidays, office");
    fs::write(home.file(), PERIODS).unwrap();
    fs::write(home.folder.path().join("free.ics"), CALENDAR.replace("20250504", "20250505")).unwrap();
    assert_eq!(ConfigDiff::between(&config, &home.load().unwrap()).periods.changed, ["office"]);
    fs::write(home.file(), PERIODS.replace("outside_period = \"hold\"", "")).unwrap();
    assert_eq!(ConfigDiff::between(&config, &home.load().unwrap()).schedules.changed, ["t"]);
}

#[test]
fn mistakes_have_their_location() {
    let told = ConfigDir::mistakes(
        "[period.a]\nranges = { mondya = \"09:00-17:00\", tuesday = \"9-17\", friday = 7 }\n\
         [period.b]\nincludes = [\"c\"]\n[period.c]\nincludes = [\"b\"]\n[period.d]\nprefer_include = true\n\
         [period.e]\ninclude_ics = [\"none.ics\", \"free.ics\"]\nexcludes = [\"x\"]\n",
    );
    for expected in [
        "sexton.toml:2: period.a.ranges.\"mondya\": column 1: `mondya` is not a day; did you mean `monday`?",
        "sexton.toml:2: period.a.ranges.\"tuesday\": \"9-17\": column 1: `9` is not a time, expected HH:MM or HH:MM:SS",
        "sexton.toml:2: period.a.ranges.\"friday\": expected times such as \"09:00-17:00\", found an integer",
        "sexton.toml:6: period.c.includes: `b` leads back to itself: b → c → b",
        "sexton.toml:8: period.d.prefer_include: there is no such setting; did you mean `prefer_includes`?",
        "period.d: the period is always empty: set `ranges`, `includes` or `include_ics`",
        "sexton.toml:10: period.e.include_ics: FOLDER/none.ics: cannot read the file: No such file",
        "sexton.toml:11: period.e.excludes: there is no period `x`; known: a, b, c, d",
    ] {
        assert!(told.contains(expected), "missing: {expected}\nfound: {told}");
    }
    let task = |lines: &str| {
        ConfigDir::mistakes(&format!("[period.p]\nranges = {{ monday = \"\" }}\n[task.t]\nkind = \"noop\"\n{lines}"))
    };
    assert!(task("schedule = \"@daily\"\nperiod = \"q\"").contains("task.t.period: there is no period `q`; known: p"));
    assert!(task("period = \"p\"").contains("this setting needs a `schedule`"));
    assert!(task("schedule = \"@daily\"\noutside_period = \"hold\"").contains("this setting needs a `period`"));
    assert!(
        task("schedule = \"@daily\"\nperiod = \"p\"\noutside_period = \"wait\"")
            .contains("expected \"skip\" or \"hold\"")
    );
    let queue = ConfigDir::mistakes("[queue.q]\nworkers = 1\nat_period_end = \"stop\"\n");
    assert!(queue.contains("queue.q.at_period_end: this setting needs a `period`"), "{queue}");
}
