//! Commands outlive their daemon, and nothing of what they did is lost.

use std::{collections::HashMap, time::Duration};

use sexton::NewTask;
use sexton_entities::states::{Outcome, TaskState, Verdict};

use super::{Stand, attempts_on_disk, processes, shepherd_of, unusual};
use crate::support::{Daemon, Database, Kind, block_on, eventually, on_each_database};

fn shell(script: &str, settings: &str) -> String {
    format!("[task.it]\ncommand = [\"sh\", \"-c\", '''{script}''']\n{settings}")
}

on_each_database! {
    async fn a_killed_daemon_is_followed_by_one_that_takes_over(database: Database) {
        let folder = tempfile::tempdir().unwrap();
        let go = folder.path().join("go");
        let unique = go.display().to_string();
        let body = format!("echo begun; while [ ! -e {} ]; do sleep 0.05; done; echo ended", go.display());
        let mut stand = Stand::on(database, &shell(&body, "")).await;
        let id = stand.enqueue(NewTask::new("it")).await;
        eventually("it runs", async || shepherd_of(&unique).is_some()).await;
        let first = stand.store.task(id).await.unwrap().unwrap().node.unwrap();
        stand.kill();
        assert!(shepherd_of(&unique).is_some(), "its shepherd lives");
        stand.start();
        eventually("the next daemon has taken it over", async || {
            stand.store.task(id).await.unwrap().is_some_and(|task| task.node.as_ref() != Some(&first))
        })
        .await;
        std::fs::write(&go, "").unwrap();
        let row = stand.finished(id).await;
        assert_eq!((row.outcome, row.verdict, row.attempt), (Outcome::Succeeded, Some(Verdict::Completed), 1));
        assert_eq!(stand.output(&row).await.unwrap().stdout, "begun\nended\n", "what it wrote before and after");
        assert_eq!(stand.rows(id).await.len(), 1);
        eventually("nothing is left on disk", async || attempts_on_disk(&stand) == 0).await;
        stand.stop();
    }

    async fn what_ended_without_a_daemon_is_recorded(database: Database) {
        let folder = tempfile::tempdir().unwrap();
        let go = folder.path().join("go");
        let unique = go.display().to_string();
        let body = format!("while [ ! -e {} ]; do sleep 0.05; done; echo ended; exit 3", go.display());
        let mut stand = Stand::on(database, &shell(&body, "")).await;
        let id = stand.enqueue(NewTask::new("it")).await;
        eventually("it runs", async || shepherd_of(&unique).is_some()).await;
        stand.kill();
        std::fs::write(&go, "").unwrap();
        eventually("it ends alone", async || has_result(&stand)).await;
        stand.start();
        let row = stand.finished(id).await;
        assert_eq!((row.outcome, row.exit_code), (Outcome::Failed, Some(3)));
        assert_eq!(stand.output(&row).await.unwrap().stdout, "ended\n");
        stand.stop();
    }

    async fn what_another_node_has_taken_is_superseded(database: Database) {
        let folder = tempfile::tempdir().unwrap();
        let go = folder.path().join("go");
        let unique = go.display().to_string();
        // The second attempt, on the other node, does nothing.
        let begun = folder.path().join("begun");
        let wait = format!("while [ ! -e {} ]; do sleep 0.05; done", go.display());
        let body = format!("mkdir {} || exit 0; {wait}", begun.display());
        let settings = format!("heartbeat = \"200ms\"\nlease = \"1s\"\n{}", shell(&body, ""));
        let mut stand = Stand::on(database, &settings).await;
        let id = stand.enqueue(NewTask::new("it")).await;
        eventually("it runs", async || shepherd_of(&unique).is_some()).await;
        stand.kill();
        let other = Daemon::start(&stand.database.config("other", &settings), &["run"]);
        eventually("the other node has done it", async || stand.store.task(id).await.unwrap().is_none()).await;
        std::fs::write(&go, "").unwrap();
        eventually("the first one has ended", async || has_result(&stand)).await;
        stand.start();
        eventually("the late result is on record", async || stand.rows(id).await.len() == 3).await;
        let mut rows: Vec<_> = stand.rows(id).await.into_iter().map(|row| (row.fence, row.outcome)).collect();
        rows.sort_by_key(|(fence, outcome)| (*fence, outcome.as_str()));
        let (first, second) = (rows[0].0, rows[2].0);
        assert!(first < second);
        let expected = [(first, Outcome::Interrupted), (first, Outcome::Superseded), (second, Outcome::Succeeded)];
        assert_eq!(rows, expected);
        other.stop();
        stand.stop();
    }
}

#[test]
fn what_was_told_to_keep_goes_on_through_a_stop() {
    block_on(async {
        let sleep = unusual();
        let body = format!("trap 'echo told to stop' TERM; sleep {sleep} & wait");
        let mut stand = Stand::new(&shell(&body, "on_daemon_stop = \"keep\"")).await;
        let id = stand.enqueue(NewTask::new("it")).await;
        eventually("it runs", async || !processes(&sleep).is_empty()).await;
        let log = stand.stop();
        assert!(log.contains("leaving 1 command running for the next daemon"), "{log}");
        assert!(!processes(&sleep).is_empty());
        assert_eq!(stand.store.task(id).await.unwrap().unwrap().state, TaskState::Running);
        stand.start();
        eventually("it is taken over", async || stand.log().contains("adopting")).await;
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(sleeping(&sleep)), nix::sys::signal::Signal::SIGKILL)
            .unwrap();
        let row = stand.finished(id).await;
        assert_eq!(row.outcome, Outcome::Succeeded, "{row:?}");
        assert_eq!(stand.output(&row).await, None, "nobody told it to stop");
        stand.stop();
    });
}

/// Whether an attempt has ended, and has its result on disk.
fn has_result(stand: &Stand) -> bool {
    let homes = std::fs::read_dir(stand.state().join("attempts")).unwrap().flatten();
    let mut attempts = homes.flat_map(|home| std::fs::read_dir(home.path()).unwrap().flatten());
    attempts.any(|attempt| attempt.path().join("result").is_file())
}

/// The process that only sleeps, not the shell that has started it.
fn sleeping(sleep: &str) -> i32 {
    let all = processes(&format!("sleep {sleep}"));
    let only = |pid: &i32| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap().trim() == "sleep";
    all.into_iter().map(|(pid, _)| pid).find(only).unwrap()
}

#[test]
fn what_was_told_to_stop_ends_with_a_crash() {
    block_on(async {
        let sleep = unusual();
        let settings = "on_daemon_stop = \"stop\"\nkill_after = \"200ms\"\nmax_attempts = 1";
        let folder = tempfile::tempdir().unwrap();
        let first = folder.path().join("first");
        let mut stand =
            Stand::new(&shell(&format!("mkdir {} || exit 0; sleep {sleep}", first.display()), settings)).await;
        let id = stand.enqueue(NewTask::new("it")).await;
        // The shell itself has the number in its arguments, also before it has made the directory.
        eventually("it runs", async || first.exists() && !processes(&sleep).is_empty()).await;
        stand.kill();
        eventually("it is ended", async || processes(&sleep).is_empty()).await;
        stand.start();
        assert_eq!(stand.finished(id).await.outcome, Outcome::Succeeded, "it is given back, and done by the next");
        let rows: Vec<_> = stand.rows(id).await.into_iter().map(|row| (row.outcome, row.attempt)).collect();
        assert_eq!(
            rows,
            [(Outcome::Interrupted, 1), (Outcome::Succeeded, 1)],
            "the interrupted attempt does not count"
        );
        stand.stop();
    });
}

#[test]
fn after_a_new_start_of_the_machine_what_ran_is_given_back() {
    block_on(async {
        let sleep = unusual();
        let folder = tempfile::tempdir().unwrap();
        let first = folder.path().join("first");
        let mut stand = Stand::new(&shell(&format!("mkdir {} || exit 0; sleep {sleep}", first.display()), "")).await;
        let id = stand.enqueue(NewTask::new("it")).await;
        eventually("it runs", async || first.exists() && !processes(&sleep).is_empty()).await;
        stand.kill();
        // A power cut leaves the files of another boot, and no process.
        for (pid, _) in shepherd_of(&sleep).map(|pid| (pid, ' ')).into_iter().chain(processes(&sleep)) {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
        eventually("nothing is left", async || processes(&sleep).is_empty()).await;
        let home = std::fs::read_dir(stand.state().join("attempts")).unwrap().flatten().next().unwrap();
        let attempts = std::fs::read_dir(home.path()).unwrap().flatten().map(|entry| entry.path().join("attempt"));
        let attempt = attempts.into_iter().find(|attempt| attempt.is_file()).unwrap();
        let text = std::fs::read_to_string(&attempt).unwrap();
        let boot = sexton::shepherd::boot_id();
        assert!(text.contains(boot));
        std::fs::write(&attempt, text.replace(boot, "another boot")).unwrap();
        stand.start();
        assert_eq!(stand.finished(id).await.outcome, Outcome::Succeeded);
        let first = &stand.rows(id).await[0];
        assert_eq!((first.outcome, first.verdict), (Outcome::Interrupted, Some(Verdict::Released)));
        assert!(first.error.as_ref().unwrap().contains("the machine was rebooted while it ran"), "{first:?}");
        stand.stop();
    });
}

#[test]
fn a_lost_worker_does_not_end_its_command() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let store = database.store().await;
        let folder = tempfile::tempdir().unwrap();
        let go = folder.path().join("go");
        let unique = go.display().to_string();
        let mut blueprint = crate::support::blueprint(&database);
        let body = format!("while [ ! -e {} ]; do sleep 0.05; done; echo ended", go.display());
        let argv = ["sh", "-c", &body].map(str::to_owned).to_vec();
        let mut definition = sexton::TaskDefinition::new("it", "command");
        definition.command = Some(sexton::domain::command::CommandSpec::new(argv));
        blueprint.config.tasks.insert("it".to_owned(), definition.into());
        blueprint.config.supervisor.recycle_after = Duration::from_secs(3_600);
        let inside = crate::support::Inside::start(blueprint);
        let sexton::store::Enqueued::New(id) = inside.daemon.client.enqueue(NewTask::new("it")).await.unwrap() else {
            panic!()
        };
        eventually("it runs", async || inside.daemon.in_flight.counts().running == 1 && shepherd_of(&unique).is_some())
            .await;
        // What a new incarnation of the workers does when the threads of the one before it are gone.
        inside.daemon.in_flight.interrupt_abandoned("its worker was lost", inside.daemon.clock.now());
        eventually("it is taken up again", async || {
            inside.daemon.in_flight.detached_count() == 0 && inside.daemon.in_flight.counts().running == 1
        })
        .await;
        std::fs::write(&go, "").unwrap();
        eventually("it is finished", async || store.task(id).await.unwrap().is_none()).await;
        assert_eq!(inside.stop(), 0);
        let filter = sexton::store::HistoryFilter { task_id: Some(id), limit: 10, ..Default::default() };
        let rows: Vec<_> = store.history(&filter).await.unwrap().into_iter().map(|row| row.outcome).collect();
        assert_eq!(rows, [Outcome::Succeeded], "it ran once, and is on record once");
    });
}

#[test]
fn a_directory_that_was_half_made_or_half_removed_does_not_stay() {
    block_on(async {
        let mut stand = Stand::of("command = [\"true\"]").await;
        stand.kill();
        // A daemon was killed before it had written the manifest, or after it had removed that.
        let home = stand.state().join("attempts/n-gone");
        let half = home.join("4711-3");
        std::fs::create_dir_all(&half).unwrap();
        std::fs::write(home.join("lock"), "").unwrap();
        std::fs::write(half.join("input"), "{}").unwrap();
        stand.start();
        eventually("both are removed", async || !home.exists()).await;
        stand.stop();
    });
}

#[test]
fn fifty_commands_live_through_twenty_killed_daemons() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let marks = folder.path().join("marks");
        // From one to twenty seconds each; both ends are noted, each by one write that is too short to be torn.
        let body = format!(
            "echo begin $SEXTON_TASK_ID >> {0}; sleep $(cat); echo end $SEXTON_TASK_ID >> {0}",
            marks.display()
        );
        let settings = format!("workers = 50\nheartbeat = \"300ms\"\nlease = \"1500ms\"\n{}", shell(&body, ""));
        let mut stand = Stand::new(&settings).await;
        let mut ids = Vec::new();
        for number in 0..50 {
            let task = NewTask::new("it").payload(serde_json::json!(1 + number * 19 / 49));
            ids.push(stand.enqueue(task).await);
        }
        for _ in 0..20 {
            // Somewhere in the middle of whatever it does.
            tokio::time::sleep(Duration::from_millis(fastrand::u64(100..900))).await;
            stand.kill();
            stand.start();
        }
        for id in &ids {
            let row = stand.finished(*id).await;
            assert_eq!((row.outcome, row.verdict), (Outcome::Succeeded, Some(Verdict::Completed)), "{row:?}");
        }
        let text = std::fs::read_to_string(&marks).unwrap();
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for line in text.lines() {
            *counts.entry(line).or_default() += 1;
        }
        for id in &ids {
            for end in ["begin", "end"] {
                assert_eq!(counts.get(format!("{end} {id}").as_str()), Some(&1), "{end} {id}");
            }
            let ran: Vec<_> = stand
                .rows(*id)
                .await
                .into_iter()
                .filter(|row| row.kind.is_some() && row.outcome != Outcome::Interrupted)
                .collect();
            assert_eq!(ran.len(), 1, "{ran:?}");
        }
        eventually("nothing is left on disk", async || attempts_on_disk(&stand) == 0).await;
        stand.stop();
    });
}
