//! Channels of notices: their encryption and their certificates.

use tokio::net::TcpListener;

use super::examined;
use crate::support::{Database, Kind, MailServer, accept, block_on};

const CERTIFICATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/mail-server.crt");

/// A server that encrypts, with the certificate of `localhost` and 127.0.0.1.
async fn encrypting(address: &str) -> u16 {
    let listener = TcpListener::bind(address).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(accept(stream));
        }
    });
    port
}

#[test]
fn the_encryption_of_each_channel_is_tried() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let _store = database.store().await;
        let (wrapped, plain) = (MailServer::start_wrapped().await, MailServer::start().await);
        let (sound, other) = (encrypting("127.0.0.1:0").await, encrypting("127.0.0.2:0").await);
        let hook = |name: &str, address: String, more: &str| {
            format!("[notify.{name}]\nkind = \"webhook\"\nurl = \"https://{address}/token\"\n{more}\n")
        };
        let mail = |name: &str, server: String, more: &str| {
            format!(
                "[notify.{name}]\nkind = \"mail\"\nserver = \"{server}\"\nuser = \"app\"\npassword = \"geheim\"\n\
                 from = \"a@example.org\"\nto = [\"b@example.org\"]\n{more}\n"
            )
        };
        let trusted = format!("ca_file = \"{CERTIFICATE}\"");
        let settings = hook("good", format!("localhost:{sound}"), &trusted)
            + &hook("stranger", format!("localhost:{sound}"), "")
            + &hook("misnamed", format!("127.0.0.2:{other}"), &trusted)
            + &hook("plain", format!("localhost:{}", plain.port), &trusted)
            + &hook("closed", "127.0.0.1:9".to_owned(), &trusted)
            + &mail("admins", format!("smtps://localhost:{}", wrapped.port), &trusted)
            + &mail("strange", format!("smtps://localhost:{}", wrapped.port), "");
        let file = database.config("n", &settings);
        let said = tokio::task::spawn_blocking(move || examined(&file)).await.unwrap();
        said.finds("ok", "notices", &format!("[notify.good]: localhost:{sound} accepts connections by TLS"));
        said.finds(
            "ok",
            "notices",
            &format!("[notify.admins]: localhost:{} has answered by TLS, with the login", wrapped.port),
        );
        for (name, words) in [
            ("stranger", "UnknownIssuer"),
            ("misnamed", "not valid for name"),
            ("plain", "no encryption: "),
            ("closed", "127.0.0.1:9: "),
            ("strange", "UnknownIssuer"),
        ] {
            let errors = said.texts("error", "notices");
            let found = errors.iter().find(|error| error.starts_with(&format!("[notify.{name}] does not work: ")));
            assert!(found.is_some_and(|error| error.contains(words)), "{name}: {words}: {errors:#?}");
        }
        let answer = said.answer.to_string();
        assert!(!answer.contains("/token") && !answer.contains("geheim"), "{answer}");
        assert!(wrapped.mails().is_empty());
    });
}
