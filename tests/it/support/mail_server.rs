//! A mail server inside the test: with STARTTLS and authentication, and with the faults of real ones.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::Notify,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
    server::TlsStream,
};

/// What is wrong with one session.
#[derive(Clone, Copy, Debug)]
pub(crate) enum MailFault {
    /// It answers the greeting with 421.
    Busy,
    /// It answers the recipient with this code.
    Recipient(u16),
    /// It reads the mail, and refuses it with this code.
    Content(u16),
    /// It takes the mail, and answers when the test releases it.
    Hold,
    /// It takes one mail, and refuses every further one of the session.
    OneMail,
    /// It hangs up at once.
    HangUp,
    /// It never answers.
    Stall,
    /// It hangs up in the middle of the mail.
    DieInData,
    /// It takes the mail, and kills the client before it answers.
    KillClient(i32),
}

/// A mail that was taken.
#[derive(Clone, Debug)]
pub(crate) struct Mail {
    pub(crate) text: String,
    pub(crate) is_encrypted: bool,
    pub(crate) is_authenticated: bool,
}

impl Mail {
    /// The value of a header; empty if there is none.
    pub(crate) fn header(&self, name: &str) -> String {
        let head = self.text.split("\r\n\r\n").next().unwrap().replace("\r\n ", " ");
        let line = head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.unwrap_or_default().to_owned()
    }

    /// The part of this type, decoded.
    pub(crate) fn part(&self, kind: &str) -> String {
        let boundary = self.header("Content-Type").split('"').nth(1).unwrap().to_owned();
        let (edge, wanted) = (format!("--{boundary}"), format!("Content-Type: {kind}"));
        let mut parts = self.text.split(&*edge);
        let is_wanted = |part: &&str| part.trim_start().starts_with(&wanted);
        let (head, body) = parts.find(is_wanted).unwrap().split_once("\r\n\r\n").unwrap();
        if !head.contains("quoted-printable") {
            assert!(head.contains("7bit"), "{head}");
            return body.to_owned();
        }
        let (mut bytes, joined) = (Vec::new(), body.replace("=\r\n", ""));
        let mut pieces = joined.split('=');
        bytes.extend(pieces.next().unwrap().bytes());
        for piece in pieces {
            bytes.push(u8::from_str_radix(&piece[..2], 16).unwrap());
            bytes.extend(piece[2..].bytes());
        }
        String::from_utf8(bytes).unwrap()
    }
}

#[derive(Default)]
struct State {
    mails: Vec<Mail>,
    faults: VecDeque<MailFault>,
    sessions: usize,
}

/// The server. It ends with the test's runtime.
#[derive(Clone)]
pub(crate) struct MailServer {
    state: Arc<Mutex<State>>,
    released: Arc<Notify>,
    pub(crate) port: u16,
    /// It speaks TLS from the beginning.
    is_wrapped: bool,
}

/// `app`, `geheim`, as AUTH PLAIN sends them.
const LOGIN: &str = "AGFwcABnZWhlaW0=";

impl MailServer {
    pub(crate) async fn start() -> Self {
        Self::listen(false).await
    }

    /// A server of `smtps://`.
    pub(crate) async fn start_wrapped() -> Self {
        Self::listen(true).await
    }

    async fn listen(is_wrapped: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            state: Arc::default(),
            released: Arc::default(),
            port: listener.local_addr().unwrap().port(),
            is_wrapped,
        };
        let served = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let served = served.clone();
                tokio::spawn(async move { served.serve(stream).await });
            }
        });
        server
    }

    pub(crate) fn mails(&self) -> Vec<Mail> {
        self.state.lock().unwrap().mails.clone()
    }

    pub(crate) fn sessions(&self) -> usize {
        self.state.lock().unwrap().sessions
    }

    /// Lets the server answer that holds a mail.
    pub(crate) fn release(&self) {
        self.released.notify_one();
    }

    /// The next sessions have these faults.
    pub(crate) fn plan(&self, faults: impl IntoIterator<Item = MailFault>) {
        self.state.lock().unwrap().faults.extend(faults);
    }

    async fn serve(&self, stream: TcpStream) {
        let fault = {
            let mut state = self.state.lock().unwrap();
            state.sessions += 1;
            state.faults.pop_front()
        };
        match fault {
            Some(MailFault::Stall) => std::future::pending::<()>().await,
            Some(MailFault::HangUp) => return,
            _ => {}
        }
        if self.is_wrapped {
            let Ok(mut stream) = accept(stream).await else { return };
            let _ = stream.write_all(b"220 test ESMTP\r\n").await;
            self.talk(&mut BufReader::new(stream), fault, true).await;
            return;
        }
        let mut stream = BufReader::new(stream);
        let greeting = if matches!(fault, Some(MailFault::Busy)) { "421 busy\r\n" } else { "220 test ESMTP\r\n" };
        let _ = stream.write_all(greeting.as_bytes()).await;
        if self.talk(&mut stream, fault, false).await
            && let Ok(stream) = accept(stream.into_inner()).await
        {
            self.talk(&mut BufReader::new(stream), fault, true).await;
        }
    }

    /// One conversation. Returns whether the client wants to encrypt the rest.
    async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut BufReader<S>,
        fault: Option<MailFault>,
        is_encrypted: bool,
    ) -> bool {
        let (mut line, mut is_authenticated, mut taken) = (String::new(), false, 0);
        loop {
            line.clear();
            if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                return false;
            }
            let words: Vec<&str> = line.split_whitespace().collect();
            let verb = words.first().map(|verb| verb.to_uppercase()).unwrap_or_default();
            let answer = match (verb.as_str(), fault) {
                ("EHLO", _) if is_encrypted => "250-test\r\n250 AUTH PLAIN".to_owned(),
                ("EHLO", _) => "250-test\r\n250 STARTTLS".to_owned(),
                ("STARTTLS", _) => "220 go on".to_owned(),
                ("AUTH", _) if words.last() == Some(&LOGIN) => {
                    is_authenticated = true;
                    "235 welcome".to_owned()
                }
                ("AUTH", _) => "535 wrong password".to_owned(),
                ("RCPT", Some(MailFault::Recipient(code))) => format!("{code} not now"),
                ("MAIL", Some(MailFault::OneMail)) if taken > 0 => "421 enough for one session".to_owned(),
                ("DATA", _) => "354 go on".to_owned(),
                ("QUIT", _) => "221 bye".to_owned(),
                _ => "250 yes".to_owned(),
            };
            let _ = stream.write_all(format!("{answer}\r\n").as_bytes()).await;
            let _ = stream.flush().await;
            match verb.as_str() {
                "STARTTLS" => return true,
                "QUIT" => return false,
                "DATA" if matches!(fault, Some(MailFault::DieInData)) => return false,
                "DATA" => {
                    let mut text = String::new();
                    while !text.ends_with("\r\n.\r\n") {
                        if stream.read_line(&mut text).await.unwrap_or(0) == 0 {
                            return false;
                        }
                    }
                    if let Some(MailFault::Content(code)) = fault {
                        let _ = stream.write_all(format!("{code} not this\r\n").as_bytes()).await;
                        let _ = stream.flush().await;
                        continue;
                    }
                    taken += 1;
                    let text = text.trim_end_matches(".\r\n").to_owned();
                    self.state.lock().unwrap().mails.push(Mail { text, is_encrypted, is_authenticated });
                    if let Some(MailFault::KillClient(pid)) = fault {
                        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
                        return false;
                    }
                    if matches!(fault, Some(MailFault::Hold)) {
                        self.released.notified().await;
                    }
                    let _ = stream.write_all(b"250 taken\r\n").await;
                    let _ = stream.flush().await;
                }
                _ => {}
            }
        }
    }
}

/// Takes up a connection by TLS, with the certificate of `localhost` among the fixtures.
pub(crate) async fn accept(stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
    let fixture = |name: &str| format!("{}/tests/fixtures/mail-server.{name}", env!("CARGO_MANIFEST_DIR"));
    let certificate = CertificateDer::from_pem_file(fixture("crt")).unwrap();
    let key = PrivateKeyDer::from_pem_file(fixture("key")).unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    TlsAcceptor::from(Arc::new(config)).accept(stream).await
}
