//! Kind `http`: requests to a real server, and what their answers mean.

use std::sync::Arc;

use serde_json::json;
use sexton::NewTask;
use sexton_entities::states::{Outcome, Verdict};

use super::receiver::{Receiver, Seen, answer};
use crate::{
    commands::Stand,
    support::{Printed, block_on, eventually, on_each_database, sexton, value},
};

const CERTIFICATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/mail-server.crt");

/// A task of kind `http` for that server.
fn task(port: u16, path: &str, more: &str) -> String {
    format!(
        "[task.it]\nkind = \"http\"\nurl = \"http://localhost:{port}{path}\"\nallow_hosts = [\"localhost\"]\n{more}\n"
    )
}

/// A server that answers every request alike.
async fn always(status: &'static str, more: &'static str, body: &'static str) -> Receiver {
    Receiver::start(Arc::new(move |_, _| answer(status, more, body))).await
}

fn key(seen: &Seen) -> &str {
    &seen.headers["idempotency-key"]
}

on_each_database! {
    async fn a_request_is_made_from_the_payload_and_its_answer_is_on_record(database: Database) {
        let server = Receiver::start(Arc::new(|number, _| match number {
            0 => answer("503 Service Unavailable", "", "later"),
            _ => answer("201 Created", "", &"ü".repeat(2_000)),
        }))
        .await;
        let token = database.folder.path().join("token");
        std::fs::write(&token, "geheim\n").unwrap();
        let more = format!(
            "headers = {{ X-Order = \"no. {{/order/id}}\", Authorization = {{ file = \"{}\", prefix = \"Bearer \" }} }}\n\
             max_attempts = 3\nretry = {{ delay = \"20ms\", growth = \"fixed\" }}",
            token.display()
        );
        let mut stand = Stand::on(database, &task(server.port, "/orders/{/order/id}?q={/q}", &more)).await;
        let payload = json!({"order": {"id": "a/../b"}, "q": "x&y"});
        let (row, output) = stand.run(Some(payload.clone())).await;
        assert_eq!((row.outcome, row.verdict, row.attempt), (Outcome::Succeeded, Some(Verdict::Completed), 2), "{:?}", row.error);
        assert_eq!((row.kind.as_deref(), value(&row.result)), (Some("http"), Some(json!({"status": 201}))));
        let said = output.unwrap();
        assert!(said.stdout.starts_with("HTTP 201 Created\n\nüüü") && said.truncated, "{}", said.stdout);
        assert!(said.stdout.ends_with("sexton: 2976 further bytes are left out\n"), "{}", said.stdout);
        let rows = stand.rows(row.task_id.unwrap()).await;
        let host = format!("localhost:{}", server.port);
        assert_eq!(rows[0].error.as_deref(), Some(&*format!("{host}: the server answered 503 Service Unavailable: later")));
        let seen = server.seen();
        assert_eq!(seen[0].line, "POST /orders/a%2F..%2Fb?q=x%26y HTTP/1.1");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&seen[0].body).unwrap(), payload);
        let header = |name: &str| seen[0].headers[name].as_str();
        assert_eq!((header("content-type"), header("x-order")), ("application/json", "no. a/../b"));
        assert_eq!((header("authorization"), header("host")), ("Bearer geheim", host.as_str()));
        assert_eq!([0, 1].map(|at| seen[at].headers["x-sexton-attempt"].as_str()), ["1", "2"]);
        assert_eq!(header("x-sexton-task"), row.task_id.unwrap().to_string());
        assert_eq!(key(&seen[0]), key(&seen[1]), "the same for each attempt");
        stand.run(Some(payload)).await;
        let last = server.seen().pop().unwrap();
        assert_ne!(key(&last), key(&seen[0]), "another task has another key");
        assert!(!stand.stop().contains("geheim"));
    }

    async fn a_request_that_was_under_way_when_its_daemon_was_killed_is_repeated_with_its_key(database: Database) {
        let server = Receiver::start(Arc::new(|number, _| if number == 0 { None } else { answer("200 OK", "", "done") })).await;
        let settings = format!("heartbeat = \"200ms\"\nlease = \"1s\"\n{}", task(server.port, "/", ""));
        let mut stand = Stand::on(database, &settings).await;
        let id = stand.enqueue(NewTask::new("it")).await;
        eventually("the request is under way", async || server.seen().len() == 1).await;
        stand.kill();
        stand.start();
        let row = stand.finished(id).await;
        assert_eq!((row.outcome, row.attempt), (Outcome::Succeeded, 1), "an interrupted attempt is not counted");
        let outcomes: Vec<_> = stand.rows(id).await.iter().map(|row| row.outcome).collect();
        assert_eq!(outcomes, [Outcome::Interrupted, Outcome::Succeeded]);
        let seen = server.seen();
        assert_eq!((seen.len(), key(&seen[0])), (2, key(&seen[1])));
        stand.stop();
    }
}

#[test]
fn permanent_errors_are_not_repeated_and_passing_ones_are() {
    block_on(async {
        let server = Receiver::start(Arc::new(|_, seen| {
            let path = seen.line.split(' ').nth(1).unwrap();
            answer(&format!("{} Whatever", &path[1..]), "Retry-After: 3600\r\n", "")
        }))
        .await;
        let more = "max_attempts = 2\nretry = { delay = \"20ms\", growth = \"fixed\" }";
        let stand = Stand::new(&task(server.port, "/{/code}", more)).await;
        for code in [404, 401, 422] {
            let (row, _) = stand.run(Some(json!({"code": code}))).await;
            assert_eq!((row.attempt, row.verdict), (1, Some(Verdict::Discarded)), "{code}");
        }
        for code in [408, 429, 500, 503] {
            let id = stand.enqueue(NewTask { payload: Some(json!({"code": code}).into()), ..NewTask::new("it") }).await;
            eventually("the first attempt has failed", async || stand.rows(id).await.len() == 1).await;
            let (task, row) = (stand.store.task(id).await.unwrap().unwrap(), stand.rows(id).await.remove(0));
            assert_eq!((row.outcome, row.verdict), (Outcome::Failed, Some(Verdict::Retry)), "{code}");
            let wait = task.run_at - row.finished_at;
            assert!(wait >= chrono::TimeDelta::minutes(59), "{code}: the server asked for an hour: {wait}");
            assert!(row.error.unwrap().ends_with("; it asks to wait for 1h"));
        }
        let (row, _) = stand.run(Some(json!({"cod": 200}))).await;
        assert_eq!((row.outcome, row.verdict), (Outcome::Failed, Some(Verdict::Discarded)));
        assert_eq!(row.error.as_deref(), Some("url: the payload has no value at /code"));
    });
}

#[test]
fn a_connection_that_cannot_be_made_may_be_tried_again() {
    block_on(async {
        // Nobody listens on the port of a listener that is gone.
        let port = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let more = "max_attempts = 2\nretry = { delay = \"20ms\", growth = \"fixed\" }";
        let stand = Stand::new(&task(port, "/", more)).await;
        let (row, output) = stand.run(None).await;
        assert_eq!((row.outcome, row.attempt), (Outcome::Failed, 2));
        let error = row.error.unwrap();
        assert!(error.starts_with(&format!("localhost:{port}: cannot be reached: ")), "{error}");
        assert!(error.contains("Connection refused") && output.is_none(), "{error}");
    });
}

#[test]
fn a_cancel_drops_the_request_and_so_do_the_time_limit_and_a_stop() {
    block_on(async {
        let server = Receiver::start(Arc::new(|_, _| None)).await;
        let settings = task(server.port, "/", "")
            .replace("[task.it]", "heartbeat = \"200ms\"\nstop_timeout = \"200ms\"\n[task.it]");
        let late = task(server.port, "/late", "timeout = \"200ms\"").replace("[task.it]", "[task.late]");
        let mut stand = Stand::new(&(settings + &late)).await;
        let id = stand.enqueue(NewTask::new("it")).await;
        eventually("the request is under way", async || server.seen().len() == 1).await;
        let asked = sexton(&stand.config).args(["task", "cancel", &id.to_string()]).output().unwrap();
        assert!(asked.status.success(), "{}", asked.errors());
        let row = stand.finished(id).await;
        assert_eq!(row.outcome, Outcome::Cancelled);
        assert!(row.error.unwrap().contains("the request was dropped"));
        let id = stand.enqueue(NewTask::new("late")).await;
        let row = stand.finished(id).await;
        assert_eq!(row.outcome, Outcome::TimedOut);
        assert!(row.error.unwrap().starts_with("the time limit of 200ms was reached: the request was dropped"));
        let id = stand.enqueue(NewTask::new("it")).await;
        eventually("the request is under way", async || server.seen().len() == 3).await;
        stand.stop();
        let row = stand.rows(id).await.pop().unwrap();
        assert_eq!((row.outcome, row.verdict), (Outcome::Interrupted, Some(Verdict::Released)));
    });
}

#[test]
fn redirects_are_off_and_go_where_they_may() {
    block_on(async {
        let other = always("200 OK", "", "arrived").await;
        let to = format!("Location: http://localhost:{}/there?key=geheim\r\n", other.port);
        let status = Arc::new(std::sync::Mutex::new("302 Found"));
        let current = status.clone();
        let server = Receiver::start(Arc::new(move |_, _| answer(*current.lock().unwrap(), &to, ""))).await;
        let header = "headers = { Authorization = { value = \"Bearer geheim\" }, X-Plain = \"p\" }\n";
        let with = |name: &str, more: &str| {
            task(server.port, "/here", &format!("{header}{more}")).replace("[task.it]", &format!("[task.{name}]"))
        };
        let stranger = with("stranger", "redirects = 2")
            .replace("//localhost", "//127.0.0.1")
            .replace("[\"localhost\"]", "[\"127.0.0.1\"]");
        let settings = with("off", "")
            + &with("get", "redirects = 2\nmethod = \"GET\"")
            + &with("post", "redirects = 2")
            + &stranger;
        let stand = Stand::new(&settings).await;
        let run = async |name: &str| {
            let id = stand.enqueue(NewTask { payload: Some(json!({"a": 1}).into()), ..NewTask::new(name) }).await;
            stand.finished(id).await
        };
        let error = run("off").await.error.unwrap();
        assert!(
            error.ends_with(&format!("a redirect to http://localhost:{}/there, which is not followed", other.port)),
            "{error}"
        );
        let error = run("post").await.error.unwrap();
        assert!(error.contains("is not followed: with 302, a POST would become a GET"), "{error}");
        assert!(!error.contains("geheim"), "{error}");
        *status.lock().unwrap() = "307 Temporary Redirect";
        let error = run("stranger").await.error.unwrap();
        assert!(error.contains("is not followed: `allow_hosts` does not name its host"), "{error}");
        assert!(other.seen().is_empty());
        for (name, line, body) in
            [("get", "GET /there?key=geheim HTTP/1.1", ""), ("post", "POST /there?key=geheim HTTP/1.1", "{\"a\":1}")]
        {
            let row = run(name).await;
            assert_eq!(row.outcome, Outcome::Succeeded, "{:?}", row.error);
            let seen = other.seen().pop().unwrap();
            assert_eq!((seen.line.as_str(), seen.body.as_str()), (line, body));
            assert!(!seen.headers.contains_key("authorization"), "another port is another receiver");
            assert_eq!(seen.headers["x-plain"], "p");
        }
    });
}

#[test]
fn an_answer_that_is_too_long_is_no_success() {
    block_on(async {
        let server = always("200 OK", "", "0123456789").await;
        let stand = Stand::new(&task(server.port, "/", "max_response = 9")).await;
        let (row, _) = stand.run(None).await;
        assert_eq!(row.outcome, Outcome::Failed);
        assert!(row.error.unwrap().ends_with("the server answered 200 OK, with more than 9 bytes (max_response)"));
    });
}

#[test]
fn a_form_and_a_part_of_the_payload_can_be_sent() {
    block_on(async {
        let server = always("200 OK", "", "").await;
        let part =
            task(server.port, "/", "body_from = \"/order\"\nmethod = \"PUT\"").replace("[task.it]", "[task.part]");
        let stand = Stand::new(&(task(server.port, "/", "body = \"form\"") + &part)).await;
        let payload = json!({"json_data": {"operation": "core/get"}, "version": "1.3", "gone": null, "order": [1, 2]});
        stand.run(Some(payload.clone())).await;
        let seen = server.seen().pop().unwrap();
        assert_eq!(seen.headers["content-type"], "application/x-www-form-urlencoded");
        assert_eq!(seen.body, "json_data=%7B%22operation%22%3A%22core%2Fget%22%7D&order=%5B1%2C2%5D&version=1.3");
        let id = stand.enqueue(NewTask { payload: Some(payload.into()), ..NewTask::new("part") }).await;
        stand.finished(id).await;
        let seen = server.seen().pop().unwrap();
        assert_eq!((seen.line.as_str(), seen.body.as_str()), ("PUT / HTTP/1.1", "[1,2]"));
    });
}

#[test]
fn a_private_authority_counts_where_it_is_named() {
    block_on(async {
        let server = Receiver::start_encrypted(Arc::new(|_, _| answer("200 OK", "", ""))).await;
        let known = task(server.port, "/", &format!("ca_file = \"{CERTIFICATE}\"")).replace("http:", "https:");
        let unknown = task(server.port, "/", "").replace("http:", "https:").replace("[task.it]", "[task.unknown]");
        let stand = Stand::new(&(known + &unknown)).await;
        let (row, _) = stand.run(None).await;
        assert_eq!(row.outcome, Outcome::Succeeded, "{:?}", row.error);
        let id = stand.enqueue(NewTask::new("unknown")).await;
        let error = stand.finished(id).await.error.unwrap();
        assert!(error.contains("UnknownIssuer"), "{error}");
        assert_eq!(server.seen().len(), 1);
    });
}
