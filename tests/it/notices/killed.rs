//! `kill -9` of the daemon at every step of sending: no notice is lost, and none is sent twice without need.

use std::{os::unix::process::ExitStatusExt as _, path::Path};

use sexton::{domain::problem::Sighting, store::Store};
use sexton_entities::states::{NoticeState, ProblemKind};

use super::{notices, run};
use crate::support::{Daemon, MailServer, eventually, on_each_database, sexton};

/// Each step of sending, and how often the notice is sent if the daemon is killed there.
const STEPS: [(&str, usize); 5] =
    [("notice due", 1), ("notice written", 1), ("notice leased", 1), ("notice sent", 2), ("notice recorded", 1)];

/// Starts a daemon that is killed at that step, and waits for its end.
fn die_at(file: &Path, step: &str) {
    let mut command = sexton(file);
    command.arg("run").env("SEXTON_FAULT_POINT", step);
    let mut daemon = Daemon::spawn_command(command, file);
    assert_eq!(daemon.wait().signal(), Some(9), "killed at `{step}`:\n{}", daemon.log());
}

async fn sight(store: &Store, name: &str) {
    store.note_problems(&[Sighting::now(ProblemKind::Module, name, "the module failed")]).await.unwrap();
}

on_each_database! {
    async fn a_daemon_that_is_killed_at_any_step_loses_no_notice(database: Database) {
        let store = database.store().await;
        let server = MailServer::start().await;
        let settings = format!(
            "lease = \"2s\"\nheartbeat = \"500ms\"\nnotify_on = [\"module\"]\n[notify.admins]\nkind = \"mail\"\nserver = \"smtp://127.0.0.1:{}\"\n\
             tls = \"none\"\nfrom = \"a@example.org\"\nto = [\"b@example.org\"]\nmax_per_hour = 1000", server.port
        );
        let file = database.config("n", &settings);
        let is_sent = async |name: &str| {
            let mine = |row: &&sexton_entities::notice::Model| row.facts.decode::<serde_json::Value>().unwrap()["name"] == name;
            notices(&store).await.iter().find(mine).is_some_and(|row| row.state == NoticeState::Sent)
        };
        for (step, times) in STEPS {
            let name = format!("here/{}", step.replace(' ', "-"));
            sight(&store, &name).await;
            let (path, at) = (file.clone(), step.to_owned());
            tokio::task::spawn_blocking(move || die_at(&path, &at)).await.unwrap();
            run(&store, "UPDATE sexton_notice SET leased_until = created_at WHERE leased_until IS NOT NULL").await;
            // It is written after the first one, and so sent after it.
            let next = format!("{name}-next");
            sight(&store, &next).await;
            let daemon = Daemon::start(&file, &["run"]);
            eventually("both are sent", async || is_sent(&name).await && is_sent(&next).await).await;
            daemon.stop();
            let about = |subject: &str| subject.contains(&format!(" {name}:"));
            let ids: Vec<String> =
                server.mails().iter().filter(|mail| about(&mail.header("Subject"))).map(|mail| mail.header("Message-ID")).collect();
            assert_eq!(ids.len(), times, "killed at `{step}`: {ids:?}");
            assert!(!ids[0].is_empty() && ids.iter().all(|id| *id == ids[0]), "the same mail: {ids:?}");
        }
    }
}
