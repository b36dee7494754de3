//! What opens a problem on a node wakes its notifier: the first notice does not wait for the next look.

use std::time::Duration;

use async_trait::async_trait;
use sexton::{
    NewTask,
    daemon::{DaemonModule, ModuleContext, ModuleSpec, Next, Stage, WakeReason},
    domain::{identity::ModuleName, notice::channel::Channel, problem::Sighting},
};
use sexton_entities::states::ProblemKind;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::{Unlucky, by_mail, notices};
use crate::support::{
    Database, Inside, Kind, MailServer, add_module, block_on, blueprint, eventually, on_each_database,
};

/// Stands where the notifier is, and reports what wakes it.
struct Probe(UnboundedSender<bool>);

#[async_trait(?Send)]
impl DaemonModule for Probe {
    async fn run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let _ = self.0.send(context.wake_reasons().contains(WakeReason::ProblemSeen));
        Ok(())
    }

    async fn post_run(&mut self, _: &ModuleContext) -> anyhow::Result<Next> {
        Ok(Next::After(Duration::from_secs(3_600)))
    }
}

#[test]
fn a_failure_wakes_the_notifier_and_a_success_does_not() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let mut blueprint = blueprint(&database);
        blueprint.registry.register(Unlucky);
        let (seen, mut rounds) = unbounded_channel();
        let probe = ModuleSpec::new(ModuleName::NOTIFIER, Stage::Intake, move || Probe(seen.clone()));
        add_module(&mut blueprint, probe);
        let node = Inside::start(blueprint);
        assert_eq!(rounds.recv().await, Some(false), "the first round is its own");
        node.daemon.client.enqueue(NewTask::new("unlucky").payload(1)).await.unwrap();
        eventually("it has succeeded", async || node.daemon.in_flight.is_empty() && is_done(&node).await).await;
        assert!(rounds.try_recv().is_err());
        node.daemon.client.enqueue(NewTask::new("unlucky")).await.unwrap();
        assert_eq!(tokio::time::timeout(Duration::from_secs(60), rounds.recv()).await, Ok(Some(true)));
        assert_eq!(node.stop(), 0);
    });
}

async fn is_done(node: &Inside) -> bool {
    node.daemon.store.tasks(&sexton::store::TaskFilter { limit: 1, ..Default::default() }).await.unwrap().is_empty()
}

on_each_database! {
    async fn an_idle_daemon_tells_of_a_failure_without_being_asked(database: Database) {
        let store = database.store().await;
        let server = MailServer::start().await;
        let mut blueprint = blueprint(&database);
        let channel: Channel = by_mail(&server, 20);
        blueprint.config.channels.insert("admins".to_owned(), channel);
        blueprint.registry.register(Unlucky);
        let node = Inside::start(blueprint);
        node.daemon.client.enqueue_all(vec![NewTask::new("unlucky"); 100]).await.unwrap();
        eventually("the mail came", async || !server.mails().is_empty()).await;
        let all_failed = async || {
            store.problems(&sexton::store::ProblemFilter { limit: 9, ..Default::default() }).await.unwrap().iter().any(|row| row.times == 100)
        };
        eventually("all have failed", all_failed).await;
        assert_eq!((notices(&store).await.len(), server.mails().len()), (1, 1));
        assert_eq!(node.stop(), 0);
    }
}

on_each_database! {
    async fn a_problem_that_an_application_notes_is_seen_by_the_next_look_of_the_dispatcher(database: Database) {
        let store = database.store().await;
        let daemon = database.daemon("n", "");
        // The notifier has looked once more after that, and rests for minutes.
        eventually("the node is registered", async || !store.nodes().await.unwrap().is_empty()).await;
        let sighting = Sighting::now(ProblemKind::Task, "invoice".to_owned(), "a test".to_owned());
        store.note_problems(&[sighting]).await.unwrap();
        daemon.wait_for_log("(task invoice) is open");
        daemon.stop();
    }
}
