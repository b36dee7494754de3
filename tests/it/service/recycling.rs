//! A daemon that is too old starts itself anew: in the same process, and its commands go on.

use sexton::{Client, NewTask};
use sexton_entities::states::Outcome;

use super::Service;
use crate::{
    daemon::history,
    support::{Database, Kind, block_on, eventually},
};

#[test]
fn a_daemon_that_is_too_old_starts_itself_anew_and_its_commands_go_on() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let service = Service::new(&database, "max_age = \"2s\"\n[task.slow]\ncommand = [\"sleep\", \"5\"]");
        service.done(&["start"]);
        let (pid, supervisor) = (service.daemon(), service.pid("supervisor").unwrap());
        let store = database.bare_store();
        Client::new(store.clone()).enqueue(NewTask::new("slow")).await.unwrap();
        service.wait_for_log("the daemon starts itself anew: it has run for");
        eventually("the command has ended, and is on record", async || !history(&store).await.is_empty()).await;
        let row = history(&store).await.remove(0);
        assert_eq!((row.outcome, row.attempt), (Outcome::Succeeded, 1));
        assert!(row.duration_ms.unwrap() >= 5_000, "it was not started again");
        service.wait("it is up", || (service.status().0 == 0).then_some(()));
        assert_eq!((service.daemon(), service.pid("supervisor").unwrap()), (pid, supervisor), "the same processes");
        let status = service.status().1;
        assert_eq!(status["supervisor"]["falls"], 0);
        assert!(service.log().matches(" is up on ").count() > 1);
        service.done(&["stop"]);
        assert_eq!(history(&store).await.len(), 1, "it ran once");
    });
}
