//! A stop of the daemon, or an outage of the database, while a mail is on its way: it is recorded, and not sent twice.

use sexton::{
    daemon::{ModuleState, Request, ShutdownMode},
    domain::{identity::ModuleName, problem::Sighting},
};
use sexton_entities::states::{NoticeState, ProblemKind};

use super::{by_mail, node, notices};
use crate::support::{
    Database, Inside, Kind, MailFault, MailServer, Proxy, block_on, blueprint, eventually, on_each_database,
};

fn sighting() -> Sighting {
    Sighting::now(ProblemKind::Module, "here/cron", "the module failed")
}

fn state(node: &Inside, module: &ModuleName) -> Option<ModuleState> {
    node.daemon.modules.get(module).map(|status| status.state)
}

on_each_database! {
    async fn a_stop_waits_for_the_mail_that_is_on_its_way(database: Database) {
        let store = database.store().await;
        let server = MailServer::start().await;
        server.plan([MailFault::Hold]);
        store.note_problems(&[sighting()]).await.unwrap();
        let mut one = node(&database, "one", by_mail(&server, 20));
        eventually("the server has it", async || server.mails().len() == 1).await;
        one.request(Request::Stop(ShutdownMode::Drain));
        eventually("the modules stop", async || state(&one, &ModuleName::CRON) == Some(ModuleState::Stopped)).await;
        server.release();
        eventually("it is recorded", async || notices(&store).await[0].state == NoticeState::Sent).await;
        assert_eq!(tokio::task::spawn_blocking(move || one.wait()).await.unwrap(), 0);
        assert_eq!(server.mails().len(), 1);
    }
}

/// Cuts the database off while the mail server has a mail and has not answered.
fn an_outage_between_sending_and_recording(kind: Kind) {
    block_on(async {
        let database = Database::new(kind).await;
        let (store, server) = (database.store().await, MailServer::start().await);
        server.plan([MailFault::Hold]);
        store.note_problems(&[sighting()]).await.unwrap();
        let proxy = Proxy::to(&database.url);
        let mut blueprint = blueprint(&database);
        blueprint.config.database.url = proxy.url.clone();
        blueprint.config.channels.insert("admins".to_owned(), by_mail(&server, 20));
        let mut one = Inside::start(blueprint);
        eventually("the server has it", async || server.mails().len() == 1).await;
        proxy.cut();
        eventually("the connections are closed", async || proxy.open() == 0).await;
        server.release();
        let waits = async || state(&one, &ModuleName::NOTIFIER) == Some(ModuleState::WaitingForDatabase);
        eventually("it cannot be recorded", waits).await;
        assert_eq!(notices(&store).await[0].state, NoticeState::Waiting);
        proxy.restore();
        eventually("it is recorded", async || notices(&store).await[0].state == NoticeState::Sent).await;
        assert_eq!((server.mails().len(), notices(&store).await[0].attempts), (1, 1));
        one.request(Request::Stop(ShutdownMode::Drain));
        assert_eq!(tokio::task::spawn_blocking(move || one.wait()).await.unwrap(), 0);
    });
}

#[test]
fn an_outage_between_sending_and_recording_on_postgres() {
    an_outage_between_sending_and_recording(Kind::Postgres);
}

#[test]
fn an_outage_between_sending_and_recording_on_mariadb() {
    an_outage_between_sending_and_recording(Kind::MariaDb);
}

#[test]
fn an_outage_between_sending_and_recording_on_mysql() {
    an_outage_between_sending_and_recording(Kind::MySql);
}
