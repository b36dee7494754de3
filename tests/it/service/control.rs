//! The control socket, as other programs use it.

use std::{
    io::{Read as _, Write as _},
    os::unix::{fs::PermissionsExt as _, net::UnixStream},
};

use serde_json::{Value, json};

use super::Service;
use crate::support::{Database, Kind, Printed, block_on};

/// Sends raw bytes; returns the status line and the body.
fn say(service: &Service, text: &str) -> (String, Value) {
    let mut stream = UnixStream::connect(service.run_dir.join("control.sock")).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, "null"));
    (head.lines().next().unwrap_or_default().to_owned(), serde_json::from_str(body).unwrap_or_default())
}

fn ask(service: &Service, method: &str, path: &str, body: &str) -> (String, Value) {
    let length = body.len();
    say(
        service,
        &format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"),
    )
}

#[test]
fn it_answers_valid_requests_and_survives_others() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let service = Service::new(&database, "");
        service.done(&["start"]);
        let socket = service.run_dir.join("control.sock");
        assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::metadata(&service.run_dir).unwrap().permissions().mode() & 0o777, 0o700);
        let (line, status) = ask(&service, "GET", "/status", "");
        assert_eq!((line.as_str(), &status["pid"]), ("HTTP/1.1 200 OK", &json!(service.daemon())));
        assert!(ask(&service, "GET", "/modules", "").1.as_array().unwrap().len() > 10);
        assert_eq!(ask(&service, "GET", "/tasks", "").1, json!([]));
        let stretch = "/plan?from=2026-11-21T00:00:00Z&to=2026-11-22T00:00:00Z";
        let plan = ask(&service, "GET", stretch, "").1;
        assert_eq!((&plan["schedules"], &plan["config"]["file"]), (&json!({}), &json!(service.file)));
        let (line, problem) = ask(&service, "GET", "/plan?from=now", "");
        assert!(
            line.contains("400") && problem["error"].as_str().unwrap().starts_with("from: `now` is not a time"),
            "{problem}"
        );
        assert!(ask(&service, "GET", "/plan?from=2026-11-21T00:00:00Z&to=2020-11-22T00:00:00Z", "").0.contains("400"));
        assert!(ask(&service, "POST", stretch, "").0.contains("405"));
        let (line, problem) = ask(&service, "GET", "/nonsense", "");
        assert!(line.contains("404") && problem["error"].as_str().unwrap().contains("/nonsense"), "{line} {problem}");
        assert!(ask(&service, "GET", "/stop", "").0.contains("405"));
        assert!(ask(&service, "PUT", "/log", "{\"nonsense\":1}").0.contains("400"));
        assert!(say(&service, "\u{1}\u{2}nonsense\r\n\r\n").0.contains("400"));
        assert!(ask(&service, "PUT", "/log", &"x".repeat(100_000)).0.contains("400"));
        // A silent connection does not block others.
        let _silent: Vec<UnixStream> = (0..50).map(|_| UnixStream::connect(&socket).unwrap()).collect();
        assert_eq!(service.status().0, 0);
        assert_eq!(ask(&service, "POST", "/stop?force=true", "").1, json!({ "accepted": true }));
        service.wait("it has stopped", || (service.status().0 == 3).then_some(()));
    });
}

#[test]
fn quiet_resume_and_debug_reach_the_daemon() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let service = Service::new(&database, "");
        assert!(service.call(&["quiet"]).errors().contains("Sexton is not running"));
        service.done(&["start"]);
        service.done(&["quiet"]);
        service.wait("it is quiet", || (service.status().1["daemon"]["quiet"] == true).then_some(()));
        service.done(&["resume"]);
        service.wait("it goes on", || (service.status().1["daemon"]["quiet"] == false).then_some(()));
        let debug = |service: &Service| service.status().1["daemon"]["log"]["debug"].clone();
        service.done(&["debug", "dispatcher", "cron"]);
        assert_eq!(debug(&service), json!({ "modules": ["dispatcher", "cron"] }));
        let unknown = service.call(&["debug", "corn"]).errors();
        assert!(unknown.contains("there is no daemon module `corn`; known: adopter, "), "{unknown}");
        service.done(&["debug"]);
        assert_eq!(debug(&service), "everything");
        service.done(&["debug", "--off"]);
        assert_eq!(debug(&service), "nothing");
        service.done(&["stop"]);
        service.done(&["start", "--debug", "node"]);
        assert_eq!(debug(&service), json!({ "modules": ["node"] }));
        service.done(&["stop"]);
    });
}
