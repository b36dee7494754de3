//! Mistakes in the configuration: all are reported at once, each with its location and the way out.

use std::{fs, path::Path, time::Duration};

use sexton::{
    config::{KnownNames, Source, load},
    domain::task::{definition::TaskDefinition, retry::RetryPolicy},
};

use crate::support::{Printed, sexton};

fn known() -> KnownNames {
    let modules = sexton::domain::identity::ModuleName::BUILT_IN.iter().map(String::from).collect();
    let kinds = ["command", "http", "noop", "shell", "worker"].map(str::to_owned).to_vec();
    KnownNames { kinds, modules, ..KnownNames::default() }
}

pub(crate) fn mistakes(text: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sexton.toml");
    fs::write(&file, text).unwrap();
    let source = Source { file: Some(file.clone()), ..Source::default() };
    let mistakes = load(&source, &known()).expect_err("there are mistakes");
    mistakes.0.iter().map(|mistake| mistake.to_string().replace(&file.display().to_string(), "FILE")).collect()
}

pub(crate) fn sound(file: &Path) -> sexton::config::Config {
    load(&Source { file: Some(file.to_owned()), ..Source::default() }, &known()).unwrap()
}

#[test]
fn a_table_changes_what_it_names_of_a_handlers_definition() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sexton.toml");
    let text = "[task.send]\nretry = { delay = \"7s\" }\n[task.nightly]\nkind = \"send\"\nqueue = \"late\"\n[task.other]\nkind = \"noop\"\n";
    fs::write(&file, text).unwrap();
    let plain = TaskDefinition::new("send", "send");
    let retry = RetryPolicy { delay: Duration::from_secs(1), max_delay: Duration::from_secs(9), ..plain.retry };
    let definition = TaskDefinition { queue: "night".into(), max_attempts: 5, retry, ..plain };
    let mut known = known();
    known.kinds.push("send".to_owned());
    known.definitions.push(definition.clone());
    let config = load(&Source { file: Some(file), ..Source::default() }, &known).unwrap();
    let retry = RetryPolicy { delay: Duration::from_secs(7), ..retry };
    assert_eq!(*config.tasks["send"], TaskDefinition { retry, ..definition.clone() });
    assert_eq!(
        *config.tasks["nightly"],
        TaskDefinition { name: "nightly".to_owned(), queue: "late".into(), ..definition }
    );
    assert_eq!(config.tasks["other"].max_attempts, 1, "another kind");
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let text = r#"
[daemon]
workres = 4
lease = "soon"
timezone = "Europe/Berlinn"

[task.backup]
command = ["tar", 7]
schedule = "61 * * * *"
max_attempts = 0

[task.mail]
kind = "emial"

[queue.reports]
"#;
    let found = mistakes(text);
    for expected in [
        "FILE:3: daemon.workres: there is no such setting; did you mean `workers`?",
        "FILE:5: daemon.timezone: there is no time zone `Europe/Berlinn`; did you mean `Europe/Berlin`?",
        "FILE:4: daemon.lease: `soon` is not a duration: write a number and a unit, such as 250ms, 30s, 5m, 2h or 1d",
        "FILE:8: task.backup.command: expected a list of text, found a list with other items",
        "FILE:9: task.backup.schedule: minute (column 1): 61 is out of range, expected a number from 0 to 59",
        "FILE:10: task.backup.max_attempts: 0 is out of range, expected 1 to 1000000",
        "FILE:13: task.mail.kind: there is no handler of kind `emial`; known: command, http, noop, shell, worker",
        "FILE:15: queue.reports.workers: the setting is missing: how many tasks of this queue may run on this node at once?",
    ] {
        assert!(found.iter().any(|mistake| mistake == expected), "missing: {expected}\nfound: {found:#?}");
    }
    assert_eq!(found.len(), 8, "{found:#?}");
}

#[test]
fn broken_toml_is_reported_with_its_line() {
    let found = mistakes("[daemon]\nworkers = = 4\n");
    assert!(found[0].starts_with("FILE:2: invalid TOML:"), "{found:?}");
}

#[test]
fn schedules_are_checked_in_every_form() {
    let task = |schedule: &str| mistakes(&format!("[task.t]\nkind = \"noop\"\nschedule = {schedule}\n"));
    assert!(task("\"0 0 30 2 *\"")[0].contains("never runs"));
    assert!(task("{ every = \"5s\", timezone = \"UTC\" }")[0].contains("an interval has no time zone"));
    assert!(task("{ every = \"5s\", cron = \"* * * * *\" }")[0].contains("expected one of `cron`, `every`, `at`"));
    assert!(task("{}")[0].contains("expected one of `cron`"));
    assert!(task("{ week_days = [\"mon\"] }")[0].contains("`time` is missing, which `week_days` needs"));
    assert!(task("{ days = [1], hours = [2] }")[0].contains("`minutes` is missing, which `days` and `hours` need"));
    assert!(
        task("{ days = [1], hours = [24], minutes = [0] }")[0].contains("hours: 24 is out of range, expected 0 to 23")
    );
    assert!(task("{ days = [8], hours = [2], minutes = [0] }")[0].contains("schedule.days: 8 is out of range"));
    assert!(task("{ days = [], hours = [2], minutes = [0] }")[0].contains("name at least one day"));
    assert!(task("{ week_days = [\"moonday\"], time = \"2:30\" }")[0].contains("did you mean `MONDAY`?"));
    assert!(task("{ week_days = [\"mon\"], time = \"24:30\" }")[0].contains("`24:30` is not a time of day"));
    assert!(task("{ at = \"Christmas\" }")[0].contains("`Christmas` is not a time"));
    assert!(
        task("{ at = \"2026-03-29T02:30\", timezone = \"Europe/Berlin\" }")[0]
            .contains("does not exist in Europe/Berlin")
    );
    assert!(task("{ at = \"2026-03-29T02:30:00Z\", timezone = \"UTC\" }")[0].contains("the time has its own offset"));
    assert!(
        task("{ every = \"5s\", dst = \"all\" }")[0]
            .contains("schedule.dst: this setting needs a recurrence on wall clocks")
    );
    assert!(task("{ cron = \"@daily\", dst = \"twice\" }")[0].contains("expected \"cron\" or \"skip\" or \"all\""));
    assert!(task("{ cron = \"TZ=UTC @daily\", timezone = \"UTC\" }")[0].contains("has its own time zone"));
    assert!(
        task("[{ cron = \"@daily\", jitter = \"1m\" }, { every = \"1h\", jitter = \"2m\" }]")[0]
            .contains("another entry of the list has another jitter")
    );
    assert!(task("{ cron = \"@daily\", anchor = \"2026-01-01\" }")[0].contains("expected one of `cron`"));
    assert!(task("{ anchor = \"2026-01-01\" }")[0].contains("`every` is missing"));
    assert!(task("{ evry = \"5s\" }").iter().any(|mistake| mistake.contains("did you mean `every`")));
    assert!(task("[]")[0].contains("the list is empty"));
    assert!(task("[\"* * * * *\", \"x\"]")[0].contains("five fields"));
    assert!(task("7")[0].contains("found an integer"));
    assert!(task("{ every = \"1ms\" }")[0].contains("too short"));
}

#[test]
fn kinds_and_commands_must_agree() {
    let task = |lines: &str| mistakes(&format!("[task.t]\n{lines}\n")).join("\n");
    assert!(task("kind = \"command\"").contains("needs `command ="));
    assert!(task("kind = \"noop\"\ncommand = [\"true\"]").contains("conflicts with `command`"));
    assert!(task("queue = \"q\"").contains("neither `command` nor `kind`"));
    assert!(task("command = []").contains("the program is missing"));
    assert!(task("kind = \"noop\"\nenv = { A = \"b\" }").contains("this setting needs a `command` or a `script`"));
    assert!(mistakes("[task.\"a b\"]\nkind = \"noop\"\n")[0].contains("names are letters"));
}

#[test]
fn modules_must_exist_and_accept_their_settings() {
    let module = |name: &str, lines: &str| mistakes(&format!("[module.{name}]\n{lines}\n")).join("\n");
    assert!(module("dispatchr", "interval = \"1s\"").contains(
        "FILE:1: module.dispatchr: there is no daemon module `dispatchr`; did you mean `dispatcher`? (an external program needs `command"
    ));
    assert!(module("mail", "").contains("known: adopter, config_sync, cron, "));
    for needed in ["node", "recorder", "workers", "adopter"] {
        let found = module(needed, "enabled = false");
        assert!(
            found.contains(&format!("FILE:2: module.{needed}.enabled: without `{needed}` no task could be")),
            "{found}"
        );
    }
    assert!(module("dispatcher", "interval = \"1s\"").contains("set daemon.poll_interval instead"));
    assert!(module("node", "interval = \"1s\"").contains("set daemon.heartbeat instead"));
    assert!(module("it", "command = [\"true\"]\ninterval = \"1s\"").contains("a program has no rounds"));
    assert!(module("cron", "log = \"loud\"").contains("`loud` is not known, expected \"error\" or \"warn\""));
    assert!(module("cron", "command = [\"true\"]").contains("give the program another name"));
    assert!(module("cron", "stop_timeout = \"1s\"").contains("this setting needs a program (`command`)"));
    assert!(module("it", "command = []").contains("FILE:2: module.it.command: the program is missing"));
    assert!(
        module("it", "command = [\"true\"]\ncheck = []").contains("FILE:3: module.it.check: the program is missing")
    );
    assert!(module("it", "command = [\"true\"]\nstop_signal = \"SIGTERM\"").contains("expected \"TERM\" or \"INT\""));
    assert!(module("it", "command = [\"true\"]\nenv = { SEXTON_X = \"1\" }").contains("are reserved"));
    assert!(
        module("it", "command = [\"true\"]\nrestart_delay = \"1h\"").contains("must not be shorter than restart_delay")
    );
    assert!(module("it", "command = [\"true\"]\nmemory_limt = 7").contains("did you mean `memory_limit`?"));
    assert!(module("it", "command = [\"true\"]\nmemory_limit = 7").contains("expected 1.0 MiB to"));
    assert!(module("it", "command = [\"true\"]\nrecycle_after = \"900ms\"").contains("the minimum is 1s"));
    assert!(module("it", "command = [\"true\"]\nstop_timeout = \"25h\"").contains("the maximum is 1day"));
}

#[test]
fn modules_are_shown_and_compared() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sexton.toml");
    let text = "[module.cron]\ninterval = \"1m\"\nlog = \"debug\"\n[module.it]\ncommand = [\"sleep\", \"1\"]\ncheck = [\"true\"]\n\
                memory_limit = \"3MiB\"\nstop_signal = \"QUIT\"\nrecycle_after = \"2h\"\nlimits = { cpu = \"5m\" }\nneeds_database = true\n";
    fs::write(&file, text).unwrap();
    let config = sound(&file);
    assert_eq!(config.module("cron").log.as_deref(), Some("debug"));
    fs::write(&file, config.show()).unwrap();
    assert_eq!(sound(&file), config);
    fs::write(&file, text.replace("3MiB", "4MiB").replace("[module.cron]", "[module.pruner]")).unwrap();
    let diff = sexton::config::ConfigDiff::between(&config, &sound(&file)).to_string();
    assert_eq!(diff, "modules added: pruner; modules changed: it; modules removed: cron");
}

#[test]
fn a_node_has_a_plain_name() {
    for name in ["a b", "a\\nb", "a\\u001b[31m", "", "a%", "x\\\"y"] {
        let found = mistakes(&format!("[daemon]\nname = \"{name}\"\n"));
        assert!(found[0].starts_with("FILE:2: daemon.name: "), "{name}: {found:?}");
    }
    assert!(mistakes(&format!("[daemon]\nname = \"{}\"\n", "n".repeat(81)))[0].contains("longer than 80 bytes"));
}

#[test]
fn conf_d_and_variables_override_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sexton.toml");
    fs::create_dir(folder.path().join("conf.d")).unwrap();
    fs::write(&file, "[daemon]\nworkers = 3\nname = \"a\"\n[task.one]\nkind = \"noop\"\n").unwrap();
    fs::write(folder.path().join("conf.d/20.toml"), "[task.two]\nkind = \"noop\"\n[daemon]\nname = \"b\"\n").unwrap();
    fs::write(folder.path().join("conf.d/10.toml"), "[daemon]\nname = \"c\"\n").unwrap();
    let config = sound(&file);
    assert_eq!((config.daemon.workers, config.daemon.name.as_deref(), config.tasks.len()), (3, Some("b"), 2));
    let output = sexton(&file)
        .args(["config", "show", "--json"])
        .env("SEXTON__DAEMON__WORKERS", "7")
        .env("SEXTON__DATABASE__URL", "postgres://app:secret-word@db/shop")
        .output()
        .unwrap();
    assert_eq!(output.json()["daemon"]["workers"], 7);
    assert_eq!(output.json()["database"]["url"], "postgres://app:***@db/shop");
    let output = sexton(&file).args(["config", "check"]).env("SEXTON__DAEMON__WORKERS", "many").output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    assert!(
        output.errors().contains("$SEXTON__DAEMON__WORKERS: daemon.workers: expected an integer, found text"),
        "{}",
        output.errors()
    );
}

#[test]
fn what_is_shown_can_be_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sexton.toml");
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/sexton.toml");
    let config = sound(&sample);
    fs::write(&file, config.show()).unwrap();
    assert_eq!(sound(&file), config);
    let settings = "[daemon]\nlog_dir = \"l\"\n[log]\nlevel = \"sexton=debug,sqlx=info\"\nformat = \"json\"\nrotate = \"10MiB\"\ndays_to_keep = 3\nkeep_files = 4\n\
                    [metrics]\nlisten = \"[::1]:9464\"\nfile = \"/var/lib/sexton.prom\"\n";
    fs::write(&file, settings).unwrap();
    let config = sound(&file);
    assert!(config.show().contains("rotate = \"10MiB\""), "{}", config.show());
    assert!(config.show().contains("keep_files = 4"), "{}", config.show());
    assert!(config.show().contains("listen = \"[::1]:9464\""), "{}", config.show());
    fs::write(&file, config.show()).unwrap();
    assert_eq!(sound(&file), config);
}

#[test]
fn every_form_of_a_schedule_reads_back() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sexton.toml");
    let settings = r#"
        [daemon]
        timezone = "Europe/Berlin"
        [task.t]
        kind = "noop"
        schedule = [
            "30 2 * * MON-FRI",
            "CRON_TZ=Asia/Tokyo H H(1-5) L-3 * ?",
            "@reboot",
            { cron = "*/10 * * * * * 2026-2030", dst = "skip", timezone = "UTC" },
            { every = "90s" },
            { every = "7d", anchor = 2026-01-01T00:05:00 },
            { every = "1h", anchor = "2026-01-01T00:05:00+02:00" },
            { at = "2026-12-24T18:00", jitter = "5m" },
            { at = "2026-12-24T18:00:00-05:00" },
            { week_days = ["monday", "thu"], time = "23:30", dst = "all" },
            { days = [1, "WED", 7], hours = [14, 2], minutes = [30, 0] },
        ]
    "#;
    fs::write(&file, settings).unwrap();
    let config = sound(&file);
    let schedule = config.tasks["t"].schedule.as_ref().unwrap();
    assert_eq!(
        schedule.spec(),
        "30 2 * * MON-FRI Europe/Berlin; H H(1-5) L-3 * ? Asia/Tokyo; @reboot Europe/Berlin; \
         */10 * * * * * 2026-2030 dst skip; every 1m 30s; every 7days from 2026-01-01T00:05:00 Europe/Berlin; \
         every 1h from 2026-01-01T00:05:00+02:00; at 2026-12-24T18:00:00 Europe/Berlin; at 2026-12-24T18:00:00-05:00; \
         mon,thu 23:30 Europe/Berlin dst all; sun,mon,wed hours 2,14 minutes 0,30 Europe/Berlin; jitter 5m"
    );
    fs::write(&file, config.show()).unwrap();
    assert_eq!(sound(&file), config);
}

#[test]
fn logs_are_below_the_state_unless_set() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sexton.toml");
    fs::write(&file, "[daemon]\nstate_dir = \"/srv/state\"\n").unwrap();
    let old = sound(&file);
    assert_eq!(old.daemon.log_dir, Path::new("/srv/state/log"));
    fs::write(&file, "[daemon]\nstate_dir = \"/srv/state\"\nlog_dir = \"/srv/log\"\n[log]\nlevel = \"warn\"\n")
        .unwrap();
    let diff = sexton::config::ConfigDiff::between(&old, &sound(&file));
    assert_eq!(diff.needs_restart, ["[daemon] name, state_dir, run_dir, log_dir", "[log]"]);
}

#[test]
fn the_password_may_come_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("url");
    fs::write(&secret, "mysql://app:secret@db/shop\n").unwrap();
    let file = folder.path().join("sexton.toml");
    fs::write(&file, format!("[database]\nurl_file = \"{}\"\n", secret.display())).unwrap();
    let config = sound(&file);
    assert_eq!(config.database.url, "mysql://app:secret@db/shop");
    assert!(!format!("{config:?}").contains("secret"));
    fs::remove_file(secret).unwrap();
    let output = sexton(&file).args(["config", "check"]).output().unwrap();
    assert!(output.errors().contains("database.url_file: cannot read"), "{}", output.errors());
}

#[test]
fn policies_of_instants_are_checked_and_shown() {
    let task =
        |lines: &str| mistakes(&format!("[task.t]\nkind = \"noop\"\nschedule = \"@daily\"\n{lines}\n")).join("\n");
    assert!(task("missed = \"never\"").contains("expected \"skip\" or \"last\" or \"all\""));
    assert!(task("missed_max = 5").contains("this setting needs `missed = \"all\"`"));
    assert!(task("missed = \"all\"\nmissed_max = 1001").contains("expected 1 to 1000"));
    assert!(task("missed_age = \"5s\"").contains("the minimum is 1m"));
    assert!(task("window = \"nightly\"").contains("write two times of day, such as 01:00-05:00"));
    assert!(task("overlap = \"never\"").contains("expected \"allow\" or \"skip\" or \"queue\""));
    assert!(task("max_parallel = 0").contains("expected 1 to 1000000"));
    assert!(task("expect = { every = \"11years\" }").contains("it is too long: the maximum is 10 years"));
    assert!(mistakes("[task.t]\nkind = \"noop\"\noverlap = \"skip\"\n")[0].contains("this setting needs a `schedule`"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sexton.toml");
    let settings = "[task.t]\nkind = \"noop\"\nschedule = { cron = \"0 2 * * *\", timezone = \"Europe/Berlin\" }\nmissed = \"all\"\n\
                    missed_max = 7\nmissed_age = \"2h\"\nrun_missed_between = \"22:00-05:00\"\noverlap = \"queue\"\nmax_parallel = 3\n";
    fs::write(&file, settings).unwrap();
    let config = sound(&file);
    for line in settings.lines().skip(3) {
        assert!(config.show().contains(line), "{line}\n{}", config.show());
    }
    fs::write(&file, config.show()).unwrap();
    assert_eq!(sound(&file), config);
}

#[test]
fn the_url_may_be_a_credential_of_systemd() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sexton.toml");
    fs::write(&file, "[database]\nurl_credential = \"database-url\"\n").unwrap();
    let show = |credentials: Option<&Path>| {
        let mut command = sexton(&file);
        command.args(["config", "show"]).env_remove("CREDENTIALS_DIRECTORY");
        command.envs(credentials.map(|folder| ("CREDENTIALS_DIRECTORY", folder))).output().unwrap()
    };
    assert!(
        show(None).errors().contains("does the unit have `LoadCredential=database-url:"),
        "{}",
        show(None).errors()
    );
    assert!(show(Some(folder.path())).errors().contains("cannot read "), "it is not there");
    fs::write(folder.path().join("database-url"), "sqlite:///nowhere/x.db\n").unwrap();
    assert!(show(Some(folder.path())).text().contains("url = \"sqlite:///nowhere/x.db\""));
}

#[test]
fn what_happens_when_the_lease_is_lost_is_a_setting_of_three_tables() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sexton.toml");
    let text = "[daemon]\non_lease_lost = \"finish\"\n[queue.q]\nworkers = 1\non_lease_lost = \"stop\"\n\
                [task.t]\nkind = \"noop\"\non_lease_lost = \"stop\"\n";
    fs::write(&file, text).unwrap();
    let shown: toml::Table = sound(&file).show().parse().unwrap();
    let at = |path: [&str; 2]| path.iter().try_fold(&shown, |table, key| table[*key].as_table()).unwrap();
    assert_eq!(shown["daemon"]["on_lease_lost"].as_str(), Some("finish"));
    assert_eq!(at(["queue", "q"])["on_lease_lost"].as_str(), Some("stop"));
    assert_eq!(at(["task", "t"])["on_lease_lost"].as_str(), Some("stop"));
    let found = mistakes("[daemon]\non_lease_lost = \"pray\"\n");
    assert_eq!(found, ["FILE:2: daemon.on_lease_lost: `pray` is not known, expected \"finish\" or \"stop\""]);
}

#[test]
fn a_url_that_run_refuses_is_a_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sexton.toml");
    let check = |url: &str, more: &str| {
        fs::write(&file, format!("[database]\nurl = \"{url}\"\n{more}")).unwrap();
        sexton(&file).args(["config", "check"]).output().unwrap()
    };
    for sound in ["postgres://u@one:1,two:2/d?target_session_attrs=read-write", "sqlite://x.db", "mysql://u@h/d"] {
        let output = check(sound, "");
        assert!(output.status.success(), "{sound}: {}", output.errors());
    }
    for (url, more, why) in [
        ("postgres://u@one,two/d?target_session_attrs=standby", "", "because Sexton writes"),
        ("oracle://h/d", "", "is not a supported database"),
        ("mysql://u@h/d", "pooler = \"transaction\"", "for PostgreSQL only"),
        ("postgres://u@h/d", "pooler = \"session\"", "write none or transaction"),
    ] {
        let output = check(url, more);
        assert!(!output.status.success(), "{url}");
        assert!(output.errors().contains(why), "{url}: {}", output.errors());
    }
}
