//! Servers with the certificate of a private authority: `smtps://`, STARTTLS and `https://` with `ca_file`.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpListener,
};

use super::channels::test;
use crate::support::{Database, Kind, MailServer, Printed, accept, block_on, sexton};

const CERTIFICATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/mail-server.crt");

/// A receiver of webhooks by `https://localhost`. It keeps the bodies.
async fn receiver() -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, bodies) = (listener.local_addr().unwrap().port(), Arc::new(Mutex::new(Vec::new())));
    let seen = bodies.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = accept(stream).await else { continue };
            let mut stream = BufReader::new(stream);
            let (mut line, mut length) = (String::new(), 0);
            while stream.read_line(&mut line).await.unwrap_or(0) > 2 {
                length = line
                    .to_lowercase()
                    .strip_prefix("content-length: ")
                    .map_or(length, |text| text.trim().parse().unwrap());
                line.clear();
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await.unwrap();
            seen.lock().unwrap().push(String::from_utf8(body).unwrap());
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await;
            let _ = stream.shutdown().await;
        }
    });
    (port, bodies)
}

#[test]
fn a_private_authority_counts_where_it_is_named() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let (wrapped, (port, bodies)) = (MailServer::start_wrapped().await, receiver().await);
        let mail = |name: &str, password: &str, more: &str| {
            format!(
                "[notify.{name}]\nkind = \"mail\"\nserver = \"smtps://localhost:{}\"\nuser = \"app\"\n\
                 password = \"{password}\"\nfrom = \"a@example.org\"\nto = [\"b@example.org\"]\n{more}\n",
                wrapped.port
            )
        };
        let hook = |name: &str, more: &str| {
            format!("[notify.{name}]\nkind = \"webhook\"\nurl = \"https://localhost:{port}/token\"\n{more}\n")
        };
        let trusted = format!("ca_file = \"{CERTIFICATE}\"");
        let settings = mail("good", "geheim", &trusted)
            + &mail("wrong", "falsch", &trusted)
            + &mail("strange", "geheim", "")
            + &hook("hook", &trusted)
            + &hook("stranger", "");
        let file = database.config("n", &settings);
        for name in ["good", "hook"] {
            let sent = test(&file, name).await;
            assert!(sent.status.success(), "{name}: {}", sent.errors());
        }
        let mails = wrapped.mails();
        assert!(mails.len() == 1 && mails[0].is_encrypted && mails[0].is_authenticated);
        assert!(bodies.lock().unwrap()[0].contains("[sexton] TEST of channel hook"));
        let wrong = test(&file, "wrong").await;
        assert!(!wrong.status.success() && wrong.errors().contains("wrong password"), "{}", wrong.errors());
        for name in ["strange", "stranger"] {
            let refused = test(&file, name).await;
            assert!(!refused.status.success() && refused.errors().contains("UnknownIssuer"), "{}", refused.errors());
            assert!(
                !refused.errors().contains("token") && !refused.errors().contains("geheim"),
                "{}",
                refused.errors()
            );
        }
        assert_eq!((wrapped.mails().len(), bodies.lock().unwrap().len()), (1, 1));
        let shown = sexton(&file).args(["config", "show"]).output().unwrap().text();
        assert_eq!(shown.matches(&format!("ca_file = \"{CERTIFICATE}\"")).count(), 3, "{shown}");
    });
}

#[test]
fn a_bad_ca_file_is_a_mistake_in_the_configuration() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let folder = database.folder.path();
        let pem = std::fs::read_to_string(CERTIFICATE).unwrap();
        let broken = pem
            .lines()
            .enumerate()
            .map(|(number, line)| if number == 1 { "!!!\n".to_owned() } else { format!("{line}\n") });
        std::fs::write(folder.join("empty.pem"), "no certificate\n").unwrap();
        std::fs::write(folder.join("broken.pem"), broken.collect::<String>()).unwrap();
        std::fs::write(folder.join("strange.pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
            .unwrap();
        let path = |name: &str| folder.join(name).display().to_string();
        let mail = "kind = \"mail\"\nserver = \"smtps://localhost\"\nfrom = \"a@b\"\nto = [\"c@d\"]";
        let hook = |scheme: &str| format!("kind = \"webhook\"\nurl = \"{scheme}://localhost\"");
        let cases = [
            (mail.to_owned(), path("none.pem"), "cannot read"),
            (mail.to_owned(), path("empty.pem"), "has no certificate; it must have certificates in PEM"),
            (mail.to_owned(), path("broken.pem"), "cannot be understood"),
            (hook("https"), path("strange.pem"), "is not usable"),
            (hook("https"), path("none.pem"), "cannot read"),
            (hook("http"), CERTIFICATE.to_owned(), "nothing is encrypted with http://: use https://"),
            (
                mail.replace("smtps", "smtp") + "\ntls = \"none\"",
                CERTIFICATE.to_owned(),
                "nothing is encrypted with tls",
            ),
            (
                "kind = \"command\"\ncommand = [\"true\"]".to_owned(),
                CERTIFICATE.to_owned(),
                "one of kind \"mail\" and of kind",
            ),
        ];
        for (channel, file, expected) in cases {
            let config = database.config("n", &format!("[notify.a]\n{channel}\nca_file = \"{file}\""));
            let output = sexton(&config).args(["config", "check"]).output().unwrap();
            let errors = output.errors();
            assert!(!output.status.success() && errors.contains(expected), "{channel}\n{errors}");
            assert!(errors.contains("sexton.toml:") && errors.contains("ca_file"), "{errors}");
        }
    });
}
