//! A schedule of the database is read by the rules of the file, and its mistakes have the same words.

use std::fs;

use serde_json::{Value, json};
use sexton::{
    config::{KnownNames, Source, load_anyway},
    domain::schedule::ScheduleDefinition,
};

const TASKS: &str = "[task.report]\nkind = \"noop\"\n";

fn known() -> KnownNames {
    KnownNames { kinds: vec!["noop".to_owned()], ..KnownNames::default() }
}

/// The problems of `[schedule.s]` in a file with these settings.
fn of_file(folder: &std::path::Path, settings: &Value) -> Vec<String> {
    let file = folder.join("sexton.toml");
    let table = toml::Table::try_from(json!({ "schedule": { "s": settings } })).unwrap();
    fs::write(&file, format!("{TASKS}{table}")).unwrap();
    let (_, mistakes) = load_anyway(&Source { file: Some(file), ..Source::default() }, &known());
    let mut problems: Vec<String> = mistakes.0.into_iter().map(|mistake| mistake.problem).collect();
    problems.sort();
    problems
}

#[test]
fn file_and_database_have_the_same_mistakes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tasks.toml");
    fs::write(&file, TASKS).unwrap();
    let (config, mistakes) = load_anyway(&Source { file: Some(file), ..Source::default() }, &known());
    assert!(mistakes.is_empty(), "{mistakes}");
    let with = |key: &str, value: Value| json!({ "task": "report", "every": "1h", key: value });
    let cases = [
        with("every", json!("x")),
        with("every", json!("1ms")),
        with("anchor", json!("yesterday")),
        with("cron", json!("* * * * *")),
        with("timezone", json!("UTC")),
        with("timezone", json!("Mars")),
        with("dst", json!("skip")),
        with("jitter", json!(3)),
        with("missed", json!("some")),
        with("missed_max", json!(3)),
        with("missed_age", json!("1s")),
        with("run_missed_between", json!("25:00-26:00")),
        with("overlap", json!(true)),
        with("period", json!("none")),
        with("outside_period", json!("hold")),
        with("expect", json!({})),
        with("priority", json!("high")),
        with("max_attempts", json!(0)),
        with("timeout", json!("0s")),
        with("expires", json!("0s")),
        with("retry", json!({"growth": "fast"})),
        with("retry", json!({"delays": "1s"})),
        with("command", json!(["id"])),
        with("max_parallel", json!(1)),
        with("warn", json!(1)),
        with("task", json!("repot")),
        json!({"task": "report", "schedule": [], "every": "1h"}),
        json!({"task": "report", "schedule": ["* * * * *", {"every": "x"}]}),
        json!({"task": "report", "week_days": ["mon"]}),
        json!({"task": "report"}),
        json!({"task": "report", "at": "2027-03-28T02:30", "timezone": "Europe/Berlin"}),
    ];
    for case in cases {
        let problems = of_file(folder.path(), &case);
        assert!(!problems.is_empty(), "{case} has a mistake");
        let mut row = ScheduleDefinition::new("s", case["task"].as_str().unwrap());
        for (key, value) in case.as_object().unwrap() {
            row = match key.as_str() {
                "task" => row,
                "cron" => row.cron(value.as_str().unwrap()),
                "timezone" => row.timezone(value.as_str().unwrap()),
                key => row.set(key, value.clone()),
            };
        }
        let why = config.check_database_schedule(&row, &[], &[]).unwrap_err();
        for problem in problems {
            assert!(why.contains(&problem), "{case}: «{problem}» is not in «{why}»");
        }
    }
}
