//! Processes that misbehave, hang or do not start.

use serde_json::json;
use sexton::NewTask;
use sexton_entities::states::Outcome;

use super::{enqueue, pid, tables};
use crate::{
    commands::Stand,
    support::{Printed, block_on, eventually, sexton, value},
};

#[test]
fn a_process_that_misbehaves_is_killed_with_its_reason_and_the_others_work_on() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let good = format!(
            "[worker.good]\ncommand = [\"/usr/bin/python3\", \"{}\"]\n[task.welcome]\nkind = \"worker\"\nworker = \"good\"\nqueue = \"good\"\n\
             [queue.good]\nworkers = 1\n",
            concat!(env!("CARGO_MANIFEST_DIR"), "/examples/workers/worker.py"),
        );
        let stand = Stand::new(&(tables(folder.path(), "", "") + &good)).await;
        for (payload, why) in [
            (json!({"say": "PHP Warning: x"}), "sent what is no message ("),
            (
                json!({"say": "{\"type\":\"result\",\"id\":1234567}"}),
                "answered for task 1234567, which it does not have",
            ),
            (json!({"say": "{\"type\":\"hello\",\"protocol\":1}"}), "said hello twice"),
            (json!({"flood": true}), "sent more than 10000 messages in a second"),
            (json!({"long": true}), "sent a line of more than 1048576 bytes"),
        ] {
            let id = enqueue(&stand, payload.clone()).await;
            let good = stand.enqueue(NewTask::new("welcome")).await;
            assert_eq!(stand.finished(good).await.outcome, Outcome::Succeeded, "{payload}");
            let row = stand.finished(id).await;
            let error = row.error.unwrap();
            assert_eq!(row.outcome, Outcome::Crashed, "{payload}: {error}");
            assert!(error.starts_with(&format!("its worker process {why}")), "{payload}: {error}");
            stand.daemon.as_ref().unwrap().wait_for_log(&format!("worker shop: a process {why}"));
        }
        assert_eq!(stand.run(None).await.0.outcome, Outcome::Succeeded, "the next process works");
    });
}

#[test]
fn a_process_that_does_not_read_holds_up_nobody_else() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let deaf =
            "import os, time\\nos.write(3, b'{\\\"type\\\":\\\"hello\\\",\\\"protocol\\\":1}\\\\n')\\ntime.sleep(3600)";
        let settings = format!(
            "{}[worker.deaf]\ncommand = [\"/usr/bin/python3\", \"-c\", \"{deaf}\"]\n\
             [task.deaf]\nkind = \"worker\"\nworker = \"deaf\"\ntimeout = \"2s\"\nkill_after = \"100ms\"\n",
            tables(folder.path(), "", "")
        );
        let stand = Stand::new(&settings).await;
        let payload = json!({"text": "x".repeat(500_000)});
        let id = stand.enqueue(NewTask { payload: Some(payload.into()), ..NewTask::new("deaf") }).await;
        assert_eq!(stand.run(None).await.0.outcome, Outcome::Succeeded);
        assert_eq!(stand.finished(id).await.outcome, Outcome::TimedOut);
        let large = json!({"text": "y".repeat(700_000)});
        let (row, _) = stand.run(Some(large.clone())).await;
        assert_eq!(value(&row.result).unwrap()["payload"], large, "a large payload goes through the pipe in parts");
    });
}

#[test]
fn a_process_without_a_task_is_asked_whether_it_is_there() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let deaf = folder.path().join("deaf.py");
        let text = "import os, time\nos.write(3, b'{\"type\":\"hello\",\"protocol\":1}\\n')\ntime.sleep(3600)\n";
        std::fs::write(&deaf, text).unwrap();
        let settings = format!(
            "{}[worker.deaf]\ncommand = [\"/usr/bin/python3\", \"{}\"]\nping_interval = \"100ms\"\n",
            tables(folder.path(), "ping_interval = \"500ms\"", ""),
            deaf.display()
        );
        let stand = Stand::new(&settings).await;
        let first = pid(&stand.run(None).await.0.result);
        let log = || stand.log();
        eventually("the deaf one was replaced again and again", async || {
            log().matches("worker deaf: a process does not answer a ping").count() >= 3
        })
        .await;
        assert_eq!(pid(&stand.run(None).await.0.result), first, "the other one has answered");
        assert!(!log().contains("worker shop: a process"), "{}", log());
    });
}

#[test]
fn a_program_that_does_not_start_fails_its_tasks_and_is_named() {
    block_on(async {
        let settings = "[worker.shop]\ncommand = [\"sh\", \"-c\", \"echo no class Shop >&2; exit 3\"]\nrestart_delay = \"20ms\"\n\
                        max_restart_delay = \"200ms\"\n[worker.gone]\ncommand = [\"/no/such/program\"]\nrestart_delay = \"20ms\"\n\
                        [worker.silent]\ncommand = [\"sleep\", \"3600\"]\nstart_timeout = \"200ms\"\nrestart_delay = \"20ms\"\n\
                        [task.it]\nkind = \"worker\"\nworker = \"shop\"\n[task.gone]\nkind = \"worker\"\nworker = \"gone\"\n\
                        [task.silent]\nkind = \"worker\"\nworker = \"silent\"\n";
        let stand = Stand::new(settings).await;
        for (name, why) in [
            ("it", "worker program shop has no process that works: one died: exit code 3: no class Shop"),
            ("gone", "worker program gone has no process that works: one cannot start /no/such/program: No such file"),
            (
                "silent",
                "worker program silent has no process that works: one said no hello within 200ms (start_timeout)",
            ),
        ] {
            let id = stand.enqueue(NewTask::new(name)).await;
            let row = stand.finished(id).await;
            assert_eq!(row.outcome, Outcome::Failed);
            let error = row.error.unwrap();
            assert!(error.starts_with(why), "{error}");
        }
        let status = sexton(&stand.config).args(["status"]).output().unwrap().text();
        let told = "shop: 0 of 1 process can work: a process died: exit code 3: no class Shop (";
        assert!(status.contains(told) && status.contains("starts the next process in"), "{status}");
        let failing =
            sexton(&stand.config).args(["status", "--json"]).output().unwrap().json()["daemon"]["failing_workers"]
                .clone();
        assert_eq!(failing.as_array().unwrap().len(), 3, "{failing}");
        let check = sexton(&stand.config).arg("check").output().unwrap();
        assert!(check.text().contains("worker shop: 0 of 1 process can work"), "{}{}", check.text(), check.errors());
        eventually("the next round has shown them", async || {
            let summary = sexton(&stand.config).args(["summary", "worker_processes"]).output().unwrap().text();
            summary.contains("no class Shop") && summary.contains("failed")
        })
        .await;
    });
}
