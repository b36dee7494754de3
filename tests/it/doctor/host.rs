//! What the doctor sees of this machine: the unit of systemd, directories, channels of notices.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use super::{examined, examined_with};
use crate::support::{Database, Kind, MailServer, Mounted, block_on};

/// A program in place of `systemctl`, and the search path that finds it first.
fn systemctl(folder: &Path, script: &str) -> String {
    let program = folder.join("systemctl");
    fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:/usr/bin:/bin", folder.display())
}

#[test]
fn a_bad_look_stops_no_other_one() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let _store = database.store().await;
        let folder = database.folder.path();
        let text = "stop_timeout = \"1m\"\n[notify.chat]\nkind = \"webhook\"\nurl = \"http://127.0.0.1:9/secret\"\n\
                    [notify.pager]\nkind = \"command\"\ncommand = [\"/nowhere/page\"]\n[task.t]\ncommand = [\"/nowhere/t\"]\n";
        let file = database.config("n", text);
        let path = systemctl(folder, "exec sleep 600");
        let said = examined_with(&file, &["--timeout", "5s"], &[("PATH", &path)]);
        assert_eq!(said.unseen(), ["the unit of systemd"], "{:#}", said.answer);
        assert_eq!(said.answer["unseen"][0]["reason"], "no answer within 5s");
        said.finds("error", "notices", "[notify.chat] does not work: 127.0.0.1:9: ");
        said.finds("error", "notices", "[notify.pager] does not work: /nowhere/page cannot be executed.");
        said.finds("warning", "configuration", "task.t.command: there is no file /nowhere/t.");
        said.finds("ok", "database", "The database is SQLite");
        assert!(!said.answer.to_string().contains("/secret"), "the address may be a secret");

        // A database that does not answer, mistakes, and a directory that cannot be made.
        fs::write(folder.join("plain"), "").unwrap();
        let bad = folder.join("bad.toml");
        let text = format!(
            "[database]\nurl = \"postgres://u@127.0.0.1:9/d\"\n[daemon]\nstate_dir = \"{}\"\n[log]\nx = 1\n",
            folder.join("plain").display()
        );
        fs::write(&bad, text).unwrap();
        let said = examined_with(&bad, &[], &[("PATH", "/nowhere")]);
        assert_eq!(said.code, 2);
        said.finds("error", "configuration", ":6: log.x: there is no such setting");
        said.finds("error", "database", "cannot be used: ");
        said.finds("error", "directories", "is not a directory");
        said.finds("ok", "systemd", "systemd does not run here.");
        said.finds("ok", "limits", "The limits fit");
    });
}

#[test]
fn the_unit_is_looked_at_as_systemd_shows_it() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let _store = database.store().await;
        let file = database.config("n", "stop_timeout = \"2m\"\n");
        let owner = nix::unistd::User::from_uid(nix::unistd::Uid::effective()).unwrap().unwrap().name;
        let show = |changed: &str| {
            format!(
                "cat <<END\nLoadState=loaded\nActiveState=active\nUnitFileState=enabled\nNeedDaemonReload=no\nKillMode=process\n\
                 Restart=on-failure\nRestartPreventExitStatus=78\nOOMPolicy=continue\nPrivateTmp=no\nDelegate=yes\n\
                 WatchdogUSec=30s\nType=notify\nTimeoutStopUSec=1min 30s\nUser={owner}\n\
                 ExecStart={{ path=/usr/bin/sexton ; argv[]=/usr/bin/sexton run --config {} ; }}\n{changed}\nEND",
                file.display()
            )
        };
        let folder = database.folder.path();
        let examine =
            |changed: &str| examined_with(&file, &[], &[("PATH", systemctl(folder, &show(changed)).as_str())]);
        let said = examine("");
        said.does_not_find("directories");
        assert_eq!(said.texts("warning", "systemd"), Vec::<&str>::new());
        let said = examine("KillMode=control-group\nType=simple\nWatchdogUSec=0");
        for words in [
            "KillMode of sexton.service is control-group.",
            "Type of sexton.service is simple.",
            "has no watchdog",
            "is 1m 30s, and daemon.stop_timeout is 2m",
        ] {
            said.finds("warning", "systemd", words);
        }
        // Its directories belong to another account than the one of the unit.
        fs::create_dir_all(folder.join("n/state")).unwrap();
        let said = examine("User=nobody-else");
        said.finds("error", "directories", "and the daemon runs as nobody-else.");
        said.finds("error", "database", "and the daemon runs as nobody-else.");
    });
}

#[test]
fn directories_are_looked_at() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let _store = database.store().await;
        let file = database.config("n", "");
        let state = database.folder.path().join("n/state");
        let missing = examined(&file);
        missing.finds("ok", "directories", "does not exist yet: the daemon creates it.");
        fs::create_dir_all(&state).unwrap();
        fs::set_permissions(&state, fs::Permissions::from_mode(0o777)).unwrap();
        examined(&file).finds("error", "directories", "Every user may write to daemon.state_dir");
        let mounted = Mounted::new(&state, "tmpfs", "size=4m,mode=0700");
        let said = examined(&file);
        said.finds("warning", "directories", "is in memory (tmpfs)");
        let _ = fs::write(state.join("large"), vec![0; 5 << 20]);
        examined(&file).finds("error", "directories", "is nearly full: ");
        drop(mounted);
        // A password that everybody may read.
        let open: PathBuf = database.config("m", "[notify.m]\nkind = \"mail\"\nserver = \"smtps://127.0.0.1:9\"\nuser = \"u\"\npassword = \"hunter2\"\nfrom = \"a@example.org\"\nto = [\"b@example.org\"]\n");
        fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).unwrap();
        let said = examined(&open);
        said.finds("warning", "configuration", "contains a password, and everybody may read it (mode 0644)");
        assert!(!said.answer.to_string().contains("hunter2"));
    });
}

#[test]
fn a_mail_server_is_tried_without_a_mail() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let _store = database.store().await;
        let server = MailServer::start().await;
        let settings = |port: u16| {
            format!(
                "[notify.admins]\nkind = \"mail\"\nserver = \"smtp://127.0.0.1:{port}\"\ntls = \"none\"\nfrom = \"a@example.org\"\n\
                 to = [\"b@example.org\"]\n"
            )
        };
        let file = database.config("n", &settings(server.port));
        let said = tokio::task::spawn_blocking(move || examined(&file)).await.unwrap();
        said.finds(
            "ok",
            "notices",
            &format!("[notify.admins]: 127.0.0.1:{} has answered without encryption", server.port),
        );
        assert!(server.mails().is_empty(), "{:#?}", server.mails());
        let file = database.config("m", &settings(9));
        examined(&file).finds("error", "notices", "[notify.admins] does not work: 127.0.0.1:9: ");
    });
}
