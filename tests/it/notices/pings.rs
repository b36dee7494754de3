//! Pings: of runs of schedules and of the daemon, to receivers that answer, hang and refuse.

use std::{
    net::TcpListener,
    path::Path,
    sync::{Arc, Mutex},
};

use super::channels::receiver;
use crate::{
    daemon::completed,
    support::{Daemon, Database, Kind, Printed as _, block_on, eventually, sexton},
};

async fn printed(file: &Path, arguments: &[&str]) -> String {
    let mut command = sexton(file);
    command.args(arguments);
    tokio::task::spawn_blocking(move || command.output().unwrap().text()).await.unwrap()
}

#[test]
fn runs_and_the_daemon_are_reported_to_those_who_watch() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let (port, requests) = receiver(&[]).await;
        let secret = database.folder.path().join("url");
        std::fs::write(&secret, format!("http://127.0.0.1:{port}/broken-sesame/\n")).unwrap();
        let settings = format!(
            "ping_url = \"http://127.0.0.1:{port}/well-sesame\"\n[task.beat]\nkind = \"noop\"\nschedule = {{ every = \"1s\" }}\n\
             ping_url = \"http://127.0.0.1:{port}/beat-sesame?k=1\"\n[task.broken]\ncommand = [\"false\"]\nmax_attempts = 2\n\
             retry = {{ delay = \"1ms\" }}\nschedule = {{ every = \"1s\" }}\nping_url_file = \"{}\"\n\
             [task.by-hand]\nkind = \"noop\"\n",
            secret.display()
        );
        let file = database.config("n", &settings);
        let daemon = Daemon::start(&file, &["run"]);
        let place = |path: &str| {
            requests.lock().unwrap().iter().position(|(head, _)| head.starts_with(&format!("post {path} http/1.1")))
        };
        for path in [
            "/well-sesame",
            "/beat-sesame/start?k=1",
            "/beat-sesame?k=1",
            "/broken-sesame/start",
            "/broken-sesame/fail",
        ] {
            eventually(path, async || place(path).is_some()).await;
        }
        assert!(place("/beat-sesame/start?k=1") < place("/beat-sesame?k=1"), "in order");
        assert!(place("/broken-sesame/start") < place("/broken-sesame/fail"));
        let texts: Vec<String> =
            requests.lock().unwrap().iter().map(|(_, body)| String::from_utf8(body.clone()).unwrap()).collect();
        for (begin, end) in [
            ("node n", " is well"),
            ("task ", " of schedule beat begins"),
            ("task ", " of schedule beat: succeeded"),
            ("task ", " of schedule broken: failed"),
        ] {
            assert!(
                texts.iter().any(|text| text.starts_with(begin) && text.ends_with(end)),
                "{begin}…{end}: {texts:?}"
            );
        }
        let shown = printed(&file, &["config", "show"]).await;
        assert_eq!(shown.matches("ping_url = \"***\"").count(), 3, "{shown}");
        let log = daemon.stop();
        assert!(!(log + &shown).contains("sesame"), "the address is a secret");
    });
}

#[test]
fn a_receiver_that_hangs_or_is_gone_costs_only_its_pings() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let store = database.store().await;
        // One takes connections and never answers, the other refuses them.
        let hanging = TcpListener::bind("127.0.0.1:0").unwrap();
        let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let settings = format!(
            "[task.beat]\nkind = \"noop\"\nschedule = {{ every = \"1s\" }}\nping_url = \"http://{}/sesame\"\n\
             [task.tick]\nkind = \"noop\"\nschedule = {{ every = \"1s\" }}\nping_url = \"http://127.0.0.1:{gone}/sesame\"\n",
            hanging.local_addr().unwrap()
        );
        let file = database.config("n", &settings);
        let daemon = Daemon::start(&file, &["run"]);
        eventually("tasks run", async || completed(&store).await >= 20).await;
        eventually("both are reported", async || {
            let status = printed(&file, &["status"]).await;
            status.contains("the pings of schedule beat: no answer within 5 s")
                && status.contains("the pings of schedule tick: the receiver cannot be reached")
        })
        .await;
        let before = completed(&store).await;
        eventually("tasks still run", async || completed(&store).await >= before + 10).await;
        let log = daemon.stop();
        assert_eq!(log.matches("the pings of schedule tick").count(), 1, "once: {log}");
        assert!(!log.contains("sesame"), "{log}");
    });
}

#[test]
fn receivers_that_hang_keep_no_other_ping_back() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let hanging = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = hanging.local_addr().unwrap();
        let (port, requests) = receiver(&[]).await;
        let mut settings = format!(
            "ping_url = \"http://127.0.0.1:{port}/well\"\n[task.tick]\nkind = \"noop\"\nschedule = {{ every = \"1s\" }}\n\
             ping_url = \"http://127.0.0.1:{port}/tick\"\n"
        );
        for n in 0..9 {
            settings += &format!(
                "[task.slow-{n}]\nkind = \"noop\"\nschedule = {{ every = \"1s\" }}\nping_url = \"http://{}/\"\n",
                address
            );
        }
        let tries = Arc::new(Mutex::new(Vec::new()));
        let held = tries.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = hanging.accept().await {
                held.lock().unwrap().push(connection);
            }
        });
        let daemon = Daemon::start(&database.config("n", &settings), &["run"]);
        let counted = |path: &str| {
            let begin = format!("post {path} ");
            requests.lock().unwrap().iter().filter(|(head, _)| head.starts_with(&begin)).count()
        };
        eventually("the others are pinged again and again", async || counted("/tick") >= 3 && counted("/well") >= 1)
            .await;
        // If each ping waited for those before it, the hanging receivers had had two tries of nine pings for each of them.
        let tries = tries.lock().unwrap().len();
        assert!((1..3 * 18 - 18).contains(&tries), "{tries}");
        daemon.stop();
    });
}
