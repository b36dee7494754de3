//! What the processes do with tasks: each database, limits of time, cancels, and the ready-made workers.

use std::time::Duration;

use serde_json::json;
use sexton::NewTask;
use sexton_entities::states::{Outcome, Verdict};

use super::{enqueue, marked, pid, tables, until};
use crate::{
    commands::{Stand, processes, unusual},
    support::{Printed, block_on, eventually, on_each_database, sexton, value},
};

on_each_database! {
    async fn one_process_executes_one_task_after_the_other(database: Database) {
        let folder = tempfile::tempdir().unwrap();
        let mut stand = Stand::on(database, &tables(folder.path(), "", "")).await;
        let (first, output) = stand.run(Some(json!({"a": "ü\n\"b\""}))).await;
        assert_eq!((first.outcome, first.verdict), (Outcome::Succeeded, Some(Verdict::Completed)), "{:?}", first.error);
        assert_eq!((first.kind.as_deref(), first.exit_code), (Some("worker"), None));
        assert_eq!(value(&first.result).unwrap()["payload"], json!({"a": "ü\n\"b\""}));
        assert_eq!(output.unwrap().stdout, format!("this is {}\n", pid(&first.result)), "what it logged is kept");
        for _ in 0..20 {
            let (row, _) = stand.run(None).await;
            assert_eq!((row.outcome, pid(&row.result)), (Outcome::Succeeded, pid(&first.result)));
        }
        stand.stop();
    }

    async fn a_crash_is_on_record_and_the_next_process_goes_on(database: Database) {
        let folder = tempfile::tempdir().unwrap();
        let more = "max_attempts = 2\nretry = { delay = \"20ms\", growth = \"fixed\" }";
        let mut stand = Stand::on(database, &tables(folder.path(), "", more)).await;
        let id = enqueue(&stand, json!({"kill": true})).await;
        let mut others = Vec::new();
        for _ in 0..3 {
            others.push(enqueue(&stand, json!({})).await);
        }
        for other in others {
            let row = stand.finished(other).await;
            assert_eq!((row.outcome, row.attempt), (Outcome::Succeeded, 1), "it waited for another process: {:?}", row.error);
        }
        let row = stand.finished(id).await;
        assert_eq!((row.outcome, row.attempt), (Outcome::Succeeded, 2));
        let first = stand.rows(id).await.remove(0);
        assert_eq!((first.outcome, first.verdict), (Outcome::Crashed, Some(Verdict::Retry)));
        assert_eq!(first.error.as_deref(), Some("its worker process died: killed by SIGKILL: dying now"));
        let log = stand.stop();
        assert!(log.contains("worker shop: a process died: killed by SIGKILL: dying now; the next one starts in 20ms"), "{log}");
    }

    async fn a_killed_daemon_leaves_no_process_and_its_attempt_is_interrupted(database: Database) {
        let (folder, mark) = (tempfile::tempdir().unwrap(), unusual());
        let (begun, go, payload) = until(folder.path(), "it");
        let settings = format!("heartbeat = \"200ms\"\nlease = \"1s\"\n{}", marked(folder.path(), &mark, "processes = 2", ""));
        let mut stand = Stand::on(database, &settings).await;
        let id = enqueue(&stand, payload).await;
        eventually("it runs", async || begun.exists()).await;
        let before = processes(&mark);
        stand.kill();
        eventually("no process is left", async || processes(&mark).is_empty()).await;
        assert!(before.len() >= 2, "{before:?}");
        std::fs::write(&go, "").unwrap();
        stand.start();
        let row = stand.finished(id).await;
        assert_eq!((row.outcome, row.attempt), (Outcome::Succeeded, 1), "the interrupted attempt is not counted");
        let outcomes: Vec<_> = stand.rows(id).await.iter().map(|row| row.outcome).collect();
        assert_eq!(outcomes, [Outcome::Interrupted, Outcome::Succeeded]);
        stand.stop();
        assert_eq!(processes(&mark), []);
        let left = std::fs::read_dir(stand.state().join("modules")).unwrap().flatten().filter(|entry| entry.path().is_dir());
        assert_eq!(left.count(), 0, "no directory is left either");
    }
}

#[test]
fn the_time_limit_ends_one_process_and_no_other() {
    block_on(async {
        let (folder, mark) = (tempfile::tempdir().unwrap(), unusual());
        let settings = marked(folder.path(), &mark, "processes = 2", "timeout = \"1s\"");
        let stand = Stand::new(&settings).await;
        let (_, go, payload) = until(folder.path(), "long");
        let long = stand.enqueue(NewTask { payload: Some(payload.into()), ..NewTask::new("other") }).await;
        let (_, _, payload) = until(folder.path(), "late");
        let late = enqueue(&stand, payload).await;
        let row = stand.finished(late).await;
        assert_eq!(row.outcome, Outcome::TimedOut);
        let error = row.error.unwrap();
        assert_eq!(error, "the time limit of 1s was reached: its worker process was killed");
        std::fs::write(&go, "").unwrap();
        assert_eq!(stand.finished(long).await.outcome, Outcome::Succeeded, "the other one has no limit");
        assert_eq!(stand.run(None).await.0.outcome, Outcome::Succeeded);
    });
}

#[test]
fn waiting_for_a_process_is_no_part_of_the_time_limit() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let stand = Stand::new(&tables(folder.path(), "", "timeout = \"2s\"")).await;
        let (begun, go, payload) = until(folder.path(), "first");
        let other = |payload: serde_json::Value| NewTask { payload: Some(payload.into()), ..NewTask::new("other") };
        let first = stand.enqueue(other(payload)).await;
        eventually("it runs", async || begun.exists()).await;
        let waiting = enqueue(&stand, json!({})).await;
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        assert!(stand.rows(waiting).await.is_empty(), "it waits beyond its time limit");
        std::fs::write(&go, "").unwrap();
        assert_eq!(stand.finished(first).await.outcome, Outcome::Succeeded);
        assert_eq!(stand.finished(waiting).await.outcome, Outcome::Succeeded);
    });
}

#[test]
fn a_cancel_ends_the_process_and_a_task_that_waits_is_withdrawn() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let settings = format!("heartbeat = \"200ms\"\n{}", tables(folder.path(), "", ""));
        let stand = Stand::new(&settings).await;
        let (begun, _, payload) = until(folder.path(), "it");
        let running = enqueue(&stand, payload).await;
        eventually("it runs", async || begun.exists()).await;
        let waiting = enqueue(&stand, json!({})).await;
        for id in [waiting, running] {
            let asked = sexton(&stand.config).args(["task", "cancel", &id.to_string()]).output().unwrap();
            assert!(asked.status.success(), "{}", asked.errors());
            let row = stand.finished(id).await;
            assert_eq!((row.outcome, row.verdict), (Outcome::Cancelled, Some(Verdict::Cancelled)), "{:?}", row.error);
        }
        assert_eq!(stand.run(None).await.0.outcome, Outcome::Succeeded);
    });
}

#[test]
fn a_task_that_the_process_does_not_serve_is_named() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let more = "[task.stranger]\nkind = \"worker\"\nworker = \"shop\"\n";
        let stand = Stand::new(&(tables(folder.path(), "", "") + more)).await;
        let id = stand.enqueue(NewTask::new("stranger")).await;
        let row = stand.finished(id).await;
        let expected = "worker program shop does not serve task stranger; it serves it, other";
        assert_eq!((row.outcome, row.error.as_deref()), (Outcome::Failed, Some(expected)));
    });
}

#[test]
fn the_examples_work() {
    block_on(async {
        for (command, file, error) in [
            ("/usr/bin/python3", "worker.py", "ValueError: no such order"),
            ("php", "worker.php", "ValueError: no such order"),
            ("node", "worker.js", "TypeError: no such order"),
        ] {
            let file = format!("{}/examples/workers/{file}", env!("CARGO_MANIFEST_DIR"));
            let tasks = ["welcome", "fail", "later"].map(|name| format!("[task.{name}]\nkind = \"worker\"\nworker = \"example\"\nmax_attempts = 2\nretry = {{ delay = \"20ms\" }}\n"));
            let mut stand =
                Stand::new(&format!("[worker.example]\ncommand = [\"{command}\", \"{file}\"]\n{}", tasks.concat()))
                    .await;
            let run = async |name: &str| {
                let id =
                    stand.enqueue(NewTask { payload: Some(json!({"name": "Ada"}).into()), ..NewTask::new(name) }).await;
                stand.finished(id).await;
                stand.rows(id).await
            };
            let greeted = run("welcome").await.remove(0);
            assert_eq!(greeted.outcome, Outcome::Succeeded, "{file}: {:?}", greeted.error);
            assert_eq!(value(&greeted.result).unwrap()["greeting"], "hello, Ada");
            let failed = run("fail").await;
            let told: Vec<_> = failed.iter().map(|row| (row.outcome, row.error.as_deref().unwrap())).collect();
            assert_eq!(told, [(Outcome::Failed, error); 2], "{file}");
            let output = stand.output(&failed[0]).await.unwrap().stdout;
            assert!(output.contains("no such order") && output.lines().count() > 1, "{file}: {output}");
            let later = run("later").await;
            let told: Vec<_> =
                later.iter().map(|row| (row.outcome, row.verdict, row.error.as_deref().unwrap())).collect();
            let snoozed = (Outcome::Snoozed, Some(Verdict::Retry), "not yet");
            assert_eq!(told, [snoozed, (Outcome::Failed, Some(Verdict::Discarded), "never")], "{file}");
            stand.daemon.as_ref().unwrap().wait_for_log("greeting Ada");
            stand.stop();
        }
    });
}
