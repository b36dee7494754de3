//! Kind `email`: mails of tasks by a real server, and what its answers mean.

use std::fs;

use serde_json::json;
use sexton::NewTask;
use sexton_entities::states::{Outcome, Verdict};

use crate::{
    commands::Stand,
    support::{Database, Kind, MailFault, MailServer, Printed, block_on, eventually, on_each_database, sexton, value},
};

/// A channel of that server, and a task `it` that sends by it.
fn tables(port: u16, more: &str) -> String {
    format!(
        "notify = []\n[notify.shop]\nkind = \"mail\"\nserver = \"smtp://127.0.0.1:{port}\"\ntls = \"none\"\ntimeout = \"5s\"\n\
         from = \"Shop <shop@shop.example>\"\nto = [\"ops@shop.example\"]\n\
         [task.it]\nkind = \"email\"\nchannel = \"shop\"\nmax_attempts = 3\nretry = {{ delay = \"20ms\", growth = \"fixed\" }}\n{more}\n"
    )
}

const RECEIPT: &str = "to_from = \"/customer/mail\"\nallow_to = [\"*@customer.example\", \"me@elsewhere.example\"]\n\
                       subject = \"Your order {{ order }}\"\ntext = \"Dear {{ customer.name }},\\nthank you.\"\n\
                       html = \"<p>Dear {{ customer.name }}</p>\"";

on_each_database! {
    async fn a_mail_is_made_from_the_payload_and_is_on_record(database: Database) {
        let server = MailServer::start().await;
        let mut stand = Stand::on(database, &tables(server.port, RECEIPT)).await;
        let payload = json!({"order": 7, "customer": {"mail": "joe@customer.example", "name": "Joe <b>&</b> Zoë"}});
        let (row, _) = stand.run(Some(payload)).await;
        assert_eq!((row.outcome, row.verdict), (Outcome::Succeeded, Some(Verdict::Completed)), "{:?}", row.error);
        let mail = server.mails().remove(0);
        assert_eq!((mail.header("To"), mail.header("Subject")), ("joe@customer.example".to_owned(), "Your order 7".to_owned()));
        assert_eq!(mail.header("From"), "Shop <shop@shop.example>");
        assert_eq!(mail.header("Auto-Submitted"), "auto-generated");
        assert!(mail.part("text/plain").contains("Dear Joe <b>&</b> Zoë,\r\nthank you."), "{}", mail.text);
        assert!(mail.part("text/html").contains("<p>Dear Joe &lt;b&gt;&amp;&lt;"), "{}", mail.text);
        let result = value(&row.result).unwrap();
        assert_eq!((&result["message_id"], &result["recipients"]), (&json!(mail.header("Message-ID")), &json!(["joe@customer.example"])));
        assert!(mail.header("Message-ID").starts_with("<sexton-") && mail.header("Message-ID").ends_with("@shop.example>"));
        stand.stop();
    }
}

#[test]
fn who_may_get_a_mail_is_in_the_configuration() {
    block_on(async {
        let server = MailServer::start().await;
        let mut stand = Stand::new(&tables(server.port, RECEIPT)).await;
        for (mail, why) in [
            (json!("joe@evil.example"), "recipient 1 at /customer/mail is not among those of `allow_to`"),
            (
                json!("joe@customer.example\r\nBcc: all@evil.example"),
                "recipient 1 at /customer/mail is not among those",
            ),
            (
                json!(["joe@customer.example", "x@evil.example, y@customer.example"]),
                "recipient 2 at /customer/mail is not",
            ),
            (json!("Joe <joe@customer.example>"), "recipient 1 at /customer/mail is not among those"),
            (json!([]), "the payload names 0 recipients at /customer/mail: 1 to 50 are possible"),
            (json!(vec!["a@customer.example"; 51]), "the payload names 51 recipients"),
            (json!(7), "the payload names no recipient at /customer/mail"),
            (json!([7]), "the payload has another thing than addresses at /customer/mail"),
        ] {
            let (row, _) = stand.run(Some(json!({"order": 7, "customer": {"mail": mail, "name": "J"}}))).await;
            assert_eq!(
                (row.outcome, row.verdict, row.attempt),
                (Outcome::Failed, Some(Verdict::Discarded), 1),
                "{row:?}"
            );
            assert!(row.error.as_ref().unwrap().starts_with(why), "{:?}", row.error);
        }
        let missing = json!({"order": 7, "customer": {"mail": "joe@customer.example"}});
        let (row, _) = stand.run(Some(missing)).await;
        assert!(
            row.error.as_ref().unwrap().starts_with("the template `text`: line 1: undefined value"),
            "{:?}",
            row.error
        );
        assert_eq!(row.verdict, Some(Verdict::Discarded));
        assert!(server.mails().is_empty() && server.sessions() == 0, "nothing was even asked");
        // A line break in a value is no header.
        let trick = json!({"order": "7\r\nBcc: all@evil.example\r\n\r\nbody", "customer": {"mail": ["me@elsewhere.example", "a@customer.example"], "name": "J"}});
        let (row, _) = stand.run(Some(trick)).await;
        assert_eq!(row.verdict, Some(Verdict::Completed), "{:?}", row.error);
        let mail = server.mails().remove(0);
        assert_eq!(mail.header("Bcc"), "");
        assert_eq!(mail.header("Subject"), "Your order 7 Bcc: all@evil.example body");
        assert_eq!(mail.header("To"), "me@elsewhere.example, a@customer.example");
        stand.stop();
    });
}

#[test]
fn what_a_server_refuses_for_good_is_told_from_what_passes() {
    block_on(async {
        let server = MailServer::start().await;
        let fixed = "to = [\"Ops <ops@shop.example>\"]\nsubject = \"Report\"\ntext = \"All is well.\"";
        let mut stand = Stand::new(&tables(server.port, fixed)).await;
        for fault in [MailFault::Recipient(550), MailFault::Content(554)] {
            server.plan([fault]);
            let (row, _) = stand.run(None).await;
            assert_eq!((row.verdict, row.attempt), (Some(Verdict::Discarded), 1), "{fault:?} {:?}", row.error);
        }
        for fault in [
            MailFault::Recipient(451),
            MailFault::Content(452),
            MailFault::Busy,
            MailFault::HangUp,
            MailFault::DieInData,
        ] {
            server.plan([fault]);
            let before = server.mails().len();
            let (row, _) = stand.run(None).await;
            assert_eq!((row.verdict, row.attempt), (Some(Verdict::Completed), 2), "{fault:?} {:?}", row.error);
            assert_eq!(server.mails().len(), before + 1);
        }
        // The server took the mail, and the answer was lost: the second one is recognisable.
        let before = server.mails().len();
        server.plan([MailFault::Hold]);
        let (row, _) = stand.run(None).await;
        assert_eq!((row.verdict, row.attempt), (Some(Verdict::Completed), 2), "{:?}", row.error);
        let rows = stand.rows(row.task_id.unwrap()).await;
        assert_eq!(rows[0].error.as_deref(), Some("no answer within 5 s"));
        let mails = server.mails().split_off(before);
        assert_eq!(mails.len(), 2);
        assert_eq!(mails[0].header("Message-ID"), mails[1].header("Message-ID"));
        stand.stop();
    });
}

#[test]
fn a_mail_that_hangs_can_be_cancelled_and_an_attempt_has_its_time_limit() {
    block_on(async {
        let server = MailServer::start().await;
        let fixed = "to = [\"ops@shop.example\"]\nsubject = \"Report\"\ntext = \"x\"\nkill_after = \"1s\"";
        let tables = tables(server.port, fixed).replace("timeout = \"5s\"", "timeout = \"60s\"");
        let mut stand = Stand::new(&format!("heartbeat = \"200ms\"\n{tables}")).await;
        server.plan([MailFault::Stall]);
        let id = stand.enqueue(NewTask::new("it")).await;
        eventually("it is being sent", async || server.sessions() == 1).await;
        sexton(&stand.config).args(["task", "cancel", &id.to_string()]).output().unwrap();
        let row = stand.finished(id).await;
        assert_eq!((row.outcome, row.verdict), (Outcome::Cancelled, Some(Verdict::Cancelled)), "{:?}", row.error);
        assert!(row.error.unwrap().ends_with("whether the mail was taken is not known"));
        stand.stop();
    });
}

#[test]
fn mistakes_of_a_mail_name_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sexton.toml");
    let url = format!("[database]\nurl = \"sqlite://{}/x.db\"\n", folder.path().display());
    let check = |text: &str| {
        fs::write(&file, format!("{url}{text}")).unwrap();
        sexton(&file).args(["config", "check"]).output().unwrap().errors()
    };
    let of = |more: &str| {
        let text = tables(25, more).replace("notify = []\n", "");
        check(&text)
    };
    let sound = "to = [\"a@b.example\"]\nsubject = \"s\"\ntext = \"t\"";
    assert_eq!(of(sound), "");
    for (more, mistake) in [
        ("subject = \"s\"\ntext = \"t\"", "task.it: kind \"email\" needs `to`, or `to_from` with `allow_to`"),
        ("to = [\"a@b.example\"]\ntext = \"t\"", "task.it: kind \"email\" needs `subject`"),
        ("to = [\"a@b.example\"]\nsubject = \"s\"", "task.it: kind \"email\" needs `text`"),
        ("to = [\"nobody\"]\nsubject = \"s\"\ntext = \"t\"", "task.it.to: `nobody` is not a mail address"),
        ("to_from = \"/a\"\nsubject = \"s\"\ntext = \"t\"", "task.it.to_from: `to_from` needs `allow_to`"),
        (
            "to_from = \"a\"\nallow_to = [\"*@b\"]\nsubject = \"s\"\ntext = \"t\"",
            "task.it.to_from: write a JSON pointer",
        ),
        (
            "to_from = \"/a\"\nallow_to = [\"*\"]\nsubject = \"s\"\ntext = \"t\"",
            "task.it.allow_to: `*` is neither an address",
        ),
        (
            "to = [\"a@b.example\"]\nallow_to = [\"*@b\"]\nsubject = \"s\"\ntext = \"t\"",
            "task.it.allow_to: this setting needs `to_from`",
        ),
        ("to = [\"a@b.example\"]\nsubject = \"{{ x\"\ntext = \"t\"", "task.it.subject: the template cannot be read: "),
        ("to = [\"a@b.example\"]\nsubject = \"s\"\ntext_file = \"none.txt\"", "task.it.text_file: cannot read "),
        (
            "to = [\"a@b.example\"]\nsubject = \"s\"\ntext = \"t\"\ntext_file = \"none.txt\"",
            "only one of text and text_file",
        ),
    ] {
        let said = of(more);
        assert!(said.contains(mistake), "{more}\n{said}");
    }
    fs::write(folder.path().join("letter.txt"), "a\n{% if %}").unwrap();
    let of_file = of("to = [\"a@b.example\"]\nsubject = \"s\"\ntext_file = \"letter.txt\"");
    assert!(of_file.contains("task.it.text_file: the template cannot be read: line 2: "), "{of_file}");
    let task = "[task.it]\nkind = \"email\"\nto = [\"a@b.example\"]\nsubject = \"s\"\ntext = \"t\"\n";
    assert!(check(task).contains("task.it: kind \"email\" needs `channel`"));
    let unknown =
        check(&format!("{task}channel = \"shop\"\n[notify.shops]\nkind = \"command\"\ncommand = [\"true\"]\n"));
    assert!(unknown.contains("task.it.channel: there is no [notify.shop]; did you mean `shops`?"), "{unknown}");
    let other =
        check(&format!("{task}channel = \"shops\"\n[notify.shops]\nkind = \"command\"\ncommand = [\"true\"]\n"));
    assert!(other.contains("task.it.channel: [notify.shops] is of kind \"command\", and not \"mail\""), "{other}");
    let stray = check("[task.it]\nkind = \"noop\"\nsubject = \"s\"\n");
    assert!(stray.contains("task.it.subject: this setting is one of kind \"email\""), "{stray}");
}

#[test]
fn a_changed_template_file_is_put_in_force() {
    block_on(async {
        let server = MailServer::start().await;
        let database = Database::new(Kind::Sqlite).await;
        let letter = database.folder.path().join("letter.txt");
        fs::write(&letter, "old").unwrap();
        let more = format!("to = [\"a@b.example\"]\nsubject = \"s\"\ntext_file = \"{}\"", letter.display());
        let mut stand = Stand::on(database, &tables(server.port, &more)).await;
        fs::write(&letter, "new words").unwrap();
        stand.daemon.as_ref().unwrap().wait_for_log("the configuration is reloaded: tasks changed: it");
        let (row, _) = stand.run(None).await;
        assert_eq!(row.verdict, Some(Verdict::Completed));
        assert!(server.mails()[0].text.contains("new words"));
        stand.stop();
    });
}
