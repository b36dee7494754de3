//! `sexton check`: exit code, one line, performance data, with and without a daemon.

use std::{fs, path::Path};

use sea_orm::ConnectionTrait as _;
use sexton::domain::check::range::Range;

use crate::support::{Daemon, Database, Kind, Printed as _, block_on, eventually, on_each_database, sexton};

const SETTINGS: &str = "heartbeat = \"200ms\"\n[queue.slow]\nworkers = 1\n[task.fine]\nkind = \"noop\"\n\
                        [task.fail]\ncommand = [\"sh\", \"-c\", \"echo 'no | order' >&2; exit 3\"]\n\
                        [task.tick]\nkind = \"noop\"\nschedule = { every = \"1h\" }\n";

/// Exit code and line of `sexton check`, after looking at its form.
fn check(file: &Path, arguments: &[&str]) -> (i32, String) {
    let output = sexton(file).arg("check").args(arguments).output().unwrap();
    assert_eq!(output.errors(), "", "a monitoring system takes it for the answer");
    let text = output.text();
    let line = text.strip_suffix('\n').unwrap_or_else(|| panic!("no line: {text:?}"));
    assert!(!line.chars().any(char::is_control), "{line:?}");
    let code = output.status.code().unwrap();
    let state = ["OK", "WARNING", "CRITICAL", "UNKNOWN"][code as usize];
    assert!(line.starts_with(&format!("SEXTON {state} - ")), "{code}: {line}");
    for value in line.split_once(" | ").into_iter().flat_map(|(_, data)| data.split(' ')) {
        check_value(value);
    }
    (code, line.to_owned())
}

/// `name=VALUE[UNIT];[RANGE];[RANGE];[MIN];[MAX]`.
fn check_value(value: &str) {
    let (name, rest) = value.split_once('=').unwrap_or_else(|| panic!("{value}"));
    assert!(!name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{value}");
    let fields: Vec<&str> = rest.split(';').collect();
    assert!(fields.len() <= 5, "{value}");
    assert!(fields[0].trim_end_matches(['s', '%']).parse::<f64>().is_ok(), "{value}");
    for range in fields.iter().skip(1).take(2).filter(|range| !range.is_empty()) {
        assert!(range.parse::<Range>().is_ok(), "{value}");
    }
    assert!(fields.iter().skip(3).all(|bound| bound.is_empty() || bound.parse::<f64>().is_ok()), "{value}");
}

fn has(line: &str, words: &[&str]) {
    for word in words {
        assert!(line.contains(word), "`{word}` is missing: {line}");
    }
}

on_each_database! {
    async fn a_daemon_that_is_well_is_ok_and_one_that_is_gone_is_critical(database: Database) {
        let file = database.config("n", SETTINGS);
        let daemon = Daemon::start(&file, &["run"]);
        let arguments = ["-w", "disk_free=~:", "-c", "disk_free=~:"];
        eventually("the node has registered, and its modules work", async || check(&file, &arguments).0 == 0).await;
        let (_, line) = check(&file, &arguments);
        has(&line, &["SEXTON OK - 1 node; ", " nodes=1;;1:;0", " oldest_waiting=0s;300;3600;0", " disk_free=", " spool=0;0;;0", "database_time="]);
        assert_eq!(line.contains("clock_difference="), database.kind != Kind::Sqlite, "{line}");
        eventually("the schedule is entered", async || check(&file, &["--schedule", "tick"]).0 == 0).await;
        let (_, line) = check(&file, &["--schedule", "tick"]);
        has(&line, &["no attempt in the history has succeeded", " overdue=0;;0;0"]);
        assert_eq!(check(&file, &["--schedule", "tick", "-c", "7200"]).0, 2, "it has never succeeded");
        let (code, line) = check(&file, &["--node", "n"]);
        assert_eq!((code, line.contains("heartbeat=")), (0, true), "{line}");
        assert_eq!(check(&file, &["-w", "nodes=2:", "-c", "nodes=~:"]).0, 1, "one node is too few");
        daemon.stop();
        let (code, line) = check(&file, &[]);
        assert_eq!(code, 2, "{line}");
        has(&line, &["SEXTON CRITICAL - 0 nodes", "not checked: daemon (none is running on this host)", " nodes=0;;1:;0"]);
        let (code, line) = check(&file, &["--node", "n"]);
        assert_eq!((code, line.contains("no node n is running")), (2, true), "{line}");
    }

    async fn waiting_tasks_count_unless_they_wait_by_intention(database: Database) {
        let file = database.config("n", SETTINGS);
        let store = database.store().await;
        let sql = "INSERT INTO sexton_task (name, queue, run_at) VALUES ('fine', 'slow', '2026-01-01 00:00:00')";
        store.connection().execute_unprepared(sql).await.unwrap();
        let (code, line) = check(&file, &["--queue", "slow"]);
        assert_eq!(code, 2, "{line}");
        has(&line, &["the oldest task in queue slow has waited for ", " waiting=1;;;0", " running=0;;;0"]);
        assert_eq!(check(&file, &["--queue", "slow", "-w", "10", "-c", "1000000000"]).0, 1);
        assert_eq!(check(&file, &["--task", "fine", "-c", "oldest_waiting=~:", "-w", "oldest_waiting=@10:20"]).0, 0);
        store.pause_queue(&"slow".into(), true).await.unwrap();
        let (code, line) = check(&file, &["--queue", "slow"]);
        assert_eq!((code, line.contains("queue slow is paused; 0 running")), (1, false), "{line}");
        has(&line, &["SEXTON WARNING - queue slow is paused", " oldest_waiting=0s;300;3600;0"]);
        assert_eq!(check(&file, &["-c", "nodes=~:", "-w", "disk_free=~:", "-c", "disk_free=~:"]).0, 0, "somebody paused the queue");
        store.pause_all(true).await.unwrap();
        let (code, line) = check(&file, &["-c", "nodes=~:", "-w", "disk_free=~:", "-c", "disk_free=~:"]);
        assert_eq!((code, line.contains("SEXTON WARNING - everything is paused")), (1, true), "{line}");
        // Nothing that an application writes breaks the line.
        store.pause_all(false).await.unwrap();
        let sql = "INSERT INTO sexton_task (name, queue, run_at) VALUES ('fine', 'a|b\u{1b}[2J=1', '2026-01-02 00:00:00')";
        store.connection().execute_unprepared(sql).await.unwrap();
        let (code, line) = check(&file, &[]);
        assert_eq!(code, 2, "{line}");
        has(&line, &["in queue a/b\\u{1b}[2J=1 has waited"]);
    }

    async fn failures_count_where_they_belong(database: Database) {
        let file = database.config("n", SETTINGS);
        let call = |arguments: &[&str]| sexton(&file).args(arguments).output().unwrap();
        assert!(call(&["db", "migrate"]).status.success());
        for task in ["fail", "fine"] {
            assert!(call(&["task", "add", task]).status.success());
        }
        assert_eq!(call(&["run", "--once"]).status.code(), Some(1), "a task failed");
        let (code, line) = check(&file, &["--task", "fail"]);
        assert_eq!(code, 1, "{line}");
        has(&line, &["1 task discarded within the last hour", "1 open problem: ", "task fail: exit code 3: no / order", " discarded=1;0;100;0", " problems=1;0;;0"]);
        assert_eq!(check(&file, &["--task", "fail", "-c", "discarded=0"]).0, 2);
        assert_eq!(check(&file, &["--queue", "default"]).0, 1);
        let (code, line) = check(&file, &["--task", "fine", "-c", "3600"]);
        assert_eq!(code, 0, "{line}");
        has(&line, &["the latest success was ", " last_success=", "discarded=0;", "problems=0;"]);
        assert_eq!(check(&file, &["--task", "fine", "-w", "@0:3600"]).0, 1);
        assert!(call(&["problem", "ack", "1"]).status.success());
        let (code, line) = check(&file, &["--task", "fail", "-w", "discarded=10"]);
        assert_eq!((code, line.contains("problems=0;")), (0, true), "it is known: {line}");
    }

    async fn what_does_not_exist_is_unknown(database: Database) {
        let file = database.config("n", SETTINGS);
        database.store().await;
        for (arguments, words) in [
            (["--queue", "slwo"], "there is no queue `slwo`; did you mean `slow`?"),
            (["--task", "fien"], "there is no task definition `fien`; did you mean `fine`?"),
            (["--schedule", "tikc"], "there is no schedule `tikc`; did you mean `tick`?"),
        ] {
            let (code, line) = check(&file, &arguments);
            assert_eq!(code, 3, "{line}");
            has(&line, &[words]);
        }
    }
}

#[test]
fn a_wrong_call_is_unknown_and_not_critical() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sexton.toml");
    for (arguments, words) in [
        (&["-w", "20:10"][..], "`20:10`: the start of a range must not be above its end"),
        (&["-c", "disc_free=1"], "there is no value `disc_free`"),
        (&["--nonsense"], "--nonsense"),
        (&["--queue", "a", "--task", "b"], "cannot be used with"),
        (&["--timeout", "0"], "the time limit must be longer than 0"),
    ] {
        let (code, line) = check(&file, arguments);
        assert_eq!(code, 3, "{line}");
        has(&line, &[words]);
    }
}

#[test]
fn without_a_database_the_rest_is_checked() {
    block_on(async {
        let mut database = Database::new(Kind::Sqlite).await;
        database.url = "postgres://u:very-secret@127.0.0.1:1/db".to_owned();
        let file = database.config("n", SETTINGS);
        let spool = file.with_file_name("state").join("spool");
        fs::create_dir_all(&spool).unwrap();
        fs::write(spool.join("1.json"), "[]").unwrap();
        let (code, line) = check(&file, &["--timeout", "5"]);
        assert_eq!(code, 2, "{line}");
        has(&line, &["127.0.0.1:1/db", "1 file with finished attempts in the spool", " | spool=1;0;;0", " disk_free="]);
        assert!(!line.contains("very-secret"), "{line}");
    });
}

#[test]
fn a_database_that_stays_silent_is_critical_within_the_time_limit() {
    block_on(async {
        let mut database = Database::new(Kind::Sqlite).await;
        // It accepts connections, and never answers.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        database.url = format!("postgres://u@{}/db", listener.local_addr().unwrap());
        let (code, line) = check(&database.config("n", SETTINGS), &["-t", "1"]);
        assert_eq!(code, 2, "{line}");
        has(&line, &["the database has not answered within 1s", " disk_free="]);
    });
}
