//! A daemon that is too old restarts itself in the same process, and its commands continue.

use nix::sys::signal::Signal;
use sexton::{Client, NewTask};
use sexton_entities::states::Outcome;

use super::Service;
use crate::{
    daemon::history,
    support::{Database, Kind, block_on, eventually},
};

#[test]
fn a_daemon_that_is_too_old_restarts_itself_and_its_commands_continue() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let service = Service::new(&database, "max_age = \"2s\"\n[task.slow]\ncommand = [\"sleep\", \"5\"]");
        service.done(&["start"]);
        let (pid, supervisor) = (service.daemon(), service.pid("supervisor").unwrap());
        let store = database.bare_store();
        Client::new(store.clone()).enqueue(NewTask::new("slow")).await.unwrap();
        service.wait_for_log("the daemon restarts itself: it has run for");
        eventually("the command has ended, and is on record", async || !history(&store).await.is_empty()).await;
        let row = history(&store).await.remove(0);
        assert_eq!((row.outcome, row.attempt), (Outcome::Succeeded, 1));
        assert!(row.duration_ms.unwrap() >= 5_000, "it was not started again");
        service.wait("it is up", || (service.status().0 == 0).then_some(()));
        assert_eq!((service.daemon(), service.pid("supervisor").unwrap()), (pid, supervisor), "the same processes");
        let status = service.status().1;
        assert_eq!(status["supervisor"]["failures"], 0);
        assert!(service.log().matches(" runs on ").count() > 1);
        service.done(&["stop"]);
        assert_eq!(history(&store).await.len(), 1, "it ran once");
    });
}

/// A task that ends with the daemon, as late as possible.
const CLINGING: &str = "[task.clinging]\ncommand = [\"sh\", \"-c\", \"trap '' TERM; sleep 60\"]\non_daemon_stop = \"stop\"\n\
                        kill_after = \"100ms\"";

#[test]
fn a_stop_during_a_restart_is_honoured() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let service = Service::new(&database, &format!("max_age = \"1s\"\nstop_timeout = \"3s\"\n{CLINGING}"));
        service.done(&["start"]);
        Client::new(database.bare_store()).enqueue(NewTask::new("clinging")).await.unwrap();
        service.wait("it is about to restart", || {
            let daemon = service.status().1["daemon"].clone();
            (daemon["phase"] == "restarting" && daemon["running"] == 1).then_some(())
        });
        service.done(&["stop"]);
        assert_eq!(service.status().0, 3);
        assert!(service.log().ends_with("has ended, exit code 0\n"), "{}", service.log());
    });
}

#[test]
fn a_restarted_daemon_is_supervised_and_as_quiet_as_before() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let settings = format!("max_age = \"4s\"\nstop_timeout = \"1500ms\"\nwatchdog = \"2s\"\n{CLINGING}");
        let service = Service::new(&database, &settings);
        service.done(&["start"]);
        let pid = service.daemon();
        Client::new(database.bare_store()).enqueue(NewTask::new("clinging")).await.unwrap();
        service.wait("it runs", || (service.status().1["daemon"]["running"] == 1).then_some(()));
        service.done(&["quiet"]);
        service.wait("it has restarted", || (service.log().matches(" runs on ").count() == 2).then_some(()));
        assert_eq!(service.status().1["daemon"]["quiet"], true);
        service.kill(Signal::SIGSTOP);
        service.wait_for_log("was silent for 2s");
        service.wait("another one is up", || (service.status().0 == 0 && service.daemon() != pid).then_some(()));
        service.done(&["stop"]);
    });
}
