//! The trace of a task: from the program that enqueues it into the environment of its command, the log and the history.

use sea_orm::{ConnectionTrait, EntityTrait as _, QueryOrder as _};
use serde_json::Value;
use sexton::{Client, NewTask};
use sexton_entities::{history, states::Outcome};

use crate::support::{Database, Kind, Printed as _, block_on, on_each_database, sexton};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// A command that says what it gets, and fails at its first attempt.
const SETTINGS: &str = "[task.say]\ncommand = [\"sh\", \"-c\", \"echo $TRACEPARENT $TRACESTATE; test $SEXTON_TASK_ATTEMPT -gt 1\"]\n\
                        max_attempts = 2\nretry = { delay = \"10ms\" }\n[task.noop]\nkind = \"noop\"\n";

/// What the attempts wrote to standard output and to standard error, the oldest first.
async fn written(database: &Database) -> Vec<(history::Model, String, String)> {
    let store = database.store().await;
    let rows = history::Entity::find().order_by_asc(history::Column::Id).all(store.connection()).await.unwrap();
    let mut all = Vec::new();
    for row in rows {
        let output = store.output(row.id).await.unwrap();
        let (stdout, stderr) = output.map_or_else(Default::default, |output| (output.stdout, output.stderr));
        all.push((row, stdout, stderr));
    }
    all
}

on_each_database! {
    async fn a_trace_reaches_the_command_and_the_history_and_a_retry_keeps_it(database: Database) {
        let store = database.store().await;
        let client = Client::new(store.clone());
        client.enqueue(NewTask::new("say").traceparent(PARENT).tracestate("rojo=1,congo=2")).await.unwrap();
        let file = database.config("n", SETTINGS);
        let output = sexton(&file).args(["run", "--once"]).output().unwrap();
        assert!(output.status.success(), "{}", output.errors());
        let all = written(&database).await;
        assert_eq!(all.iter().map(|(row, ..)| row.outcome).collect::<Vec<_>>(), [Outcome::Failed, Outcome::Succeeded]);
        for (row, stdout, _) in &all {
            assert_eq!(stdout, &format!("{PARENT} rojo=1,congo=2\n"), "attempt {}", row.attempt);
            assert_eq!(row.traceparent.as_deref(), Some(PARENT));
        }
        let id = all[0].0.task_id.unwrap().to_string();
        let shown = sexton(&file).args(["task", "show", &id]).output().unwrap().text();
        assert!(shown.contains(&format!("\ntrace {TRACE}\n")), "{shown}");
        // Also one by hand.
        assert!(sexton(&file).args(["task", "retry", &id]).output().unwrap().status.success());
        let again = store.tasks(&Default::default()).await.unwrap();
        let again = match again.is_empty() {
            true => store.task(id.parse::<i64>().unwrap() + 1).await.unwrap().unwrap(),
            false => again.into_iter().next().unwrap(),
        };
        assert_eq!(again.traceparent.as_deref(), Some(PARENT));
        // What ends without an attempt is of the trace, too.
        assert!(sexton(&file).args(["task", "cancel", &again.id.to_string()]).output().unwrap().status.success());
        let all = written(&database).await;
        assert_eq!(all.last().map(|(row, ..)| (row.outcome, row.traceparent.as_deref())), Some((Outcome::Cancelled, Some(PARENT))));
    }

    async fn a_trace_of_plain_sql_that_is_not_valid_is_ignored_on_record(database: Database) {
        let store = database.store().await;
        let application = database.application().await;
        for (parent, state) in [(PARENT, "a=1"), ("00-nonsense", "a=1"), (PARENT, "nonsense")] {
            let sql = format!("INSERT INTO sexton_task (name, traceparent, tracestate) VALUES ('say', '{parent}', '{state}')");
            application.execute_unprepared(&sql).await.unwrap();
        }
        // A client's value is kept as far as it fits, whatever it is.
        let client = Client::new(store.clone());
        let odd = NewTask::new("noop").traceparent(format!("x\0{}", "ä".repeat(300))).tracestate("x".repeat(600));
        client.enqueue(odd).await.unwrap();
        let file = database.config("n", SETTINGS);
        let output = sexton(&file).args(["run", "--once"]).output().unwrap();
        assert!(output.status.success(), "{}", output.errors());
        let all = written(&database).await;
        let of = |id: i64| all.iter().rfind(|(row, ..)| row.task_id == Some(id)).expect("it has run");
        let stdout = |id: i64| of(id).1.as_str();
        assert_eq!((stdout(1), stdout(2), stdout(3)), (&*format!("{PARENT} a=1\n"), "\n", &*format!("{PARENT}\n")));
        assert_eq!(of(1).2, "");
        let form = "00-<32 hexadecimal digits>-<16 hexadecimal digits>-<2 hexadecimal digits>";
        let why = format!("sexton: traceparent \"00-nonsense\" is ignored: a traceparent has the form {form}\n");
        assert_eq!((of(2).2.as_str(), &of(2).0.traceparent), (&*why, &None));
        assert!(of(3).2.starts_with("sexton: tracestate \"nonsense\" is ignored: a tracestate has at most 32"), "{}", of(3).2);
        assert_eq!(of(4).0.outcome, Outcome::Succeeded);
        assert!(of(4).2.contains("is ignored"), "{:?}", of(4));
        assert!(output.errors().contains("say: traceparent \"00-nonsense\" is ignored: a traceparent has"), "{}", output.errors());
    }
}

#[test]
fn lines_of_the_log_name_the_trace() {
    block_on(async {
        for format in ["text", "json"] {
            let database = Database::new(Kind::Sqlite).await;
            database.store().await;
            let settings = format!("{SETTINGS}[log]\nformat = \"{format}\"\n");
            let file = database.config("n", &settings);
            let add = |arguments: &[&str], parent: &str| {
                let output = sexton(&file)
                    .args(["task", "add", "say"])
                    .args(arguments)
                    .env("TRACEPARENT", parent)
                    .env_remove("TRACESTATE")
                    .output()
                    .unwrap();
                assert!(output.status.success(), "{}", output.errors());
                output.errors()
            };
            assert_eq!(add(&["--traceparent", PARENT], "nonsense"), "", "the option is stronger");
            assert_eq!(add(&[], &PARENT.replace("4736-", "4737-")), "", "a command's own task belongs to its trace");
            assert_eq!(add(&[], ""), "");
            let said = add(&["--traceparent", "00-x"], "");
            assert!(
                said.starts_with("sexton: --traceparent (or TRACEPARENT) is ignored: a traceparent has the form"),
                "{said}"
            );
            let output = sexton(&file).args(["run", "--once", "--log", "warn"]).output().unwrap();
            let log = output.errors();
            let of =
                |id: i64| log.lines().find(|line| line.contains(&task(id, format))).unwrap_or_else(|| panic!("{log}"));
            for (id, trace) in [(1, TRACE.to_owned()), (2, TRACE.replace("4736", "4737"))] {
                match format {
                    "json" => assert_eq!(serde_json::from_str::<Value>(of(id)).unwrap()["trace_id"], trace.as_str()),
                    _ => assert!(of(id).ends_with(&format!(" trace_id={trace}")), "{log}"),
                }
            }
            assert!(!of(3).contains("trace_id") && !of(4).contains("trace_id"), "{log}");
        }
    });
}

/// How a line names a task.
fn task(id: i64, format: &str) -> String {
    if format == "json" { format!("\"task.id\":{id},") } else { format!(" task.id={id} ") }
}
