//! Each kind of channel, by `sexton notify test` and by a daemon: mail with TLS and a password, webhooks, programs.

use std::{
    path::Path,
    process::Output,
    sync::{Arc, Mutex},
};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sexton::{domain::problem::Sighting, store::Store};
use sexton_entities::states::{NoticeState, ProblemKind};
use sha2::Sha256;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpListener,
};

use super::{ago, notices, run};
use crate::support::{Daemon, Database, Kind, MailServer, Printed, block_on, eventually, sexton};

/// One request: its head in lower case, and its body.
pub(super) type Request = (String, Vec<u8>);

/// A receiver of webhooks that gives these answers, one after the other, and then 204.
pub(super) async fn receiver(answers: &'static [&'static str]) -> (u16, Arc<Mutex<Vec<Request>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let requests = Arc::new(Mutex::new(Vec::new()));
    let (seen, mut answers) = (requests.clone(), answers.iter().copied());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = BufReader::new(stream);
            let (mut head, mut line) = (String::new(), String::new());
            while stream.read_line(&mut line).await.unwrap_or(0) > 2 {
                head += &line.to_lowercase();
                line.clear();
            }
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            stream.read_exact(&mut body).await.unwrap();
            seen.lock().unwrap().push((head, body));
            let answer = answers.next().unwrap_or("204 No Content\r\n");
            let _ = stream
                .write_all(format!("HTTP/1.1 {answer}Connection: close\r\nContent-Length: 0\r\n\r\n").as_bytes())
                .await;
        }
    });
    (port, requests)
}

/// Calls `sexton notify test` beside the servers of the test.
pub(super) async fn test(file: &Path, name: &str) -> Output {
    let mut command = sexton(file);
    command.args(["notify", "test", name]);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

async fn sight(store: &Store, name: &str) {
    store.note_problems(&[Sighting::now(ProblemKind::Module, name, "the module failed")]).await.unwrap();
}

#[test]
fn mail_goes_encrypted_and_with_a_password() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let server = MailServer::start().await;
        let password = database.folder.path().join("password");
        std::fs::write(&password, "geheim\n").unwrap();
        let certificate = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/mail-server.crt");
        let channel = |name: &str, more: &str| {
            let to = "from = \"Sexton <sexton@example.org>\"\nto = [\"admin@example.org\", \"Böse <b@example.org>\"]";
            format!("\n[notify.{name}]\nkind = \"mail\"\nserver = \"smtp://localhost:{}\"\n{to}\n{more}", server.port)
        };
        let trusted = format!("ca_file = \"{certificate}\"\nuser = \"app\"\n");
        let file = database.config(
            "n",
            &[
                channel("good", &format!("{trusted}password_file = \"{}\"", password.display())),
                channel("wrong", &format!("{trusted}password = \"falsch\"")),
                channel("unknown", "user = \"app\"\npassword = \"geheim\""),
                channel("plain", "tls = \"none\""),
                channel("gone", "").replace(&format!(":{}", server.port), ":1"),
            ]
            .concat(),
        );
        let sent = test(&file, "good").await;
        assert!(sent.status.success(), "{}", sent.errors());
        assert_eq!(sent.text(), "a test was sent by good (mail)\n");
        let mail = server.mails().remove(0);
        assert!(mail.is_encrypted && mail.is_authenticated);
        assert_eq!(mail.header("Subject"), "[sexton] TEST of channel good");
        assert!(mail.header("Message-ID").ends_with("@example.org>"));
        assert!(mail.header("To").contains("b@example.org"), "{}", mail.text);
        let refused = test(&file, "wrong").await;
        assert!(!refused.status.success());
        assert!(
            refused.errors().contains("wrong password") && !refused.errors().contains("falsch"),
            "{}",
            refused.errors()
        );
        let untrusted = test(&file, "unknown").await;
        assert!(!untrusted.status.success(), "a certificate that nobody knows");
        assert!(test(&file, "plain").await.status.success());
        assert_eq!(server.mails().iter().filter(|mail| mail.is_encrypted).count(), 1);
        let gone = test(&file, "gone").await;
        assert!(gone.errors().contains("localhost:1:") && gone.errors().contains("refused"), "{}", gone.errors());
        let typo = test(&file, "gud").await;
        assert!(typo.errors().contains("there is no [notify.gud]; known: gone, good"), "{}", typo.errors());
        let shown = sexton(&file).args(["config", "show"]).output().unwrap().text();
        assert!(shown.contains("[notify.wrong]") && !shown.contains("falsch"), "{shown}");
    });
}

#[test]
fn a_webhook_is_signed_and_waits_as_long_as_it_is_told() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let store = database.store().await;
        let (port, requests) = receiver(&["503 Service Unavailable\r\nRetry-After: 120\r\n"]).await;
        let file = database.config(
            "n",
            &format!(
                "[notify.hook]\nkind = \"webhook\"\nurl = \"http://127.0.0.1:{port}/secret-path\"\nsecret = \"Jefe\"\n\
             [notify.chat]\nkind = \"webhook\"\nurl = \"http://127.0.0.1:1/secret-path\"\nformat = \"slack\"\n[module.notifier]\ninterval = \"200ms\""
            ),
        );
        let daemon = Daemon::start(&file, &["run"]);
        sight(&store, "here/cron").await;
        let of = async |channel: &str| notices(&store).await.into_iter().find(|row| row.channel == channel);
        eventually("it was tried", async || of("hook").await.is_some_and(|row| row.attempts == 1)).await;
        let row = of("hook").await.unwrap();
        assert_eq!(row.error.as_deref(), Some("the receiver answered 503 Service Unavailable"));
        assert!((row.next_at - row.created_at).num_seconds() >= 119, "it waits as long as it was told");
        run(&store, "UPDATE sexton_notice SET next_at = created_at WHERE channel = 'hook'").await;
        eventually("it was sent", async || of("hook").await.unwrap().state == NoticeState::Sent).await;
        let (head, body) = requests.lock().unwrap()[1].clone();
        let mut mac = Hmac::<Sha256>::new_from_slice(b"Jefe").unwrap();
        mac.update(&body);
        let expected: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(head.contains(&format!("x-sexton-signature: sha256={expected}")), "{head}");
        assert!(head.contains(&format!("x-sexton-notice: {}", row.notice_key.to_lowercase())), "{head}");
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            (&json["about"], &json["facts"]["name"], &json["facts"]["times"]),
            (&"opened".into(), &"here/cron".into(), &1.into())
        );
        eventually("the other channel was tried", async || of("chat").await.is_some_and(|row| row.error.is_some()))
            .await;
        let error = of("chat").await.unwrap().error.unwrap();
        assert!(error.starts_with("the receiver cannot be reached") && !error.contains("secret-path"), "{error}");
        // It has been failing for long.
        let earlier = ago(database.kind, 1_200);
        run(
            &store,
            &format!("UPDATE sexton_notice SET created_at = {earlier}, next_at = {earlier} WHERE channel = 'chat'"),
        )
        .await;
        let printed = async |arguments: &'static [&'static str]| {
            let mut command = sexton(&file);
            command.args(arguments);
            tokio::task::spawn_blocking(move || command.output().unwrap().text()).await.unwrap()
        };
        let said = "notices by chat cannot be sent since ";
        eventually("it is a problem", async || printed(&["status"]).await.contains(said)).await;
        for arguments in [&["summary"][..], &["check"], &["problem", "list"]] {
            let text = printed(arguments).await;
            assert!(text.contains("n/notify.chat") && text.contains(said), "{arguments:?}: {text}");
        }
        daemon.wait_for_log("cannot send a notice by chat");
        assert!(!daemon.log().contains("secret-path"), "{}", daemon.log());
        daemon.stop();
    });
}

#[test]
fn programs_and_chats_take_notices() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let (port, requests) = receiver(&[]).await;
        let out = database.folder.path().join("out");
        let program = |line: &str| format!("[\"sh\", \"-c\", \"{line}\"]");
        let file = database.config(
            "n",
            &format!(
                "[notify.chat]\nkind = \"webhook\"\nurl = \"http://127.0.0.1:{port}/\"\nformat = \"mattermost\"\n\
             [notify.program]\nkind = \"command\"\ncommand = {}\n\
             [notify.broken]\nkind = \"command\"\ncommand = {}\n\
             [notify.slow]\nkind = \"command\"\ntimeout = \"1s\"\ncommand = [\"sleep\", \"600\"]\n\
             [notify.sendmail]\nkind = \"mail\"\nsendmail = {}\nfrom = \"a@example.org\"\nto = [\"b@example.org\"]",
                program(&format!("cat > {}.json", out.display())),
                program("echo no bridge >&2; exit 3"),
                program(&format!("cat > {}.eml", out.display())),
            ),
        );
        for name in ["chat", "program", "sendmail"] {
            let sent = test(&file, name).await;
            assert!(sent.status.success(), "{name}: {}", sent.errors());
        }
        let chat: serde_json::Value = serde_json::from_slice(&requests.lock().unwrap()[0].1).unwrap();
        assert!(chat["text"].as_str().unwrap().starts_with("[sexton] TEST of channel chat\n```\n"), "{chat}");
        let json: serde_json::Value =
            serde_json::from_slice(&std::fs::read(out.with_extension("json")).unwrap()).unwrap();
        assert_eq!(json["subject"], "[sexton] TEST of channel program");
        assert!(
            std::fs::read_to_string(out.with_extension("eml"))
                .unwrap()
                .contains("Subject: [sexton] TEST of channel sendmail\r\n")
        );
        assert!(test(&file, "broken").await.errors().contains("sh: exit status: 3: no bridge"));
        assert!(test(&file, "slow").await.errors().contains("no answer within 1 s"));
    });
}
