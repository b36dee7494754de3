//! The life of processes: their limits, a reload, a stop.

use serde_json::json;
use sexton_entities::states::{Outcome, Verdict};

use super::{enqueue, marked, pid, tables, until};
use crate::{
    commands::{Stand, processes, unusual},
    support::{Printed, block_on, eventually, sexton, value},
};

#[test]
fn a_process_is_replaced_at_its_limits() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let stand = Stand::new(&tables(folder.path(), "max_tasks = 2", "")).await;
        let mut pids = Vec::new();
        for _ in 0..4 {
            pids.push(pid(&stand.run(None).await.0.result));
        }
        assert!(pids[0] == pids[1] && pids[1] != pids[2] && pids[2] == pids[3], "{pids:?}");
        let folder = tempfile::tempdir().unwrap();
        let mut stand = Stand::new(&tables(folder.path(), "max_memory = \"100MiB\"\nmax_age = \"1h\"", "")).await;
        let (large, _) = stand.run(Some(json!({"grow": 200_000_000}))).await;
        stand.daemon.as_ref().unwrap().wait_for_log("worker shop: replacing a process: it has ");
        assert_ne!(pid(&stand.run(None).await.0.result), pid(&large.result));
        let (left, _) = stand.run(Some(json!({"leave": 1}))).await;
        assert_eq!(
            (left.outcome, left.error.as_deref()),
            (Outcome::Crashed, Some("its worker process ended with exit code 0"))
        );
        stand.stop();
    });
}

#[test]
fn a_reload_replaces_the_processes_after_their_tasks_and_a_stop_lets_them_end() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let ended = folder.path().join("ended");
        let mut stand = Stand::new(&tables(folder.path(), "", "")).await;
        let (begun, go, payload) = until(folder.path(), "it");
        let id = enqueue(&stand, payload).await;
        eventually("it runs", async || begun.exists()).await;
        let text = std::fs::read_to_string(&stand.config).unwrap();
        std::fs::write(&stand.config, text.replace("\"mark\"", &format!("\"{}\"", ended.display()))).unwrap();
        let reloaded = sexton(&stand.config).arg("reload").output().unwrap();
        assert!(reloaded.status.success(), "{}", reloaded.errors());
        let (new, _) = stand.run(None).await;
        assert_eq!(value(&new.result).unwrap()["mark"], json!(ended));
        std::fs::write(&go, "").unwrap();
        let old = stand.finished(id).await;
        assert_eq!((old.outcome, &value(&old.result).unwrap()["mark"]), (Outcome::Succeeded, &json!("mark")));
        assert_ne!(pid(&old.result), pid(&new.result));
        let log = stand.stop();
        assert!(ended.exists(), "the end of its input is the end of its loop:\n{log}");
    });
}

#[test]
fn a_stop_interrupts_what_takes_too_long_and_leaves_no_process() {
    block_on(async {
        let (folder, mark) = (tempfile::tempdir().unwrap(), unusual());
        // It neither ends with its input nor by SIGTERM.
        let stubborn = folder.path().join("stubborn.py");
        let text = "import os, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n\
                    os.write(3, b'{\"type\":\"hello\",\"protocol\":1}\\n')\ntime.sleep(3600)\n";
        std::fs::write(&stubborn, text).unwrap();
        let settings = format!(
            "stop_timeout = \"300ms\"\n{}[worker.stubborn]\ncommand = [\"/usr/bin/python3\", \"{}\", \"{mark}\"]\n\
             stop_timeout = \"100ms\"\n",
            marked(folder.path(), &mark, "processes = 2", ""),
            stubborn.display()
        );
        let mut stand = Stand::new(&settings).await;
        let (begun, _, payload) = until(folder.path(), "it");
        let id = enqueue(&stand, payload).await;
        eventually("it runs", async || begun.exists()).await;
        stand.stop();
        eventually("no process is left", async || processes(&mark).is_empty()).await;
        let row = stand.rows(id).await.pop().unwrap();
        assert_eq!((row.outcome, row.verdict), (Outcome::Interrupted, Some(Verdict::Released)), "{:?}", row.error);
        assert_eq!(row.error.as_deref(), Some("the daemon was stopping: its worker process was killed"));
        assert!(stand.store.task(id).await.unwrap().is_some(), "the task waits for the next daemon");
    });
}

#[test]
fn accounts_and_limits_are_those_of_commands() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let limits = "limits = { open_files = 37 }\numask = \"027\"\nenv = { OWN = \"x\" }\ndir = \"/\"";
        let seen = folder.path().join("seen");
        let look = format!(
            "(ulimit -n; umask; echo $OWN $SEXTON_WORKER $SEXTON_RESULT_FD; pwd) > {0}.new; mv {0}.new {0}; exit 1",
            seen.display()
        );
        let settings = format!("[worker.shop]\ncommand = [\"sh\", \"-c\", \"{look}\"]\n{limits}\n");
        let mut stand = Stand::new(&settings).await;
        eventually("it has run", async || seen.exists()).await;
        assert_eq!(std::fs::read_to_string(&seen).unwrap(), "37\n0027\nx shop 3\n/\n");
        stand.stop();
    });
}
