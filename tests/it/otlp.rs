//! The export of attempts as spans. Build with `--features otlp`; without it, the setting is refused.

#[cfg(not(feature = "otlp"))]
use crate::support::{Printed as _, sexton};

#[cfg(not(feature = "otlp"))]
#[test]
fn a_program_without_the_exporter_refuses_the_setting() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sexton.toml");
    std::fs::write(&file, "[trace]\nendpoint = \"http://127.0.0.1:4318\"\n").unwrap();
    let output = sexton(&file).args(["config", "check"]).output().unwrap();
    let said = output.errors();
    assert!(!output.status.success() && said.contains("trace.endpoint: this program cannot export traces"), "{said}");
    assert!(said.contains("build it with `--features otlp`"), "{said}");
}

#[cfg(feature = "otlp")]
mod exported {
    use std::{
        io::{BufRead as _, BufReader, Read as _, Write as _},
        net::TcpListener,
        sync::{Arc, Mutex},
    };

    use sea_orm::EntityTrait as _;
    use sexton::{Client, NewTask};
    use sexton_entities::{history, states::Outcome};

    use crate::support::{Database, Kind, Printed as _, block_on, sexton};

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const UNSAMPLED: &str = "00-5bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    const TASKS: &str =
        "[task.say]\ncommand = [\"sh\", \"-c\", \"echo $TRACEPARENT\"]\n[task.fail]\ncommand = [\"false\"]\n";

    /// Answers requests with this status; keeps their paths and bodies.
    fn collector(status: &'static str) -> (String, Arc<Mutex<Vec<(String, Vec<u8>)>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = seen.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.unwrap());
                let (mut path, mut length) = (String::new(), 0);
                loop {
                    let mut line = String::new();
                    stream.read_line(&mut line).unwrap();
                    if let Some(rest) = line.strip_prefix("POST ") {
                        path = rest.split(' ').next().unwrap().to_owned();
                    }
                    if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                    if line.trim().is_empty() {
                        break;
                    }
                }
                let mut body = vec![0; length];
                stream.read_exact(&mut body).unwrap();
                kept.lock().unwrap().push((path, body));
                write!(stream.get_mut(), "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    .unwrap();
            }
        });
        (address, seen)
    }

    /// The bytes of hexadecimal digits.
    fn bytes(digits: &str) -> Vec<u8> {
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
    }

    fn has(body: &[u8], part: &[u8]) -> bool {
        body.windows(part.len()).any(|window| window == part)
    }

    #[test]
    fn attempts_are_spans_below_those_that_enqueued_them() {
        block_on(async {
            let (address, seen) = collector("200 OK");
            let database = Database::new(Kind::Sqlite).await;
            let store = database.store().await;
            let client = Client::new(store.clone());
            client.enqueue(NewTask::new("say").traceparent(PARENT).tracestate("rojo=1")).await.unwrap();
            client.enqueue(NewTask::new("fail")).await.unwrap();
            client.enqueue(NewTask::new("say").traceparent(UNSAMPLED)).await.unwrap();
            let file = database.config("n", &format!("{TASKS}[trace]\nendpoint = \"{address}\"\n"));
            let output = sexton(&file).args(["run", "--once"]).output().unwrap();
            assert_eq!(output.status.code(), Some(1), "{}", output.errors());
            let requests = seen.lock().unwrap().clone();
            assert!(requests.iter().all(|(path, _)| path == "/v1/traces"), "{requests:?}");
            let body: Vec<u8> = requests.into_iter().flat_map(|(_, body)| body).collect();
            let rows = history::Entity::find().all(store.connection()).await.unwrap();
            let of = |id: i64| rows.iter().find(|row| row.task_id == Some(id)).unwrap();
            let own = |id: i64| of(id).traceparent.clone().unwrap();
            let written = store.output(of(1).id).await.unwrap().unwrap();
            assert_eq!(written.stdout.trim(), own(1), "the command continues the span of the attempt");
            assert_eq!(own(1)[..35], PARENT[..35], "in the trace of the client");
            assert_ne!(own(1), PARENT);
            for digits in [&PARENT[3..35], &PARENT[36..52], &own(1)[36..52], &own(2)[3..35], &own(2)[36..52]] {
                assert!(has(&body, &bytes(digits)), "{digits}");
            }
            assert!(!has(&body, &bytes(&UNSAMPLED[3..35])), "who began a trace says whether it is recorded");
            let words = ["say", "fail", "default", "succeeded", "failed", "rojo=1", "sexton.queue", "sexton.attempt"];
            for word in words.into_iter().chain(["sexton.outcome", "sexton.node", of(1).node.as_deref().unwrap()]) {
                assert!(has(&body, word.as_bytes()), "{word}");
            }
            assert!(!has(&body, b"exit code 1"), "an error may be confidential");
        });
    }

    #[test]
    fn a_collector_that_hangs_or_refuses_holds_nothing_up() {
        block_on(async {
            let silent = TcpListener::bind("127.0.0.1:0").unwrap();
            let closed = TcpListener::bind("127.0.0.1:0").unwrap();
            let of = |listener: &TcpListener| format!("http://{}", listener.local_addr().unwrap());
            let (angry, _) = collector("503 Service Unavailable");
            let addresses = [of(&silent), of(&closed), angry];
            drop(closed);
            for address in addresses {
                let database = Database::new(Kind::Sqlite).await;
                let store = database.store().await;
                let file = database.config("n", &format!("{TASKS}[trace]\nendpoint = \"{address}\"\n"));
                let daemon = crate::support::Daemon::start(&file, &["run"]);
                Client::new(store.clone()).enqueue(NewTask::new("say")).await.unwrap();
                crate::support::eventually("the task is done", async || {
                    let rows = history::Entity::find().all(store.connection()).await.unwrap();
                    rows.iter().any(|row| row.outcome == Outcome::Succeeded)
                })
                .await;
                crate::support::eventually("the trouble is shown", async || {
                    let status = sexton(&file).args(["status", "--json"]).output().unwrap().json();
                    status["daemon"]["isolated"].to_string().contains("traces cannot be exported")
                })
                .await;
                daemon.stop();
            }
        });
    }
}
