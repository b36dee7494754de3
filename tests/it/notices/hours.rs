//! Quiet hours, and notices that are given up.

use sexton::domain::problem::Sighting;
use sexton_entities::states::{NoticeState, ProblemKind};

use super::{ago, notices, run};
use crate::support::{Daemon, Database, Kind, MailFault, MailServer, block_on, eventually};

fn channel(name: &str, server: &MailServer, more: &str) -> String {
    format!(
        "[notify.{name}]\nkind = \"mail\"\nserver = \"smtp://127.0.0.1:{}\"\ntls = \"none\"\nfrom = \"a@example.org\"\n\
         to = [\"b@example.org\"]\n{more}\n",
        server.port
    )
}

fn sighting() -> Sighting {
    Sighting::now(ProblemKind::Module, "here/cron", "the module failed")
}

#[test]
fn notices_wait_while_their_channel_is_quiet() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let store = database.store().await;
        let (loud, quiet) = (MailServer::start().await, MailServer::start().await);
        let settings = |range: &str| {
            let period = format!("[period.night]\nranges = {{ {range} }}\n");
            channel("loud", &loud, "") + &channel("quiet", &quiet, "quiet = \"night\"") + &period
        };
        let of = async |channel: &str| notices(&store).await.into_iter().find(|row| row.channel == channel).unwrap();
        store.note_problems(&[sighting()]).await.unwrap();
        let daemon = Daemon::start(&database.config("n", &settings("\"monday - sunday\" = \"00:00-24:00\"")), &["run"]);
        eventually("the other channel has it", async || {
            !notices(&store).await.is_empty() && of("loud").await.state == NoticeState::Sent
        })
        .await;
        daemon.stop();
        let waiting = of("quiet").await;
        assert_eq!((waiting.state, waiting.attempts, waiting.leased_by), (NoticeState::Waiting, 0, None));
        assert!(quiet.mails().is_empty() && quiet.sessions() == 0);
        let file = database.config("n", &settings("\"2020-01-01\" = \"00:00-24:00\""));
        let daemon = Daemon::start(&file, &["run"]);
        eventually("the period is over", async || of("quiet").await.state == NoticeState::Sent).await;
        assert_eq!((quiet.mails().len(), loud.mails().len()), (1, 1));
        daemon.stop();
    });
}

#[test]
fn what_could_not_be_sent_for_a_day_is_given_up_and_that_is_said() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let store = database.store().await;
        let server = MailServer::start().await;
        server.plan([MailFault::Recipient(550), MailFault::Recipient(550)]);
        store.note_problems(&[sighting()]).await.unwrap();
        let daemon = Daemon::start(&database.config("n", &channel("admins", &server, "")), &["run"]);
        let tried = async || notices(&store).await[0].attempts;
        eventually("it was written", async || !notices(&store).await.is_empty()).await;
        eventually("it was tried", async || tried().await == 1).await;
        let old = ago(Kind::Sqlite, 90_000);
        run(&store, &format!("UPDATE sexton_notice SET created_at = {old}, next_at = {old}")).await;
        // A wait that blocks this thread would stop the mail server.
        let is_said = async || daemon.log().contains("gave up notice 1 by admins, which could not be sent for a day");
        eventually("it was given up", is_said).await;
        assert_eq!(notices(&store).await[0].state, NoticeState::GivenUp);
        let log = daemon.stop();
        assert!(log.contains("cannot send a notice by admins, and tries again for a day"), "{log}");
        assert!(log.contains("not now"), "the reason of the server: {log}");
    });
}
