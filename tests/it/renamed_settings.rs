//! Settings with new names: the old name still works, with a warning that names the new one.

use std::{fs, path::PathBuf};

use sexton::config::{Config, KnownNames, Mistakes, Source, load};
use tempfile::TempDir;

use crate::support::{Daemon, Database, Kind, Printed, block_on, sexton};

/// The table, the old name, the new name and a value that is not the default.
const RENAMED: [(&str, &str, &str, &str); 10] = [
    ("supervisor", "max_falls", "max_restarts", "3"),
    ("supervisor", "discard", "recycle_after", "\"2h\""),
    ("supervisor", "patience", "hang_timeout", "\"7s\""),
    ("supervisor", "first_delay", "restart_delay", "\"70ms\""),
    ("supervisor", "max_delay", "max_restart_delay", "\"7m\""),
    ("supervisor", "window", "restart_window", "\"70s\""),
    ("daemon", "config_settle", "reload_debounce", "\"7s\""),
    ("module.cron", "discard", "recycle_after", "\"3h\""),
    ("task.t", "window", "run_missed_between", "\"01:00-05:00\""),
    ("task.t", "outside", "outside_period", "\"hold\""),
];

/// A configuration in which every renamed setting is allowed.
fn text(table: &str, settings: &str) -> String {
    let base = [
        ("daemon", "workers = 7\n"),
        ("supervisor", "ping_interval = \"3s\"\n"),
        ("module.cron", "log = \"debug\"\n"),
        ("period.p", "ranges = { monday = \"09:00-17:00\" }\n"),
        ("task.t", "kind = \"noop\"\nschedule = \"@daily\"\nperiod = \"p\"\n"),
    ];
    let tables = base.map(|(name, lines)| {
        let more = if name == table { settings } else { "" };
        format!("[{name}]\n{lines}{more}")
    });
    tables.concat()
}

/// A file in a directory of its own.
fn file(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sexton.toml");
    fs::write(&file, text).unwrap();
    (folder, file)
}

fn read(text: &str) -> Result<Config, Mistakes> {
    let (_folder, file) = file(text);
    let known =
        KnownNames { kinds: vec!["noop".to_owned()], modules: vec!["cron".to_owned()], ..KnownNames::default() };
    load(&Source { file: Some(file), ..Source::default() }, &known)
}

#[test]
fn old_names_mean_what_the_new_ones_mean() {
    let plain = read(&text("", "")).unwrap();
    for (table, old, new, value) in RENAMED {
        let by_old = read(&text(table, &format!("{old} = {value}\n"))).unwrap();
        let by_new = read(&text(table, &format!("{new} = {value}\n"))).unwrap();
        assert_eq!(by_old.show(), by_new.show(), "{table}.{old}");
        assert_ne!(by_old.show(), plain.show(), "{table}.{old}");
        assert!(by_new.show().contains(new) && by_new.warnings.is_empty(), "{:?}", by_new.warnings);
        let warnings: Vec<&str> = by_old.warnings.iter().map(|warning| warning.text.as_str()).collect();
        assert_eq!(warnings, [format!("[{table}] {old} is now called {new}; the old name still works")]);
    }
}

#[test]
fn both_names_together_are_a_mistake() {
    for (table, old, new, value) in RENAMED {
        let mistakes = read(&text(table, &format!("{old} = {value}\n{new} = {value}\n"))).unwrap_err();
        let problem =
            format!("{table}.{old}: this is the old name of `{new}`, which is set as well: keep `{new}` only");
        assert_eq!(mistakes.0.len(), 1, "{mistakes}");
        assert!(mistakes.to_string().contains(&problem), "{mistakes}");
    }
}

#[test]
fn a_wrong_value_is_reported_under_the_name_that_was_written() {
    let mistakes = read(&text("supervisor", "patience = \"soon\"\n")).unwrap_err().to_string();
    assert!(mistakes.contains(":5: supervisor.patience: `soon`"), "{mistakes}");
}

#[test]
fn unknown_settings_are_compared_with_the_new_names() {
    let mistakes = read(&text("supervisor", "max_fals = 3\nmax_restart = 3\n")).unwrap_err().to_string();
    assert!(mistakes.contains("did you mean `max_restarts`?"), "{mistakes}");
    assert!(!mistakes.contains("max_falls"), "{mistakes}");
}

#[test]
fn the_check_reports_file_and_line() {
    let (_folder, file) = file("[supervisor]\nping_interval = \"3s\"\nmax_falls = 3\n");
    let warning =
        format!("{}:3: [supervisor] max_falls is now called max_restarts; the old name still works", file.display());
    let output = sexton(&file).args(["config", "check"]).output().unwrap();
    assert_eq!((output.status.code(), output.errors().trim()), (Some(0), warning.as_str()));
    let output = sexton(&file).args(["config", "check", "--json"]).output().unwrap();
    assert_eq!((output.json(), output.errors().trim()), (serde_json::json!([]), warning.as_str()));
    fs::write(&file, "[supervisor]\nmax_falls = 3\npatience = 4\n").unwrap();
    let output = sexton(&file).args(["config", "check"]).output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    assert!(output.errors().contains(":2: [supervisor] max_falls is now called max_restarts"), "{}", output.errors());
    assert!(output.errors().contains(":3: supervisor.patience: expected text"), "{}", output.errors());
}

#[test]
fn other_commands_print_the_warning_once_on_standard_error() {
    let (_folder, file) = file(&text("task.t", "outside = \"hold\"\n"));
    for arguments in [&["period", "list"][..], &["schedule", "next", "t"], &["plan", "--days", "1"], &["status"]] {
        let output = sexton(&file).args(arguments).args(["--json"]).output().unwrap();
        let warning = "[task.t] outside is now called outside_period";
        assert_eq!(output.errors().matches(warning).count(), 1, "{arguments:?}: {}", output.errors());
        assert!(!output.text().contains(warning), "{arguments:?}");
        output.json();
    }
}

#[test]
fn environment_variables_have_old_names_too() {
    let (_folder, file) = file("[supervisor]\nping_interval = \"3s\"\n");
    let output =
        sexton(&file).args(["config", "show", "--json"]).env("SEXTON__SUPERVISOR__MAX_FALLS", "7").output().unwrap();
    assert_eq!(output.json()["supervisor"]["max_restarts"], 7);
    let warning = "$SEXTON__SUPERVISOR__MAX_FALLS: [supervisor] max_falls is now called max_restarts";
    assert!(output.errors().contains(warning), "{}", output.errors());
}

#[test]
fn the_daemon_logs_the_warning_at_its_start_and_on_reload() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let file = database.config("n", "watch_config = false\nconfig_settle = \"2s\"\n[task.t]\nkind = \"noop\"\n");
        let daemon = Daemon::start(&file, &["run"]);
        let warned = |warning: &str| daemon.log().matches(warning).count();
        let first = "[daemon] config_settle is now called reload_debounce; the old name still works";
        assert_eq!(warned(first), 1, "{}", daemon.log());
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, format!("{text}[supervisor]\nmax_falls = 3\n")).unwrap();
        assert!(sexton(&file).arg("reload").output().unwrap().status.success());
        daemon.wait_for_log("[supervisor] max_falls is now called max_restarts");
        assert_eq!(warned(first), 2, "{}", daemon.log());
        daemon.stop();
    });
}
