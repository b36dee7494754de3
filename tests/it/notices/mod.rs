//! Notices: one for a problem, by a mail server that has faults, from nodes that die.

mod channels;
mod digests;
mod escalation;
mod host;
mod hours;
mod interrupted;
mod killed;
mod output;
mod pings;
mod secrets;
mod settings;
mod trust;
mod woken;

use std::time::Duration;

use sea_orm::ConnectionTrait as _;
use sexton::{
    NewTask, TaskContext, TaskError, TaskHandler,
    daemon::WakeReason,
    domain::{
        identity::ModuleName,
        notice::channel::{Channel, MailSettings, MailTls, MailTransport, Means, SmtpServer},
        problem::Sighting,
    },
    store::{ProblemFilter, Store, TaskFilter},
};
use sexton_entities::{
    notice,
    states::{NoticeState, ProblemKind, ProblemState},
};

use crate::support::{
    Daemon, Database, Inside, Kind, MailFault, MailServer, blueprint, eventually, on_each_database, sexton,
};

/// By mail to the server of the test.
fn by_mail(server: &MailServer, max_per_hour: u32) -> Channel {
    Channel {
        means: Means::Mail(MailSettings {
            from: "Sexton <sexton@example.org>".to_owned(),
            to: vec!["admin@example.org".to_owned()],
            transport: MailTransport::Smtp(SmtpServer {
                host: "127.0.0.1".to_owned(),
                port: server.port,
                tls: MailTls::None,
                login: None,
                ca_file: None,
            }),
        }),
        timeout: Duration::from_secs(5),
        max_per_hour,
        quiet: None,
        digest: None,
    }
}

/// Fails, unless its payload says otherwise.
struct Unlucky;

impl TaskHandler for Unlucky {
    const KIND: &'static str = "unlucky";
    type Payload = Option<serde_json::Value>;

    async fn run(&self, payload: Self::Payload, context: &TaskContext) -> Result<(), TaskError> {
        match payload {
            Some(_) => Ok(()),
            None => Err(TaskError::new(format!("no disk for order {}", context.task_id()))),
        }
    }
}

fn node(database: &Database, name: &str, channel: Channel) -> Inside {
    let mut blueprint = blueprint(database);
    blueprint.config.daemon.name = Some(name.to_owned());
    blueprint.config.daemon.state_dir = database.folder.path().join(name);
    blueprint.config.channels.insert("admins".to_owned(), channel);
    blueprint.registry.register(Unlucky);
    Inside::start(blueprint)
}

/// Waits while the notifiers of all nodes work.
async fn until(nodes: &[&Inside], what: &str, mut condition: impl AsyncFnMut() -> bool) {
    eventually(what, async || {
        for node in nodes {
            node.daemon.wakers.wake(&ModuleName::NOTIFIER, WakeReason::Requested);
        }
        condition().await
    })
    .await;
}

/// Several rounds of the notifiers.
async fn rounds(nodes: &[&Inside]) {
    for node in nodes {
        let done = || node.daemon.modules.get(&ModuleName::NOTIFIER).map_or(0, |status| status.rounds);
        let before = done();
        until(nodes, "the notifier works", async || done() > before + 2).await;
    }
}

async fn run(store: &Store, sql: &str) {
    store.connection().execute_unprepared(sql).await.unwrap();
}

/// An instant in the past, in the words of that database.
fn ago(kind: Kind, seconds: u32) -> String {
    match kind {
        Kind::Sqlite => format!("strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now', '-{seconds} seconds')"),
        Kind::Postgres => format!("now() - interval '{seconds} seconds'"),
        Kind::MariaDb | Kind::MySql => format!("utc_timestamp(6) - interval {seconds} second"),
    }
}

async fn notices(store: &Store) -> Vec<notice::Model> {
    store.notices(None, 1_000).await.unwrap()
}

on_each_database! {
    async fn ten_thousand_failures_are_one_mail_and_one_recovery(database: Database) {
        let store = database.store().await;
        let server = MailServer::start().await;
        let count: usize = if database.kind == Kind::Sqlite { 10_000 } else { 1_000 };
        let (one, other) = (node(&database, "one", by_mail(&server, 20)), node(&database, "other", by_mail(&server, 20)));
        let nodes = [&one, &other];
        for _ in 0..count / 500 {
            one.daemon.client.enqueue_all(vec![NewTask::new("unlucky"); 500]).await.unwrap();
        }
        let problem = async || {
            let filter = ProblemFilter { with_closed: true, kind: Some(ProblemKind::Task), limit: 9, ..ProblemFilter::default() };
            store.problems(&filter).await.unwrap().pop()
        };
        until(&nodes, "all have failed", async || problem().await.is_some_and(|row| row.times == count as i64)).await;
        until(&nodes, "a mail came", async || !server.mails().is_empty()).await;
        rounds(&nodes).await;
        let mails = server.mails();
        assert_eq!(mails.len(), 1, "{mails:#?}");
        assert!(mails[0].header("Subject").starts_with("[sexton] PROBLEM: task unlucky: no disk for order "), "{}", mails[0].text);
        assert_eq!((mails[0].header("Auto-Submitted"), mails[0].header("To")), ("auto-generated".to_owned(), "admin@example.org".to_owned()));
        assert!(mails[0].header("Date").ends_with("+0000") && mails[0].header("In-Reply-To").is_empty());
        one.daemon.client.enqueue(NewTask::new("unlucky").payload(1)).await.unwrap();
        until(&nodes, "it is over", async || problem().await.unwrap().state == ProblemState::Closed).await;
        rounds(&nodes).await;
        assert_eq!(server.mails().len(), 1, "it may come back");
        run(&store, &format!("UPDATE sexton_problem SET closed_at = {}", ago(database.kind, 600))).await;
        until(&nodes, "the recovery came", async || server.mails().len() > 1).await;
        rounds(&nodes).await;
        let mails = server.mails();
        assert_eq!(mails.len(), 2, "{mails:#?}");
        assert_eq!(mails[1].header("Subject"), "[sexton] RECOVERED: task unlucky");
        assert_eq!(mails[1].header("In-Reply-To"), mails[0].header("Message-ID"));
        assert!(mails[1].text.contains(&format!("Occurred:    {count} times")), "{}", mails[1].text);
        assert_eq!((one.stop(), other.stop()), (0, 0));
    }

    async fn a_mail_server_with_faults_loses_nothing(database: Database) {
        let store = database.store().await;
        let server = MailServer::start().await;
        let faults = [
            MailFault::HangUp, MailFault::Busy, MailFault::Recipient(451), MailFault::Recipient(550), MailFault::Content(451),
            MailFault::Content(554), MailFault::DieInData, MailFault::Stall,
        ];
        server.plan(faults);
        let one = node(&database, "one", by_mail(&server, 20));
        store.note_problems(&[Sighting::now(ProblemKind::Module, "here/cron", "the module failed")]).await.unwrap();
        for tries in 1..=faults.len() {
            until(&[&one], "it was tried", async || notices(&store).await.first().is_some_and(|row| row.attempts as usize == tries)).await;
            let row = notices(&store).await.remove(0);
            assert_eq!((row.state, row.error.is_some()), (NoticeState::Waiting, true));
            assert!(row.next_at > row.created_at, "it waits");
            run(&store, "UPDATE sexton_notice SET next_at = created_at").await;
        }
        until(&[&one], "it was sent", async || notices(&store).await[0].state == NoticeState::Sent).await;
        assert_eq!((server.mails().len(), server.sessions()), (1, faults.len() + 1));
        // One that cannot be sent for a day is given up, and says so.
        server.plan([MailFault::Recipient(550)]);
        store.note_problems(&[Sighting::now(ProblemKind::Module, "here/future", "the module failed")]).await.unwrap();
        until(&[&one], "it was tried", async || notices(&store).await[0].attempts == 1).await;
        server.plan([MailFault::Recipient(550)]);
        run(&store, "UPDATE sexton_notice SET created_at = '2026-01-01 00:00:00', next_at = '2026-01-01 00:00:00'").await;
        // That the channel has sent nothing for so long is a problem with a notice of its own.
        let given_up = async || notices(&store).await.into_iter().find(|row| row.state == NoticeState::GivenUp);
        until(&[&one], "it was given up", async || given_up().await.is_some()).await;
        assert!(given_up().await.unwrap().error.unwrap().contains("not now"));
        assert_eq!(one.stop(), 0);
    }

    async fn a_node_that_dies_while_it_sends_loses_nothing(database: Database) {
        let store = database.store().await;
        let server = MailServer::start().await;
        let settings = format!(
            "lease = \"2s\"\nheartbeat = \"500ms\"\n[notify.admins]\nkind = \"mail\"\nserver = \"smtp://127.0.0.1:{}\"\n\
             tls = \"none\"\nfrom = \"a@example.org\"\nto = [\"b@example.org\"]\n[module.notifier]\ninterval = \"200ms\"", server.port
        );
        let file = database.config("n", &settings);
        let daemon = Daemon::start(&file, &["run"]);
        server.plan([MailFault::KillClient(daemon.pid())]);
        store.note_problems(&[Sighting::now(ProblemKind::Module, "here/cron", "the module failed")]).await.unwrap();
        eventually("the mail was taken, and the daemon is dead", async || server.mails().len() == 1).await;
        drop(daemon);
        let left = notices(&store).await.remove(0);
        assert_eq!((left.state, left.leased_by.is_some()), (NoticeState::Waiting, true), "it is not known whether it was sent");
        run(&store, "UPDATE sexton_notice SET leased_until = created_at").await;
        let daemon = Daemon::start(&file, &["run"]);
        eventually("it was sent again", async || store.notices(left.problem_id, 9).await.unwrap()[0].state == NoticeState::Sent).await;
        let ids: Vec<String> = server.mails().iter().filter(|mail| mail.text.contains("here/cron")).map(|mail| mail.header("Message-ID")).collect();
        assert_eq!(ids.len(), 2);
        assert!(ids[0] == ids[1] && !ids[0].is_empty(), "the same mail: {ids:?}");
        daemon.stop();
    }

    async fn one_run_tells_what_failed_before_it_ends(database: Database) {
        let store = database.store().await;
        let server = MailServer::start().await;
        let settings = format!(
            "[notify.admins]\nkind = \"mail\"\nserver = \"smtp://127.0.0.1:{}\"\ntls = \"none\"\nfrom = \"a@example.org\"\n\
             to = [\"b@example.org\"]\n[task.import]\ncommand = [\"sh\", \"-c\", \"echo begun; echo no bridge >&2; exit 3\"]\n\
             max_attempts = 2\nretry = {{ delay = \"1s\", jitter = 0 }}", server.port
        );
        let file = database.config("n", &settings);
        let once = async || {
            let mut command = sexton(&file);
            command.args(["run", "--once"]);
            tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
        };
        once().await;
        assert!(sexton(&file).args(["task", "add", "import"]).output().unwrap().status.success());
        let is_over = async || store.tasks(&TaskFilter { limit: 1, ..TaskFilter::default() }).await.unwrap().is_empty();
        eventually("it has failed for good", async || once().await.status.code() == Some(1) && is_over().await).await;
        // Without a further run: the one that failed has sent it.
        eventually("the mail is there", async || !server.mails().is_empty()).await;
        let mails = server.mails();
        assert_eq!(mails.len(), 1, "no mail tells of an attempt that is tried again: {mails:#?}");
        let text = &mails[0].text;
        for line in ["Task import failed on node n-", "What:        exit code 3: no bridge", "Exit code:   3", "  begun", "  no bridge", "sexton problem show 1"] {
            assert!(text.contains(line), "{line} is missing: {text}");
        }
        assert!(mails[0].part("text/plain").lines().all(|line| line.chars().count() <= 72), "{text}");
        let html = mails[0].part("text/html");
        assert!(html.contains("<td>exit code 3: no bridge</td>") && !html.contains("http"), "{html}");
    }

    async fn the_mails_of_one_round_share_a_connection(database: Database) {
        let store = database.store().await;
        let server = MailServer::start().await;
        server.plan([MailFault::OneMail]);
        let sightings: Vec<Sighting> = (0..5).map(|number| Sighting::now(ProblemKind::Module, format!("here/{number}"), "it failed")).collect();
        store.note_problems(&sightings).await.unwrap();
        let one = node(&database, "one", by_mail(&server, 20));
        let all_sent = async || notices(&store).await.iter().filter(|row| row.state == NoticeState::Sent).count() == 5;
        eventually("all are sent", all_sent).await;
        assert_eq!((server.mails().len(), server.sessions()), (5, 2), "the first session takes one mail, the second the others");
        assert!(notices(&store).await.iter().all(|row| row.attempts == 1));
        assert_eq!(one.stop(), 0);
    }

    async fn many_problems_are_no_flood(database: Database) {
        let store = database.store().await;
        let server = MailServer::start().await;
        let one = node(&database, "one", by_mail(&server, 5));
        let sightings: Vec<Sighting> = (0..50).map(|number| Sighting::now(ProblemKind::Module, format!("here/{number}"), "it failed")).collect();
        store.note_problems(&sightings).await.unwrap();
        until(&[&one], "all are written", async || notices(&store).await.len() == 50).await;
        until(&[&one], "five came", async || server.mails().len() == 5).await;
        rounds(&[&one]).await;
        assert_eq!(server.mails().len(), 5);
        let filter = ProblemFilter { limit: 100, ..ProblemFilter::default() };
        assert_eq!(store.problems(&filter).await.unwrap().len(), 50, "each is in the list");
        run(&store, "UPDATE sexton_notice SET created_at = '2026-01-01 00:00:00' WHERE state = 'sent'").await;
        until(&[&one], "the rest came", async || server.mails().len() == 6).await;
        rounds(&[&one]).await;
        let mails = server.mails();
        assert_eq!(mails.len(), 6);
        assert_eq!(mails[5].header("Subject"), "[sexton] and 45 more");
        assert!(mails[5].text.contains("and 25 more"), "{}", mails[5].text);
        assert_eq!(one.stop(), 0);
    }
}
