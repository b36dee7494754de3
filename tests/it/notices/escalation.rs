//! Escalation: who hears of a problem of which nobody takes note.

use std::time::Duration;

use sexton::{
    domain::{
        notice::{Escalation, NoticeRule},
        problem::Sighting,
    },
    store::{ProblemChange, Store},
};
use sexton_entities::states::ProblemKind;

use super::{ago, by_mail, rounds, run, until};
use crate::support::{Database, Inside, MailServer, blueprint, on_each_database};

/// Tells the admins at once, and the boss after an hour.
fn node(database: &Database, name: &str, admins: &MailServer, boss: &MailServer) -> Inside {
    let mut blueprint = blueprint(database);
    blueprint.config.daemon.name = Some(name.to_owned());
    blueprint.config.daemon.state_dir = database.folder.path().join(name);
    for (channel, server) in [("admins", admins), ("boss", boss)] {
        blueprint.config.channels.insert(channel.to_owned(), by_mail(server, 20));
    }
    let escalation = Escalation { after: Duration::from_secs(3_600), to: vec!["boss".to_owned()] };
    blueprint.config.daemon.notices = NoticeRule { escalation: Some(escalation), ..NoticeRule::default() };
    Inside::start(blueprint)
}

async fn number_of(store: &Store, name: &str) -> i64 {
    let all = store
        .problems(&sexton::store::ProblemFilter { with_closed: true, limit: 9, ..Default::default() })
        .await
        .unwrap();
    all.iter().find(|row| row.name == name).unwrap().id
}

on_each_database! {
    async fn what_nobody_acknowledges_is_escalated_once(database: Database) {
        let store = database.store().await;
        let (admins, boss) = (MailServer::start().await, MailServer::start().await);
        let (one, other) = (node(&database, "one", &admins, &boss), node(&database, "other", &admins, &boss));
        let nodes = [&one, &other];
        let sighting = |name: &str| Sighting::now(ProblemKind::Module, name, "the module failed");
        store.note_problems(&[sighting("here/known"), sighting("here/left")]).await.unwrap();
        until(&nodes, "the admins hear of both", async || admins.mails().len() == 2).await;
        rounds(&nodes).await;
        assert_eq!((admins.mails().len(), boss.mails().len()), (2, 0));
        assert!(store.change_problem(number_of(&store, "here/known").await, ProblemChange::Acknowledge).await.unwrap());
        run(&store, &format!("UPDATE sexton_problem SET opened_at = {}", ago(database.kind, 3_700))).await;
        until(&nodes, "the boss hears of one", async || !boss.mails().is_empty()).await;
        rounds(&nodes).await;
        let mails = boss.mails();
        assert_eq!((mails.len(), admins.mails().len()), (1, 2), "{mails:#?}");
        assert_eq!(mails[0].header("Subject"), "[sexton] ESCALATED: module here/left: the module failed");
        assert!(mails[0].part("text/plain").contains("nobody has acknowledged it"), "{}", mails[0].text);
        assert!(mails[0].header("In-Reply-To").is_empty(), "the boss has no earlier mail of it");
        store.close_others(ProblemKind::Module, None, &[]).await.unwrap();
        run(&store, &format!("UPDATE sexton_problem SET closed_at = {}", ago(database.kind, 600))).await;
        until(&nodes, "all hear of the end", async || admins.mails().len() == 4 && boss.mails().len() == 2).await;
        rounds(&nodes).await;
        let mails = boss.mails();
        assert_eq!((mails.len(), admins.mails().len()), (2, 4));
        assert_eq!(mails[1].header("Subject"), "[sexton] RECOVERED: module here/left");
        assert_eq!(mails[1].header("In-Reply-To"), mails[0].header("Message-ID"));
        // It comes back later, and is escalated again.
        run(&store, &format!("UPDATE sexton_problem SET closed_at = {}", ago(database.kind, 7_200))).await;
        store.note_problems(&[sighting("here/left")]).await.unwrap();
        run(&store, &format!("UPDATE sexton_problem SET opened_at = {}", ago(database.kind, 3_700))).await;
        until(&nodes, "the boss hears of it again", async || boss.mails().len() == 3).await;
        assert!(boss.mails()[2].header("Subject").starts_with("[sexton] ESCALATED: "));
        assert_eq!((one.stop(), other.stop()), (0, 0));
    }
}
