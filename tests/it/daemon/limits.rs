//! What holds for the whole cluster, with real daemons and real commands: a queue's limit, a task's, and runs that wait for
//! one another.

use sea_orm::ConnectionTrait as _;
use sexton::{Client, NewTask, store::Store};
use sexton_entities::states::{Fate, ReasonCode};

use super::completed;
use crate::support::{Database, eventually, on_each_database};

/// A command that leaves a trace in the folder if another of its kind runs at the same time, and takes so many seconds.
fn lone_command(database: &Database, seconds: &str) -> String {
    let folder = database.folder.path().display();
    // A folder can be made once: a task that finds it there is not alone.
    let body = format!(
        "mkdir {folder}/alone || echo $SEXTON_TASK_ID >> {folder}/overlaps; sleep {seconds}; rmdir {folder}/alone"
    );
    format!("command = [\"sh\", \"-c\", \"{body}\"]")
}

/// Lets two daemons do 40 tasks of this name and queue; nothing else may run beside one of them.
async fn two_daemons_do_40(database: &Database, settings: &str, task: NewTask) -> Store {
    let store = database.store().await;
    let daemons = [database.daemon("a", settings), database.daemon("b", settings)];
    Client::new(store.clone()).enqueue_all(vec![task; 40]).await.unwrap();
    eventually("all are done", async || completed(&store).await == 40).await;
    assert!(!database.folder.path().join("overlaps").exists(), "two ran at once");
    for daemon in daemons {
        daemon.stop();
    }
    store
}

on_each_database! {
    async fn two_daemons_never_do_two_tasks_of_a_serial_group_at_once(database: Database) {
        let command = lone_command(&database, "0.03");
        let settings = format!("[queue.group]\nworkers = 4\nlimit = 1\n[task.serial]\nqueue = \"group\"\n{command}");
        two_daemons_do_40(&database, &settings, NewTask::new("serial").queue("group")).await;
    }

    async fn two_daemons_never_do_more_of_a_task_than_may_be(database: Database) {
        let settings = format!("[task.lone]\nmax_parallel = 1\n{}", lone_command(&database, "0.03"));
        two_daemons_do_40(&database, &settings, NewTask::new("lone").queue("default")).await;
    }

    async fn two_daemons_never_do_two_tasks_of_a_key_at_once(database: Database) {
        let folder = database.folder.path().display();
        let body = format!(
            "mkdir {folder}/alone-$CUSTOMER || echo $SEXTON_TASK_ID >> {folder}/overlaps; sleep 0.03; rmdir {folder}/alone-$CUSTOMER"
        );
        let settings = format!(
            "[queue.default]\nworkers = 6\nfair_by = \"$.customer\"\n[task.lone]\nmax_parallel = 1\nmax_parallel_by = \"$.customer\"\n\
             payload_env = {{ CUSTOMER = \"/customer\" }}\ncommand = [\"sh\", \"-c\", \"{body}\"]"
        );
        let store = database.store().await;
        let daemons = [database.daemon("a", &settings), database.daemon("b", &settings)];
        for customer in ["many", "few", "many"] {
            let task = NewTask::new("lone").queue("default").payload(serde_json::json!({ "customer": customer }));
            Client::new(store.clone()).enqueue_all(vec![task; 12]).await.unwrap();
        }
        eventually("all are done", async || completed(&store).await == 36).await;
        assert!(!database.folder.path().join("overlaps").exists(), "two ran at once");
        for daemon in daemons {
            daemon.stop();
        }
    }

    async fn runs_of_a_schedule_wait_for_one_another(database: Database) {
        let command = lone_command(&database, "1.4");
        runs_wait(&database, &format!("[task.slow]\nschedule = {{ every = \"1s\" }}\noverlap = \"queue\"\n{command}")).await;
    }

    async fn runs_of_a_schedule_with_its_own_table_wait_for_one_another(database: Database) {
        let command = lone_command(&database, "1.4");
        let table = "[schedule.slow]\ntask = \"lone\"\nevery = \"1s\"\noverlap = \"queue\"\n";
        runs_wait(&database, &format!("{table}[task.lone]\n{command}")).await;
    }

    async fn runs_of_a_schedule_of_the_database_wait_for_one_another(database: Database) {
        let command = lone_command(&database, "1.4");
        let row = "('slow', 'lone', '{\"every\": \"1s\", \"overlap\": \"queue\"}')";
        let insert = format!("INSERT INTO sexton_schedule (name, task, settings) VALUES {row}");
        database.store().await.connection().execute_unprepared(&insert).await.unwrap();
        runs_wait(&database, &format!("[task.lone]\n{command}")).await;
    }
}

/// Two daemons with a schedule `slow`, whose runs take longer than its interval.
async fn runs_wait(database: &Database, settings: &str) {
    let store = database.store().await;
    let daemons = [database.daemon("a", settings), database.daemon("b", settings)];
    eventually("some have run", async || completed(&store).await >= 4).await;
    for daemon in daemons {
        daemon.stop();
    }
    assert!(!database.folder.path().join("overlaps").exists(), "two ran at once");
    let ledger = store.occurrences("slow", 99).await.unwrap();
    assert!(ledger.iter().all(|entry| matches!(entry.fate, Fate::Fired | Fate::Late)), "{ledger:?}");
    assert!(ledger.iter().any(|entry| entry.reason_code == Some(ReasonCode::Queued)), "{ledger:?}");
}
