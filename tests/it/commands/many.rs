//! Many commands: at once, and one after the other.

use sexton::{Client, NewTask};
use sexton_entities::states::Outcome;

use super::{Stand, ancestors, attempts_on_disk, processes, unusual};
use crate::support::{Daemon, Database, Kind, block_on, eventually};

#[test]
fn five_hundred_at_once() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let go = folder.path().join("go");
        let sleep = unusual();
        let definition = format!(
            "workers = 500\n[task.it]\ncommand = [\"sh\", \"-c\", '''while [ -d {} ] && [ ! -e {} ]; do sleep 1; done; : {sleep}''']",
            folder.path().display(),
            go.display()
        );
        let mut stand = Stand::new(&definition).await;
        Client::new(stand.store.clone()).enqueue_all(vec![NewTask::new("it"); 500]).await.unwrap();
        eventually("all of them run", async || processes(&sleep).len() == 500).await;
        std::fs::write(&go, "").unwrap();
        eventually("all are on record", async || {
            let filter =
                sexton::store::HistoryFilter { outcome: Some(Outcome::Succeeded), limit: 1000, ..Default::default() };
            stand.store.history(&filter).await.unwrap().len() == 500
        })
        .await;
        stand.stop();
        assert_eq!(attempts_on_disk(&stand), 0);
    });
}

/// What a process has: resident memory in KiB, open descriptors, threads.
fn belongings(pid: i32) -> (u64, usize, usize) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let resident =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok());
    let count = |what: &str| std::fs::read_dir(format!("/proc/{pid}/{what}")).unwrap().count();
    (resident.unwrap(), count("fd"), count("task"))
}

#[test]
fn ten_thousand_commands_leave_nothing_behind() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let store = database.store().await;
        let config = database.config("n", "[task.it]\ncommand = [\"true\"]");
        let daemon = Daemon::start(&config, &["run"]);
        let client = Client::new(store.clone());
        let mut done = 0;
        let mut run = async |count: usize| {
            client.enqueue_all(vec![NewTask::new("it"); count]).await.unwrap();
            done += count as i64;
            eventually("all are on record", async || crate::daemon::completed(&store).await == done).await;
        };
        run(2_000).await;
        let before = belongings(daemon.pid());
        for _ in 0..4 {
            run(2_000).await;
        }
        let after = belongings(daemon.pid());
        assert!(after.0 < before.0 + 16 * 1024, "memory: {before:?}, then {after:?}");
        // A module may be about to be replaced, or a connection replaced: a handful, not eight thousand.
        let is_near = |now: usize, then: usize| now.abs_diff(then) <= 4;
        assert!(
            is_near(after.1, before.1) && is_near(after.2, before.2),
            "descriptors and threads: {before:?}, then {after:?}"
        );
        let of_ours = |(pid, _): &(i32, char)| pid != &daemon.pid() && ancestors(*pid).contains(&daemon.pid());
        let below: Vec<_> = processes("").into_iter().filter(of_ours).collect();
        assert_eq!(below.len(), 1, "the fork server alone is below the daemon: {below:?}");
        let zombies: Vec<_> = processes("")
            .into_iter()
            .filter(|(pid, state)| *state == 'Z' && ancestors(*pid).contains(&daemon.pid()))
            .collect();
        assert_eq!(zombies, []);
        daemon.stop();
        let left = std::fs::read_dir(database.folder.path().join("n/state/attempts")).unwrap().count();
        assert_eq!(left, 0, "not even the home is left");
    });
}
