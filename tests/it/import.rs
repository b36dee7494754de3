//! Imports of other schedulers' files: the result is valid, and runs at the same times.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use chrono::{DateTime, Datelike, TimeDelta, Timelike, Utc};
use chrono_tz::Tz;
use serde_json::Value;

use crate::support::{Printed, sexton};

/// A system crontab.
const SYSTEM: &str = "\
# the house's own times
SHELL=/bin/sh
PATH=/usr/local/sbin:/usr/local/bin:/sbin:/bin:/usr/sbin:/usr/bin

17 *\t* * *\troot\tcd / && run-parts --report /etc/cron.hourly
25 6\t* * *\troot\ttest -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }
47 6\t* * 7\troot\ttest -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.weekly; }
52 6\t1 * *\troot\ttest -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.monthly; }
# sessions of a web application
09,39 * * * * root [ -x /usr/lib/php/sessionclean ] && /usr/lib/php/sessionclean
*/5 8-18 * * mon-fri www-data /usr/bin/php /srv/shop/bin/console orders:send
0 */12 * * * root test -x /usr/bin/certbot -a \\! -d /run/systemd/system && perl -e 'sleep int(rand(43200))'
57 0 * * 0 root if [ -x /usr/share/mdadm/checkarray ] && [ $(date +\\%d) -le 7 ]; then true; fi
30 7-23/2 * * * root /usr/bin/logger -p cron.info tick
";

/// A user crontab.
const USER: &str = "\
# m h  dom mon dow   command
0 5 * * 1 tar -zcf /var/backups/home.tgz /home/
@daily $HOME/bin/daily \"with words\"
@hourly /usr/bin/true
15 14 1 * * /usr/bin/report --month
0 22 * * 1-5 echo 'drink water' > /dev/null
5 4 13 * 5 /usr/bin/superstition
23 0-23/2 * * * /usr/bin/even
0 0 29 2 * /usr/bin/leap
30 4 1,15 6-8 * /usr/bin/summer
CRON_TZ=America/New_York
30 9 * * Mon-Fri /usr/bin/bell
59 23 28-31 * * [ $(date +\\%d -d tomorrow) = 01 ] && /usr/bin/close
";

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let file = folder.join(name);
    fs::write(&file, text).unwrap();
    file
}

fn import(kind: &str, files: &[&Path], more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sexton")).args(["import", kind]).args(files).args(more).output().unwrap()
}

/// Imports to a file, checks it, and returns it with the report.
fn imported(kind: &str, files: &[&Path], more: &[&str]) -> (PathBuf, Vec<Value>) {
    let out = files[0].with_extension("toml");
    let output = import(kind, files, &[&["--json", "--out", out.to_str().unwrap()], more].concat());
    let report: Vec<Value> = serde_json::from_str(&output.errors()).unwrap();
    let is_incomplete = report.iter().any(|remark| remark["kind"] == "left_out");
    assert_eq!(output.status.code(), Some(i32::from(is_incomplete)), "{report:#?}");
    let check = sexton(&out).args(["config", "check"]).output().unwrap();
    assert!(check.status.success(), "{}\n{}", fs::read_to_string(&out).unwrap(), check.errors());
    (out, report)
}

/// The names of the tasks, in their order.
fn names(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    text.lines().filter_map(|line| line.strip_prefix("[task.")?.strip_suffix(']').map(str::to_owned)).collect()
}

fn next(file: &Path, name: &str, count: usize, from: &str) -> Vec<DateTime<Utc>> {
    let count = count.to_string();
    let output =
        sexton(file).args(["schedule", "next", name, "-n", &count, "--from", from, "--json"]).output().unwrap();
    assert!(output.status.success(), "{name}: {}", output.errors());
    output.json().as_array().unwrap().iter().map(|one| one["utc"].as_str().unwrap().parse().unwrap()).collect()
}

/// Reads one field of a crontab in the simplest way.
fn field(text: &str, min: u32, max: u32) -> Vec<u32> {
    let names = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
    let number = |text: &str| {
        text.parse().unwrap_or_else(|_| names.iter().position(|name| text.to_lowercase() == *name).unwrap() as u32)
    };
    let item = |item: &str| {
        let (range, step) = item.split_once('/').unwrap_or((item, "1"));
        let (from, to) = match range.split_once('-') {
            Some((from, to)) => (number(from), number(to)),
            None if range == "*" => (min, max),
            None => (number(range), number(range)),
        };
        (from..=to).step_by(step.parse().unwrap()).collect::<Vec<_>>()
    };
    text.split(',').flat_map(item).collect()
}

/// The next instants of five fields, found by checking every minute.
fn by_minutes(expression: &str, zone: Tz, from: DateTime<Utc>, count: usize) -> Vec<DateTime<Utc>> {
    let expression = match expression {
        "@daily" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        plain => plain,
    };
    let texts: Vec<&str> = expression.split_whitespace().collect();
    let limits = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 7)];
    let fields: Vec<Vec<u32>> = texts.iter().zip(limits).map(|(text, (min, max))| field(text, min, max)).collect();
    let either = !texts[2].starts_with('*') && !texts[4].starts_with('*');
    let holds = |at: &DateTime<Utc>| {
        let wall = at.with_timezone(&zone);
        if !fields[0].contains(&wall.minute())
            || !fields[1].contains(&wall.hour())
            || !fields[3].contains(&wall.month())
        {
            return false;
        }
        let weekday = wall.weekday().num_days_from_sunday();
        let on_day = fields[2].contains(&wall.day());
        let on_weekday = fields[4].contains(&weekday) || (weekday == 0 && fields[4].contains(&7));
        if either { on_day || on_weekday } else { on_day && on_weekday }
    };
    (1..).map(|minute| from + TimeDelta::minutes(minute)).filter(holds).take(count).collect()
}

/// Checks that every entry of a crontab runs at the times of an independent reading of its fields.
fn comes_as_written(text: &str, more: &[&str]) -> (PathBuf, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let (file, report) = imported("crontab", &[&write(folder.path(), "tab", text)], more);
    assert_eq!(report, Vec::<Value>::new());
    let names = names(&file);
    let mut zone = Tz::UTC;
    let mut tried = 0;
    let from = "2026-11-21T12:00:00Z";
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("CRON_TZ=") {
            zone = name.parse().unwrap();
        } else if line.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '*' | '@')) {
            let fields = if line.starts_with('@') { 1 } else { 5 };
            let time = line.split_whitespace().take(fields).collect::<Vec<_>>().join(" ");
            let count = if time.contains(" 29 2 ") || time.starts_with("0 0 29") { 1 } else { 7 };
            let expected = by_minutes(&time, zone, from.parse().unwrap(), count);
            assert_eq!(next(&file, &names[tried], count, from), expected, "{line}");
            tried += 1;
        }
    }
    assert_eq!(tried, names.len());
    assert!(tried >= 9);
    (file, folder)
}

#[test]
fn a_system_crontab_runs_at_its_times() {
    let (file, _folder) = comes_as_written(SYSTEM, &[]);
    let text = fs::read_to_string(&file).unwrap();
    for expected in [
        "# sessions of a web application\n[task.sessionclean]",
        "command = [\"/usr/bin/php\", \"/srv/shop/bin/console\", \"orders:send\"]\n",
        "user = \"www-data\"",
        "SHELL = \"/bin/sh\"",
        "$(date +%d) -le 7",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
}

#[test]
fn a_user_crontab_runs_at_its_times() {
    let (file, _folder) = comes_as_written(USER, &["--user"]);
    assert!(!fs::read_to_string(&file).unwrap().contains("user ="));
}

#[test]
fn text_after_a_percent_sign_arrives_on_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    let heard = folder.path().join("heard");
    let tab = format!("@daily cat > {}; echo 'it''s' 100\\% >> {0}%Dear $USER,%it's \"50\\% off\"%\n", heard.display());
    let (file, _) = imported("crontab", &[&write(folder.path(), "tab", &tab)], &[]);
    let database = format!("[database]\nurl = \"sqlite://{}\"\n", folder.path().join("x.db").display());
    let text = database
        + &format!("[daemon]\nstate_dir = \"{}\"\n", folder.path().join("state").display())
        + &fs::read_to_string(&file).unwrap();
    fs::write(&file, text).unwrap();
    let name = &names(&file)[0];
    for arguments in [&["db", "migrate"][..], &["task", "add", name], &["run", "--once"]] {
        let output = sexton(&file).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", output.errors());
    }
    assert_eq!(fs::read_to_string(heard).unwrap(), "Dear $USER,\nit's \"50% off\"\nits 100%\n");
}

#[test]
fn the_report_names_left_out_entries_and_the_rest_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let tab = write(folder.path(), "tab", "MAILTO=ops@example.com\n@daily a\nnonsense\n61 * * * * b\n");
    let out = folder.path().join("new.toml");
    let output = import("crontab", &[&tab], &["--out", out.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    for place in [
        "tab:1: differs: the output is mailed to ops@example.com by /usr/sbin/sendmail",
        "tab:3: left out: expected five fields",
        "tab:4: left out: `61 * * * *`: minute (column 1)",
    ] {
        assert!(output.errors().contains(place), "{place}\n{}", output.errors());
    }
    let written = fs::read_to_string(&out).unwrap();
    assert!(written.contains("\n[notify.mailto-ops-example-com]\nkind = \"mail\"\n"), "{written}");
    assert!(
        written.contains("mail_output_to = [\"mailto-ops-example-com\"]") && written.contains("[task.b]"),
        "{written}"
    );
    let again = import("crontab", &[&tab], &["--out", out.to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(1));
    assert!(again.errors().contains("exists: it is not overwritten"), "{}", again.errors());
    assert_eq!(fs::read_to_string(&out).unwrap(), written);
    assert_eq!(import("crontab", &[&tab], &[]).text(), written, "and the same on standard output");
    let missing = import("crontab", &[&folder.path().join("none")], &[]);
    assert!(missing.status.code() == Some(1) && missing.errors().contains("none"), "{}", missing.errors());
    let latin = folder.path().join("latin");
    fs::write(&latin, b"# a\n# \xe9\n").unwrap();
    assert!(import("crontab", &[&latin], &[]).errors().contains("latin:2: this is not UTF-8"));
}

#[test]
fn a_crontab_is_read_from_standard_input() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sexton"));
    let mut child =
        command.args(["import", "crontab", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"@daily backup\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(output.text().starts_with("# Imported from standard input.\n"), "{}", output.text());
    assert!(
        output.text().contains("[task.backup]\ncommand = [\"backup\"]\nschedule = \"@daily\"\n"),
        "{}",
        output.text()
    );
}

#[test]
fn several_crontabs_share_no_names_and_take_a_zone() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (write(folder.path(), "a", "@daily backup\n# end\n"), write(folder.path(), "b", "5 4 * * * backup\n"));
    let (file, _) = imported("crontab", &[&a, &b], &["--timezone", "Europe/Berlin"]);
    assert_eq!(names(&file), ["backup", "backup-2"]);
    assert_eq!(next(&file, "backup-2", 1, "2026-11-21T12:00:00Z")[0].to_rfc3339(), "2026-11-22T03:05:00+00:00");
}

/// Calendar expressions, and the next instants after noon of 2026-11-21 by systemd-analyze.
const CALENDAR: [(&str, [&str; 4]); 14] = [
    ("hourly", ["2026-11-21 13:00", "2026-11-21 14:00", "2026-11-21 15:00", "2026-11-21 16:00"]),
    ("weekly", ["2026-11-23 00:00", "2026-11-30 00:00", "2026-12-07 00:00", "2026-12-14 00:00"]),
    ("quarterly", ["2027-01-01 00:00", "2027-04-01 00:00", "2027-07-01 00:00", "2027-10-01 00:00"]),
    ("Mon..Fri *-*-* 8..18:0/15", ["2026-11-23 08:00", "2026-11-23 08:15", "2026-11-23 08:30", "2026-11-23 08:45"]),
    ("*-*-1/2 4:5", ["2026-11-23 04:05", "2026-11-25 04:05", "2026-11-27 04:05", "2026-11-29 04:05"]),
    ("Sat,Mon-Wed 5:00", ["2026-11-23 05:00", "2026-11-24 05:00", "2026-11-25 05:00", "2026-11-28 05:00"]),
    ("10-15", ["2027-10-15 00:00", "2028-10-15 00:00", "2029-10-15 00:00", "2030-10-15 00:00"]),
    ("*:0..59/7", ["2026-11-21 12:07", "2026-11-21 12:14", "2026-11-21 12:21", "2026-11-21 12:28"]),
    ("*-*-* 00/6:30", ["2026-11-21 12:30", "2026-11-21 18:30", "2026-11-22 00:30", "2026-11-22 06:30"]),
    ("*-*-1..5/2,20 23:59", ["2026-12-01 23:59", "2026-12-03 23:59", "2026-12-05 23:59", "2026-12-20 23:59"]),
    ("Fri 18:00 America/New_York", ["2026-11-27 23:00", "2026-12-04 23:00", "2026-12-11 23:00", "2026-12-18 23:00"]),
    ("semiannually", ["2027-01-01 00:00", "2027-07-01 00:00", "2028-01-01 00:00", "2028-07-01 00:00"]),
    ("*-02-29 12:00", ["2028-02-29 12:00", "2032-02-29 12:00", "2036-02-29 12:00", "2040-02-29 12:00"]),
    ("Mon..Sun *-*-1..31 4:00", ["2026-11-22 04:00", "2026-11-23 04:00", "2026-11-24 04:00", "2026-11-25 04:00"]),
];

#[test]
fn timers_run_at_the_times_of_systemd() {
    let folder = tempfile::tempdir().unwrap();
    let timers: Vec<PathBuf> = CALENDAR
        .iter()
        .enumerate()
        .map(|(index, (calendar, _))| {
            write(folder.path(), &format!("t{index}.service"), "[Service]\nType=oneshot\nExecStart=/bin/true\n");
            let timer = format!("[Timer]\nOnCalendar={calendar}\nPersistent=true\n");
            write(folder.path(), &format!("t{index}.timer"), &timer)
        })
        .collect();
    let (file, report) = imported("systemd-timer", &timers.iter().map(PathBuf::as_path).collect::<Vec<_>>(), &[]);
    assert_eq!(report, Vec::<Value>::new());
    for (index, (calendar, expected)) in CALENDAR.iter().enumerate() {
        let found = next(&file, &format!("t{index}"), 4, "2026-11-21T12:00:00Z");
        let found: Vec<String> = found.iter().map(|at| at.format("%Y-%m-%d %H:%M").to_string()).collect();
        assert_eq!(found, expected, "{calendar}");
    }
}

#[test]
fn a_timer_is_read_with_its_drop_ins_and_its_service() {
    let folder = tempfile::tempdir().unwrap();
    let timer = "[Unit]\nDescription=Nightly backup\n[Timer]\nOnCalendar=daily\nRandomizedDelaySec=1h\nPersistent=true\n\
                 [Install]\nWantedBy=timers.target\n";
    let timer = write(folder.path(), "backup@nas.timer", timer);
    fs::create_dir(folder.path().join("backup@nas.timer.d")).unwrap();
    write(folder.path(), "backup@nas.timer.d/time.conf", "[Timer]\nOnCalendar=\nOnCalendar=Sun 02:30 Europe/Berlin\n");
    let service = "[Service]\nType=oneshot\nUser=backup\nEnvironment=\"TO=a b\"\nExecStartPre=-/bin/mkdir -p /srv/%i\n\
                   ExecStart=/usr/bin/backup --to ${TO} \\\n    --host=%i\nPrivateTmp=yes\nTimeoutStartSec=2h\nMemoryMax=1G\n";
    write(folder.path(), "backup@.service", service);
    let (file, report) = imported("systemd-timer", &[&timer], &[]);
    let places: Vec<String> = report
        .iter()
        .map(|remark| {
            format!("{}:{}", Path::new(remark["file"].as_str().unwrap()).file_name().unwrap().display(), remark["line"])
        })
        .collect();
    assert_eq!(places, ["backup@.service:8"], "{report:#?}");
    let text = fs::read_to_string(&file).unwrap();
    for expected in [
        "# Nightly backup\n[task.backup-nas]\n",
        "\"{ /bin/mkdir -p /srv/nas || true; } && /usr/bin/backup --to 'a b' --host=nas\"",
        "schedule = { cron = \"30 2 * * SUN\", timezone = \"Europe/Berlin\", jitter = \"1h\" }\noverlap = \"skip\"\n",
        "timeout = \"2h\"\nuser = \"backup\"\n",
        "limits = { memory = 1073741824 }",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
}

#[test]
fn a_timer_without_its_service_writes_nothing_and_reports_it() {
    let folder = tempfile::tempdir().unwrap();
    let (file, report) =
        imported("systemd-timer", &[&write(folder.path(), "x.timer", "[Timer]\nOnCalendar=daily\n")], &[]);
    assert!(report[0]["text"].as_str().unwrap().contains("x.service"), "{report:#?}");
    assert_eq!(names(&file), Vec::<String>::new());
    let other = import("systemd-timer", &[&write(folder.path(), "x.service", "")], &[]);
    assert!(other.errors().contains("expected the path of a .timer file"), "{}", other.errors());
}

#[test]
fn a_crontab_can_be_given_what_cron_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let tab =
        write(folder.path(), "tab", "* * * * * /usr/bin/sync-all\n* * * * * nohup /usr/bin/worker > /dev/null &\n");
    let plain = import("crontab", &[&tab], &[]);
    assert!(!plain.text().contains("overlap") && !plain.text().contains("timeout"), "{}", plain.text());
    let advice =
        "sexton: as in cron, runs may overlap and have no time limit; --overlap skip --timeout 6h changes that";
    assert!(plain.errors().lines().any(|line| line == advice), "{}", plain.errors());
    let background = "tab:2: differs: `&` may leave a process in the background: it is ended with the command, unless \
                      `keep_background = true`";
    assert!(plain.errors().contains(background) && !plain.errors().contains("tab:1"), "{}", plain.errors());
    let (file, report) = imported("crontab", &[&tab], &["--overlap", "skip", "--timeout", "6h"]);
    assert_eq!((report.len(), report[0]["kind"].as_str(), report[0]["line"].as_u64()), (1, Some("differs"), Some(2)));
    let text = fs::read_to_string(&file).unwrap();
    for setting in ["overlap = \"skip\"", "timeout = \"6h\""] {
        assert_eq!(text.matches(setting).count(), 2, "{text}");
    }
    let shown = sexton(&file).args(["config", "show"]).output().unwrap().text();
    assert!(shown.contains("overlap = \"skip\"") && shown.contains("timeout = \"6h\""), "{shown}");
    let advised = import("crontab", &[&tab], &["--overlap", "queue", "--timeout", "6h"]);
    assert!(!advised.errors().contains("as in cron"), "{}", advised.errors());
    let refused = import("crontab", &[&tab], &["--overlap", "never"]);
    assert!(refused.errors().contains("expected one of allow, skip, queue"), "{}", refused.errors());
}

#[test]
fn the_zone_of_the_machine_is_not_lost_without_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let tab = folder.path().join("tab");
    let told = |text: &str, zone: &str, more: &[&str]| {
        fs::write(&tab, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_sexton"));
        command.args(["import", "crontab", "--user"]).arg(&tab).args(more).env("TZ", zone);
        command.output().unwrap().errors()
    };
    let advice = "sexton: times are read in `daemon.timezone`, by default UTC; this machine is in Europe/Berlin: set that, or \
                  add --timezone Europe/Berlin\n";
    let daily = "30 2 * * * true\n";
    assert!(told(daily, "Europe/Berlin", &[]).contains(advice), "{}", told(daily, "Europe/Berlin", &[]));
    assert!(!told(daily, "Europe/Berlin", &["--timezone", "UTC"]).contains("daemon.timezone"));
    assert!(!told(daily, "UTC", &[]).contains("daemon.timezone"));
    assert!(!told("# nothing\n", "Europe/Berlin", &[]).contains("daemon.timezone"));
}
