//! The output of attempts by mail, as cron sends it.

use std::{fs, os::unix::fs::PermissionsExt as _};

use sexton_entities::states::{NoticeAbout, NoticeState};

use super::notices;
use crate::support::{
    Daemon, Database, Kind, MailFault, MailServer, Printed as _, block_on, eventually, on_each_database, sexton,
};

fn settings(server: &MailServer) -> String {
    format!(
        "heartbeat = \"200ms\"\nnotify = []\nmail_output = \"on_failure\"\nmail_output_to = [\"admins\"]\n\
         [notify.admins]\nkind = \"mail\"\nserver = \"smtp://127.0.0.1:{}\"\ntls = \"none\"\n\
         from = \"cron@example.org\"\nto = [\"admin@example.org\"]\nmax_per_hour = 1\n\
         [task.loud]\ncommand = [\"sh\", \"-c\", \"printf 'one\\\\ttab\\\\n\\\\033[2Jtwo\\\\n'; echo no disk >&2; exit 3\"]\n\
         [task.fine]\ncommand = [\"echo\", \"all well\"]\n\
         [task.talks]\ncommand = [\"echo\", \"all well\"]\nmail_output = \"always\"\n\
         [task.silent]\ncommand = [\"true\"]\nmail_output = \"always\"\n\
         [task.never]\ncommand = [\"false\"]\nmail_output = \"never\"\n",
        server.port
    )
}

on_each_database! {
    async fn the_output_of_each_attempt_is_one_mail(database: Database) {
        let server = MailServer::start().await;
        let file = database.config("n", &settings(&server));
        let daemon = Daemon::start(&file, &["run"]);
        let store = database.bare_store();
        let add = |name: &str| assert!(sexton(&file).args(["task", "add", name]).status().unwrap().success());
        for name in ["fine", "silent", "never", "talks", "loud", "loud"] {
            add(name);
        }
        eventually("three mails came", async || server.mails().len() >= 3).await;
        eventually("they are recorded", async || {
            notices(&store).await.iter().filter(|notice| notice.state == NoticeState::Sent).count() == 3
        })
        .await;
        eventually("all have ended", async || {
            let rows = sexton(&file).args(["--json", "history"]).output().unwrap().json();
            rows.as_array().unwrap().len() == 6
        })
        .await;
        let mails = server.mails();
        let subjects: Vec<String> = mails.iter().map(|mail| mail.header("Subject")).collect();
        let of = |what: &str| subjects.iter().filter(|subject| subject.contains(what)).count();
        assert_eq!((mails.len(), of("Output of talks on n-"), of("Output of loud on n-")), (3, 1, 2), "{subjects:?}");
        let place = subjects.iter().position(|subject| subject.contains("loud")).unwrap();
        assert!(subjects[place].contains(" (failed, exit code 3): printf 'one"), "{subjects:?}");
        let text = &mails[place].text;
        for part in ["Standard output:\r\n\r\none\ttab\r\n", "[2Jtwo\r\n", "Standard error:\r\n\r\nno disk\r\n", "Task loud has not succeeded (failed)."] {
            assert!(text.contains(part), "{part:?} is missing:\n{text}");
        }
        assert!(!text.contains('\u{1b}'), "{text:?}");
        assert_eq!((mails[place].header("X-Sexton-About").as_str(), mails[place].header("In-Reply-To").as_str()), ("output", ""));
        let ids: std::collections::BTreeSet<String> = mails.iter().map(|mail| mail.header("Message-ID")).collect();
        assert_eq!(ids.len(), 3, "each has its own");
        assert!(notices(&store).await.iter().all(|notice| notice.about == NoticeAbout::Output && notice.problem_id.is_none()));
        daemon.stop();
    }
}

#[test]
fn a_mail_that_is_refused_is_sent_later_also_by_another_daemon() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let server = MailServer::start().await;
        server.plan([MailFault::Busy]);
        let file = database.config("n", &settings(&server));
        let mut daemon = Daemon::start(&file, &["run"]);
        assert!(sexton(&file).args(["task", "add", "talks"]).status().unwrap().success());
        let store = database.bare_store();
        eventually("it was refused", async || notices(&store).await.first().is_some_and(|notice| notice.attempts == 1))
            .await;
        daemon.kill();
        let daemon = Daemon::start(&file, &["run"]);
        eventually("it came", async || server.mails().len() == 1).await;
        daemon.stop();
    });
}

#[test]
fn a_mail_that_nobody_gets_is_a_warning() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let server = MailServer::start().await;
        let only_here = "[task.lost]\ncommand = [\"true\"]\nmail_output = \"always\"\nmail_output_to = []\n";
        let file = database.config("n", &(settings(&server) + only_here));
        let checked = sexton(&file).args(["config", "check"]).output().unwrap();
        assert!(checked.status.success());
        assert!(checked.errors().contains("task.lost.mail_output: nobody gets the output"), "{}", checked.errors());
        assert_eq!(checked.errors().matches("nobody gets").count(), 1, "{}", checked.errors());
        let shown = sexton(&file).args(["config", "show"]).output().unwrap().text();
        assert!(
            shown.contains("mail_output = \"on_failure\"") && shown.contains("mail_output_to = [\"admins\"]"),
            "{shown}"
        );
    });
}

#[test]
fn what_cron_mailed_is_mailed_after_an_import() {
    let folder = tempfile::tempdir().unwrap();
    let (tab, file, mails) =
        (folder.path().join("tab"), folder.path().join("sexton.toml"), folder.path().join("mails"));
    fs::write(
        &tab,
        "MAILFROM=cron@example.org\nMAILTO=ops@example.org\n@daily echo hello\nMAILTO=\"\"\n@daily echo secret\n",
    )
    .unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_sexton"))
        .args(["import", "crontab", "--user"])
        .arg(&tab)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", output.errors());
    let program = folder.path().join("sendmail");
    fs::write(&program, format!("#!/bin/sh\ncat >>{}\n", mails.display())).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let imported = output.text().replace("/usr/sbin/sendmail", &program.display().to_string());
    let place = folder.path().display();
    fs::write(
        &file,
        format!("[database]\nurl = \"sqlite://{place}/s.db\"\n[daemon]\nstate_dir = \"{place}/state\"\n{imported}"),
    )
    .unwrap();
    let call = |arguments: &[&str]| {
        let output = sexton(&file).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}{}", output.text(), output.errors());
        output
    };
    call(&["config", "check"]);
    call(&["db", "migrate"]);
    let tasks: toml::Table = imported.parse().unwrap();
    for name in tasks["task"].as_table().unwrap().keys() {
        call(&["task", "add", name]);
    }
    call(&["run", "--once"]);
    let text = fs::read_to_string(&mails).unwrap();
    assert!(text.contains("From: cron@example.org\r\n") && text.contains("To: ops@example.org\r\n"), "{text}");
    assert!(text.contains("Standard output:\r\n\r\nhello") && !text.contains("secret"), "{text}");
    assert_eq!(text.matches("Subject: ").count(), 1, "{text}");
}
