//! Nothing secret is in a notice, in a problem or in the log, whatever fails.

use std::fs;

use sexton::{Client, NewTask};
use sexton_entities::states::{NoticeState, ProblemKind};

use super::notices;
use crate::support::{Daemon, Database, Kind, MailFault, MailServer, Printed as _, block_on, eventually, sexton};

/// What no notice may contain.
const SECRETS: [&str; 6] = ["geheim", "hook-token", "Jefe", "ping-token", "env-token", "unfinished-token"];

#[test]
fn no_notice_tells_a_secret() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let store = database.store().await;
        let server = MailServer::start().await;
        // It refuses, too: what a server says about a login is on record.
        server.plan([MailFault::Busy, MailFault::Recipient(451), MailFault::DieInData]);
        let certificate = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/mail-server.crt");
        let settings = format!(
            "heartbeat = \"200ms\"\n[notify.admins]\nkind = \"mail\"\nserver = \"smtp://localhost:{}\"\nca_file = \"{certificate}\"\n\
             user = \"app\"\npassword = \"geheim\"\nfrom = \"a@example.org\"\nto = [\"b@example.org\"]\n\
             [notify.wrong]\nkind = \"mail\"\nserver = \"smtp://localhost:{0}\"\nca_file = \"{certificate}\"\n\
             user = \"app\"\npassword = \"geheim too\"\nfrom = \"a@example.org\"\nto = [\"b@example.org\"]\n\
             [notify.hook]\nkind = \"webhook\"\nurl = \"http://127.0.0.1:1/hook-token?t=hook-token\"\nsecret = \"Jefe\"\n\
             [task.fail]\ncommand = [\"sh\", \"-c\", \"echo out; echo bad luck >&2; exit 3\"]\nenv = {{ TOKEN = \"env-token\" }}\n\
             [task.none]\ncommand = [\"/nowhere/none\"]\nenv = {{ TOKEN = \"env-token\" }}\n\
             [task.tick]\nkind = \"noop\"\nschedule = {{ every = \"1s\" }}\nping_url = \"http://127.0.0.1:1/ping-token\"\n",
            server.port
        );
        let file = database.config("n", &settings);
        let daemon = Daemon::start(&file, &["run"]);
        let client = Client::new(store.clone());
        for name in ["fail", "none"] {
            client.enqueue(NewTask::new(name)).await.unwrap();
        }
        let good = fs::read_to_string(&file).unwrap();
        // A mistake in the very line of a secret: in its type, and in its quotes.
        let mut said = String::new();
        for bad in
            ["[notify.x]\nkind = \"webhook\"\nurl = [\"unfinished-token\"]\n", "[notify.x]\nurl = \"unfinished-token\n"]
        {
            fs::write(&file, format!("{good}\n{bad}")).unwrap();
            let refused = sexton(&file).arg("reload").output().unwrap();
            assert!(!refused.status.success());
            said += &refused.errors();
        }
        eventually("the refusal is a problem", async || {
            problems(&store).await.iter().any(|row| row.kind == ProblemKind::Configuration)
        })
        .await;
        fs::write(&file, &good).unwrap();
        eventually("mails are sent, in spite of all", async || {
            super::run(&store, "UPDATE sexton_notice SET next_at = created_at WHERE state = 'waiting'").await;
            let all = notices(&store).await;
            all.iter().filter(|row| row.channel == "admins" && row.state == NoticeState::Sent).count() >= 3
                && ["wrong", "hook"]
                    .iter()
                    .all(|name| all.iter().any(|row| row.channel == *name && row.error.is_some()))
        })
        .await;
        let log = daemon.stop();
        let mut told = format!("{said}\n{log}\n{:#?}\n{:#?}", notices(&store).await, problems(&store).await);
        for mail in server.mails() {
            assert!(mail.is_encrypted && mail.is_authenticated, "{}", mail.text);
            let text = mail.part("text/plain");
            assert!(text.lines().all(|line| line.chars().count() <= 72), "{text}");
            told += &mail.text;
        }
        assert!(told.contains("bad luck"), "the notices are there");
        for secret in SECRETS {
            let at = told.find(secret).map(|at| told[at.saturating_sub(200)..].chars().take(400).collect::<String>());
            assert_eq!(at, None, "{secret}");
        }
    });
}

async fn problems(store: &sexton::store::Store) -> Vec<sexton_entities::problem::Model> {
    let filter = sexton::store::ProblemFilter { limit: 100, with_closed: true, ..Default::default() };
    store.problems(&filter).await.unwrap()
}
