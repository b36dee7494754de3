//! Commands under claims that the database has lost, of other databases, and of daemons that were killed.

use std::{
    fs,
    path::{Path, PathBuf},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use sea_orm::ConnectionTrait;
use sexton::{NewTask, domain::task::claim::Claim, store::HistoryFilter};
use sexton_entities::states::{Outcome, TaskState, Verdict};

use super::{Stand, processes, shepherd_of, unusual};
use crate::support::{Daemon, Database, Kind, Printed, block_on, eventually, on_each_database, sexton};

/// A folder in which commands note their begin and their end, and wait for a file.
struct Notes(tempfile::TempDir);

impl Notes {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The definition of `it`, which ends once there is a file `go`.
    fn definition(&self, settings: &str) -> String {
        let (notes, go) = (self.file("notes"), self.file("go"));
        let body = format!(
            "echo + >> {0}; while [ ! -e {1} ]; do sleep 0.05; done; echo - >> {0}",
            notes.display(),
            go.display()
        );
        format!("[task.it]\ncommand = [\"sh\", \"-c\", '''{body}''']\n{settings}")
    }

    fn go(&self) {
        fs::write(self.file("go"), "").unwrap();
    }

    /// How many have begun, and how many ran at once at most.
    fn begun(&self) -> (usize, i32) {
        let text = fs::read_to_string(self.file("notes")).unwrap_or_default();
        let (mut running, mut most) = (0, 0);
        for line in text.lines() {
            running += if line == "+" { 1 } else { -1 };
            most = most.max(running);
        }
        (text.lines().filter(|line| *line == "+").count(), most)
    }

    async fn wait_for(&self, begun: usize) {
        eventually(&format!("{begun} have begun"), async || self.begun().0 == begun).await;
    }
}

/// The database loses the claim of a running task.
async fn lose(stand: &Stand, id: i64, fence: i64) {
    let sql = format!(
        "UPDATE sexton_task SET state = 'available', node = NULL, started_at = NULL, fence = {fence}, \
         attempt = attempt - 1 WHERE id = {id}"
    );
    stand.store.connection().execute_unprepared(&sql).await.unwrap();
}

/// The attempt directories of a node directory, by their file names.
fn attempts(state: &Path) -> Vec<PathBuf> {
    let node_dirs = fs::read_dir(state.join("attempts")).into_iter().flatten().flatten();
    let entries = node_dirs.flat_map(|node_dir| fs::read_dir(node_dir.path()).unwrap().flatten());
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

on_each_database! {
    async fn a_restarted_daemon_adopts_before_it_claims(database: Database) {
        let notes = Notes::new();
        let mut stand = Stand::on(database, &notes.definition("[queue.default]\nworkers = 2")).await;
        for _ in 0..12 {
            stand.enqueue(NewTask::new("it")).await;
        }
        notes.wait_for(2).await;
        for _ in 0..2 {
            stand.kill();
            stand.start();
            eventually("both commands are adopted", async || {
                stand.log().matches("adopting the command of it").count() == 2
            })
            .await;
            eventually("the dispatcher has looked", async || {
                let modules = sexton(&stand.config).args(["module", "list", "--json"]).output().unwrap().json();
                let rounds = |module: &serde_json::Value| module["name"] == "dispatcher" && module["rounds"].as_u64() > Some(2);
                modules.as_array().unwrap().iter().any(rounds)
            })
            .await;
            assert_eq!(notes.begun(), (2, 2), "the adopted commands occupy both workers");
        }
        notes.go();
        eventually("all are done", async || notes.begun().0 == 12 && stand.store.tasks(&all()).await.unwrap().is_empty()).await;
        assert_eq!(notes.begun(), (12, 2), "never more than two at once");
        stand.stop();
    }

    async fn an_attempt_that_cannot_be_read_for_a_while_is_adopted_later(database: Database) {
        let notes = Notes::new();
        let mut stand = Stand::on(database, &notes.definition("")).await;
        let id = stand.enqueue(NewTask::new("it")).await;
        notes.wait_for(1).await;
        stand.kill();
        // The content cannot be read, as with a broken disk: that is no damage of the attempt.
        let [attempt]: [PathBuf; 1] = attempts(&stand.state()).try_into().unwrap();
        let [manifest, kept] = ["attempt", "kept"].map(|name| attempt.join(name));
        fs::rename(&manifest, &kept).unwrap();
        fs::create_dir(&manifest).unwrap();
        stand.start();
        let what = format!("the attempt in {} cannot be read", attempt.display());
        eventually("it is said", async || stand.log().contains(&what)).await;
        let status = sexton(&stand.config).arg("status").output().unwrap();
        assert!(status.text().contains(&what), "{}", status.text());
        let other = stand.enqueue(NewTask::new("it")).await;
        eventually("the others wait no longer", async || notes.begun().0 == 2).await;
        fs::remove_dir(&manifest).unwrap();
        fs::rename(&kept, &manifest).unwrap();
        eventually("it is adopted", async || stand.log().contains("adopting the command of it")).await;
        notes.go();
        for id in [id, other] {
            let row = stand.finished(id).await;
            assert_eq!((row.outcome, row.attempt), (Outcome::Succeeded, 1));
            assert_eq!(stand.rows(id).await.len(), 1);
        }
        assert_eq!(notes.begun().0, 2, "each began once");
        let status = sexton(&stand.config).arg("status").output().unwrap();
        assert!(!status.text().contains(&what), "{}", status.text());
        assert_eq!(stand.stop().matches(&what).count(), 1, "it is reported once");
    }

    async fn a_lost_claim_is_made_again_by_the_same_node(database: Database) {
        let notes = Notes::new();
        let mut stand = Stand::on(database, &notes.definition("")).await;
        let id = stand.enqueue(NewTask::new("it")).await;
        notes.wait_for(1).await;
        let first = stand.store.task(id).await.unwrap().unwrap().fence;
        lose(&stand, id, 0).await;
        notes.wait_for(2).await;
        notes.go();
        stand.finished(id).await;
        eventually("both are on record", async || stand.rows(id).await.len() == 2).await;
        let mut rows = stand.rows(id).await;
        rows.sort_by_key(|row| row.fence);
        let ends: Vec<_> = rows.iter().map(|row| (row.outcome, row.verdict)).collect();
        assert_eq!(ends, [(Outcome::Superseded, None), (Outcome::Succeeded, Some(Verdict::Completed))]);
        assert_eq!(rows[0].fence, first, "the healthy attempt went on to its end");
        let log = stand.stop();
        assert!(log.contains(&format!("the database has lost its claim {id}-{first}; both attempts run, and the later one counts")), "{log}");
    }

    async fn a_lost_claim_is_made_again_by_another_node(database: Database) {
        let notes = Notes::new();
        let settings = notes.definition("");
        let mut stand = Stand::on(database, &settings).await;
        let id = stand.enqueue(NewTask::new("it")).await;
        notes.wait_for(1).await;
        sexton(&stand.config).arg("quiet").output().unwrap();
        lose(&stand, id, 0).await;
        let other = Daemon::start(&stand.database.config("other", &settings), &["run"]);
        notes.wait_for(2).await;
        notes.go();
        stand.finished(id).await;
        eventually("both are on record", async || stand.rows(id).await.len() == 2).await;
        let mut rows = stand.rows(id).await;
        rows.sort_by_key(|row| row.fence);
        let ends: Vec<_> = rows.iter().map(|row| (row.outcome, &row.node.as_ref().unwrap()[..2])).collect();
        assert_eq!(ends, [(Outcome::Superseded, "n-"), (Outcome::Succeeded, "ot")]);
        other.stop();
        stand.stop();
    }

    async fn a_claim_that_runs_already_is_not_run_again(database: Database) {
        let notes = Notes::new();
        let mut stand = Stand::on(database, &notes.definition("")).await;
        // A fence beyond the database's time: by counting alone, the lost claim gets the same one again.
        let far = 8_000_000_000_000_000_000_i64;
        let sql = format!("INSERT INTO sexton_task (name, queue, fence) VALUES ('it', 'default', {far})");
        stand.store.connection().execute_unprepared(&sql).await.unwrap();
        notes.wait_for(1).await;
        lose(&stand, 1, far).await;
        eventually("it is on record", async || stand.rows(1).await.len() == 1).await;
        let again = stand.store.task(1).await.unwrap().unwrap();
        assert_eq!((again.state, again.fence), (TaskState::Running, far + 1));
        notes.go();
        let row = stand.finished(1).await;
        assert_eq!((row.outcome, row.verdict), (Outcome::Succeeded, Some(Verdict::Completed)), "the attempt that ran counts");
        assert_eq!((notes.begun().0, stand.rows(1).await[0].outcome), (1, Outcome::Superseded));
        let claim = Claim::new(1, far + 1);
        let log = stand.stop();
        let line = format!("it was claimed again under the claim {claim} that this node has already: the database has lost that claim; the attempt that runs goes on");
        assert!(log.contains(&line), "{log}");
    }
}

fn all() -> sexton::store::TaskFilter {
    sexton::store::TaskFilter { limit: 100, ..Default::default() }
}

#[test]
fn leftovers_of_another_database_are_put_aside() {
    block_on(async {
        let notes = Notes::new();
        let ended = notes.file("ended");
        let quick = format!(
            "[task.quick]\ncommand = [\"sh\", \"-c\", '''while [ ! -e {} ]; do sleep 0.05; done''']",
            ended.display()
        );
        let mut stand = Stand::new(&notes.definition(&quick)).await;
        let running = stand.enqueue(NewTask::new("it")).await;
        let over = stand.enqueue(NewTask::new("quick")).await;
        notes.wait_for(1).await;
        eventually("both run", async || shepherd_of(&ended.display().to_string()).is_some()).await;
        stand.kill();
        fs::write(&ended, "").unwrap();
        eventually("one has ended alone", async || {
            attempts(&stand.state()).iter().any(|attempt| attempt.join("result").exists())
        })
        .await;
        // The same directories, with another database: it has tasks of the same numbers, under other claims.
        let other = Database::new(Kind::Postgres).await;
        let store = other.store().await;
        let text = fs::read_to_string(&stand.config).unwrap().replace(&stand.database.url, &other.url);
        let config = stand.config.with_file_name("other.toml");
        fs::write(&config, text).unwrap();
        store.pause_queue(&"default".into(), true).await.unwrap();
        let tasks = [NewTask::new("it").queue("default"), NewTask::new("quick").queue("default")];
        store.enqueue_all(store.connection(), &tasks).await.unwrap();
        let (own, foreign) = (store.database_id().await.unwrap(), stand.store.database_id().await.unwrap());
        let spool = stand.state().join("spool");
        fs::create_dir_all(&spool).unwrap();
        let spooled = format!(
            r#"[{{"database":"{foreign}","task_id":1,"fence":0,"name":"it","kind":null,"queue":"default","schedule":null,
            "due_at":null,"enqueued_at":"2026-11-21T10:00:00Z","started_at":"2026-11-21T10:00:01Z",
            "finished_at":"2026-11-21T10:00:02Z","duration_ms":1000,"node":"n-0123456789ab","attempt":1,
            "outcome":"succeeded","verdict":"completed","retry_ms":0,"error":null,"payload":null,
            "report":{{"exit_code":null,"signal":null,"core_dumped":null,"usage":null,"result":null,
            "stdout":{{"text":"","truncated":false,"stamps":[]}},"stderr":{{"text":"","truncated":false,"stamps":[]}},
            "next_payload":null}}}}]"#
        );
        fs::write(spool.join("019.json"), spooled).unwrap();
        let daemon = Daemon::start(&config, &["run"]);
        let status = || sexton(&config).args(["status", "--json"]).output().unwrap().json();
        eventually("all are counted", async || status()["daemon"]["foreign_leftovers"] == 3).await;
        assert!(spool.join("foreign/019.json").exists());
        let line = sexton(&config).arg("status").output().unwrap().text();
        assert!(line.contains("3 leftovers of another database, not applied (the log has the paths)"), "{line}");
        let of = |id: i64| {
            let mut all = attempts(&stand.state()).into_iter();
            all.find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(&format!("{id}-"))).unwrap()
        };
        assert_eq!(of(over).extension(), Some("foreign".as_ref()));
        assert_eq!(of(running).extension(), None, "it runs");
        assert!(
            !notes.file("go").exists() && shepherd_of(&notes.file("go").display().to_string()).is_some(),
            "it is left alone"
        );
        let log = daemon.log();
        for path in [spool.join("foreign/019.json"), of(over), of(running)] {
            let line =
                format!("{} belongs to database {foreign}, and this node works on database {own}: ", path.display());
            assert_eq!(log.matches(&line).count(), 1, "{line}\n{log}");
        }
        assert_eq!(store.tasks(&all()).await.unwrap().len(), 2, "its own tasks of these numbers wait on");
        assert!(store.history(&HistoryFilter { limit: 10, ..HistoryFilter::default() }).await.unwrap().is_empty());
        // Its own daemon finds the running one again.
        daemon.stop();
        stand.start();
        notes.go();
        assert_eq!(stand.finished(running).await.outcome, Outcome::Succeeded);
        stand.stop();
    });
}

#[test]
fn a_task_that_takes_its_nodes_down_is_given_up() {
    block_on(async {
        let sleep = unusual();
        let settings = "heartbeat = \"100ms\"\nlease = \"600ms\"\nmax_pickups = 9";
        let task = format!("[task.it]\ncommand = [\"sleep\", \"{sleep}\"]\nmax_pickups = 2");
        let mut stand = Stand::new(&format!("{settings}\n{task}")).await;
        let id = stand.enqueue(NewTask::new("it")).await;
        for death in 1..=2 {
            eventually("it runs", async || shepherd_of(&sleep).is_some()).await;
            // As in a container: daemon, shepherd and command end together, and their state is lost.
            let shepherd = shepherd_of(&sleep).unwrap();
            stand.kill();
            for pid in std::iter::once(shepherd).chain(processes(&sleep).into_iter().map(|(pid, _)| pid)) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            eventually("nothing is left", async || processes(&sleep).is_empty()).await;
            fs::remove_dir_all(stand.state()).unwrap();
            stand.start();
            eventually("it is on record", async || stand.rows(id).await.len() == death).await;
        }
        assert_eq!(stand.store.task(id).await.unwrap(), None);
        let rows: Vec<_> =
            stand.rows(id).await.into_iter().map(|row| (row.outcome, row.verdict, row.error.unwrap())).collect();
        let died = "the node died or lost its lease".to_owned();
        let given_up = format!("{died}; its node died during 2 attempts in a row, and max_pickups is 2");
        assert_eq!(rows[0], (Outcome::Interrupted, Some(Verdict::Released), died));
        assert_eq!(rows[1], (Outcome::Crashed, Some(Verdict::Discarded), given_up.clone()));
        let log = stand.stop();
        assert!(log.contains(&format!("it is discarded: {given_up}")), "{log}");
    });
}
