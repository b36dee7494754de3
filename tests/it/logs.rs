//! The daemon's log: where it goes, its format, and that it never stops the daemon.

use std::{
    fs::{self, File},
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _},
        net::UnixDatagram,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::{
    daemon::completed,
    support::{Daemon, Database, Kind, Mounted, Printed as _, block_on, eventually, sexton},
};

const SETTINGS: &str = "[task.greet]\ncommand = [\"true\"]\n";

fn greet(file: &Path) {
    let output = sexton(file).args(["task", "add", "greet"]).output().unwrap();
    assert!(output.status.success(), "{}", output.errors());
}

/// The events of a log of JSON lines.
fn events(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

fn log_dir(database: &Database) -> PathBuf {
    database.folder.path().join("n/state/log")
}

#[test]
fn files_for_everything_for_modules_and_for_errors() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let settings = format!("{SETTINGS}[task.fail]\ncommand = [\"false\"]\n[log]\nformat = \"json\"\n");
        let file = database.config("n", &settings);
        assert!(sexton(&file).args(["db", "migrate"]).output().unwrap().status.success());
        assert!(sexton(&file).args(["task", "add", "fail"]).output().unwrap().status.success());
        greet(&file);
        let output = sexton(&file).args(["run", "--once", "--log-files", "--debug"]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "a task failed");
        assert_eq!((output.text(), output.errors()), (String::new(), String::new()), "all of it is in the files");
        let dir = log_dir(&database);
        let all = events(&fs::read_to_string(dir.join("sexton.log")).unwrap());
        for event in &all {
            for name in ["timestamp", "level", "module", "message", "target"] {
                assert!(event.get(name).is_some(), "{name} is missing: {event}");
            }
            let at = event["timestamp"].as_str().unwrap();
            assert!(at.ends_with('Z') && chrono::DateTime::parse_from_rfc3339(at).is_ok(), "{at}");
        }
        let find = |text: &str| all.iter().find(|event| event["message"].as_str().unwrap().contains(text)).unwrap();
        let failed = find("fail failed");
        assert!(failed["task.id"].is_number() && failed["attempt"] == 1, "{failed}");
        assert_eq!(failed["target"], "sexton::daemon::workers::attempt_log");
        let errors = events(&fs::read_to_string(dir.join("error.log")).unwrap());
        let expected: Vec<&Value> =
            all.iter().filter(|event| event["level"] == "warn" || event["level"] == "error").collect();
        assert_eq!(errors.iter().collect::<Vec<_>>(), expected);
        assert!(expected.contains(&failed));
        let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(dir.clone()) & !0o750, mode(dir.join("sexton.log")) & !0o640), (0, 0));
    });
}

#[test]
fn events_in_a_module_have_its_name() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let settings = "[task.tick]\nkind = \"noop\"\nschedule = { every = \"1s\" }\n[log]\nformat = \"json\"";
        let file = database.config("n", settings);
        let daemon = Daemon::start(&file, &["run", "--debug", "cron,node"]);
        // The event itself does not name its module.
        daemon.wait_for_log("tick is due");
        let log = daemon.stop();
        let debugged: Vec<Value> = events(&log).into_iter().filter(|event| event["level"] == "debug").collect();
        assert!(debugged.iter().any(|event| event["message"] == "tick is due"), "{log}");
        for event in &debugged {
            assert!(event["module"] == "cron" || event["module"] == "node", "nobody else is debugged: {event}");
            assert!(event["target"].as_str().unwrap().starts_with("sexton::"), "{event}");
        }
    });
}

#[test]
fn the_command_line_wins_over_the_configuration() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let file = database.config("n", "[log]\nlevel = \"error\"");
        let run = |arguments: &[&str]| {
            let output =
                sexton(&file).args(["run", "--once"]).args(arguments).env_remove("SEXTON_LOG").output().unwrap();
            assert!(output.status.success(), "{}", output.errors());
            output.errors()
        };
        assert_eq!(run(&[]), "");
        assert!(run(&["--log", "info"]).contains(" runs on "));
        let output = sexton(&file).args(["run", "--once", "--log", "inof"]).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(
            output.errors().contains("invalid log filter: `inof` is not a log level: write error, warn"),
            "{}",
            output.errors()
        );
        for (line, problem) in [
            ("level = \"inof\"", "log.level: `inof` is not a log level"),
            ("level = \"sexton=[\"", "log.level: `sexton=[` is not a log filter"),
            ("rotate = \"dayly\"", "log.rotate: `dayly` is not known, expected \"daily\" or a size such as \"10MiB\""),
            ("rotate = \"1B\"", "log.rotate: 1 B is out of range"),
            ("format = \"xml\"", "log.format: `xml` is not known"),
            ("days_to_keep = 0", "log.days_to_keep: 0 is out of range"),
            ("keep_files = 0", "log.keep_files: 0 is out of range"),
        ] {
            let file = database.config("mistaken", &format!("[log]\n{line}"));
            let output = sexton(&file).args(["run"]).output().unwrap();
            assert_eq!(output.status.code(), Some(78));
            assert!(output.errors().contains(problem), "{line}: {}", output.errors());
        }
    });
}

#[test]
fn only_modules_that_exist_are_debugged() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let file = database.config("n", "[module.ours]\ncommand = [\"sleep\", \"60\"]");
        for command in ["run", "start", "restart"] {
            let output = sexton(&file).args([command, "--debug", "cron,corn"]).output().unwrap();
            assert_eq!(output.status.code(), Some(1), "{command}");
            let said = output.errors();
            assert!(said.contains("there is no daemon module `corn`; did you mean `cron`?"), "{said}");
        }
        let daemon = Daemon::start(&file, &["run", "--debug", "cron,ours"]);
        daemon.stop();
        // A restarted daemon accepts options that were checked at its first start.
        let output = sexton(&file).args(["run", "--once", "--log-files", "--debug", "corn"]).output().unwrap();
        assert!(output.status.success(), "{}", output.errors());
        let log = fs::read_to_string(log_dir(&database).join("sexton.log")).unwrap();
        assert!(log.contains("--debug: there is no daemon module `corn`"), "{log}");
    });
}

#[test]
fn a_full_log_disk_stops_nothing() {
    assert!(nix::unistd::geteuid().is_root(), "this test mounts a small file system, and needs root for it");
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("log");
        fs::create_dir(&dir).unwrap();
        let _mounted = Mounted::new(&dir, "tmpfs", "size=64k,mode=755");
        let database = Database::new(Kind::Sqlite).await;
        let store = database.store().await;
        // The notifier would tell of the disk, in a file of its own.
        let quiet = "[module.notifier]\nenabled = false\n";
        let file = database.config("n", &format!("log_dir = \"{}\"\n{SETTINGS}{quiet}", dir.display()));
        let daemon = Daemon::spawn(&file, &["run", "--log-files"]);
        let log = || fs::read_to_string(dir.join("sexton.log")).unwrap_or_default();
        eventually("the daemon is up", async || log().contains(" runs on ")).await;
        let filler = File::options().append(true).create(true).open(dir.join("filler")).unwrap();
        while std::io::Write::write(&mut &filler, &[0; 4096]).is_ok_and(|count| count > 0) {}
        // More than the rest of the page that the log has already.
        let mut asked = 0;
        while !daemon.log().contains(": No space left on device") {
            assert!(asked < 500, "the disk was never full: {}", log());
            for _ in 0..10 {
                sexton::Client::new(store.clone()).enqueue(sexton::NewTask::new("greet")).await.unwrap();
            }
            asked += 10;
            eventually("the tasks are done nevertheless", async || completed(&store).await == asked).await;
        }
        let status = sexton(&file).args(["status"]).output().unwrap().text();
        let told = status.lines().find(|line| line.starts_with("  log ")).unwrap_or_else(|| panic!("{status}"));
        let why = format!(" lines lost: No space left on device (os error 28) ({}/", dir.display());
        assert!(told.contains(&why), "{told}");
        let status = sexton(&file).args(["status", "--json"]).output().unwrap().json();
        let told = &status["daemon"]["log"];
        assert!(told["lost_lines"].as_u64().unwrap() > 0, "{told}");
        assert!(told["last_problem"].as_str().unwrap().starts_with("No space left on device"), "{told}");
        fs::remove_file(dir.join("filler")).unwrap();
        drop(filler);
        greet(&file);
        eventually("the log says what it has lost", async || {
            log().lines().any(|line| line.contains(" lost: No space left on device") && line.contains(" WARN "))
        })
        .await;
        let said = daemon.stop();
        assert_eq!(said.matches("cannot write the log").count(), 1, "it is said once: {said}");
        let log = log();
        let after = log.split(" lost: ").nth(1).unwrap();
        assert!(after.contains("greet succeeded") && after.contains("has stopped"), "{log}");
        for line in log.lines() {
            let stamps: Vec<usize> = line.match_indices("Z  INFO ").map(|(at, _)| at).collect();
            assert!(stamps.is_empty() || stamps == [23], "what was cut off stands alone: {line}");
        }
    });
}

#[test]
fn a_removed_directory_is_created_again() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let file = database.config("n", SETTINGS);
        let daemon = Daemon::spawn(&file, &["run", "--log-files"]);
        let log = || fs::read_to_string(log_dir(&database).join("sexton.log")).unwrap_or_default();
        eventually("the daemon is up", async || log().contains(" runs on ")).await;
        fs::remove_dir_all(log_dir(&database)).unwrap();
        greet(&file);
        eventually("the log goes on", async || log().contains("greet succeeded")).await;
        assert_eq!(daemon.stop(), "", "nothing was lost");
    });
}

/// A daemon with standard error as systemd provides it, and with that directory in place of systemd's.
struct UnderSystemd {
    child: Child,
    errors: PathBuf,
}

impl UnderSystemd {
    fn start(file: &Path, sockets: &Path, arguments: &[&str]) -> Self {
        assert!(nix::unistd::geteuid().is_root(), "this test hides systemd's own folder, and needs root for it");
        let script = "mkdir -p /run/systemd && mount --bind \"$0\" /run/systemd && exec \"$@\"";
        let errors = file.with_extension("errors");
        let stderr = File::create(&errors).unwrap();
        let stream = stderr.metadata().unwrap();
        let child = Command::new("unshare")
            .args(["--mount", "sh", "-c", script])
            .arg(sockets)
            .args([env!("CARGO_BIN_EXE_sexton"), "--config"])
            .arg(file)
            .args(arguments)
            .env("JOURNAL_STREAM", format!("{}:{}", stream.dev(), stream.ino()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .unwrap();
        Self { child, errors }
    }

    fn errors(&self) -> String {
        fs::read_to_string(&self.errors).unwrap()
    }

    fn stop(mut self) -> String {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {}", self.errors());
        self.errors()
    }
}

impl Drop for UnderSystemd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

type Fields = Vec<(String, String)>;

/// The entry whose message contains that text.
fn entry(entries: &Mutex<Vec<Fields>>, text: &str) -> Option<Fields> {
    let is_message = |(name, value): &(String, String)| name == "MESSAGE" && value.contains(text);
    entries.lock().unwrap().iter().find(|fields| fields.iter().any(is_message)).cloned()
}

#[test]
fn the_journal_is_detected() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let settings = "[task.tick]\nkind = \"noop\"\nschedule = { every = \"1s\" }";
        let file = database.config("n", &format!("{settings}\n{SETTINGS}"));
        let sockets = tempfile::tempdir().unwrap();
        fs::create_dir(sockets.path().join("journal")).unwrap();
        let journal = UnixDatagram::bind(sockets.path().join("journal/socket")).unwrap();
        let entries = Arc::new(Mutex::new(Vec::new()));
        let kept = entries.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 65_536];
            while let Ok(length) = journal.recv(&mut buffer) {
                kept.lock().unwrap().push(fields(&buffer[..length]));
            }
        });
        let daemon = UnderSystemd::start(&file, sockets.path(), &["run", "--debug"]);
        eventually("the daemon is up", async || entry(&entries, " runs on ").is_some()).await;
        greet(&file);
        eventually("a task is in the journal", async || entry(&entries, "greet succeeded in").is_some()).await;
        eventually("a module is in the journal", async || entry(&entries, "tick is due").is_some()).await;
        assert_eq!(daemon.stop(), "", "nothing is said twice");
        let named = |text: &str, name: &str| {
            let found = entry(&entries, text).unwrap();
            found.into_iter().find(|(known, _)| known == name).map(|(_, value)| value)
        };
        let greeted = |name| named("greet succeeded in", name);
        assert_eq!(greeted("PRIORITY").as_deref(), Some("6"));
        assert_eq!(greeted("SYSLOG_IDENTIFIER").as_deref(), Some("sexton"));
        assert_eq!((greeted("SEXTON_ATTEMPT").as_deref(), greeted("SEXTON_MODULE")), (Some("1"), None));
        assert!(greeted("SEXTON_TASK_ID").is_some());
        assert!(greeted("MESSAGE").unwrap().starts_with("greet"), "the journal has its own time stamps");
        let due = |name| named("tick is due", name);
        assert_eq!(due("MESSAGE").as_deref(), Some("cron: tick is due"));
        assert_eq!((due("SEXTON_MODULE").as_deref(), due("PRIORITY").as_deref()), (Some("cron"), Some("7")));
    });
}

#[test]
fn without_the_journals_socket_lines_have_priorities() {
    block_on(async {
        let mut database = Database::new(Kind::Sqlite).await;
        database.url = "postgres://u@127.0.0.1:1/db".to_owned();
        let file = database.config("n", "");
        let sockets = tempfile::tempdir().unwrap();
        let daemon = UnderSystemd::start(&file, sockets.path(), &["run"]);
        eventually("the outage is logged", async || daemon.errors().contains("trying again")).await;
        let said = daemon.stop();
        assert!(said.contains("\n<4>postgres://u@127.0.0.1:1/db: the database is not available: "), "{said}");
        assert!(said.lines().all(|line| line.starts_with('<')), "{said}");
    });
}

/// One entry of the journal's native protocol.
fn fields(mut datagram: &[u8]) -> Fields {
    let mut fields = Vec::new();
    while let Some(end) = datagram.iter().position(|byte| *byte == b'\n') {
        let line = String::from_utf8_lossy(&datagram[..end]).into_owned();
        datagram = &datagram[end + 1..];
        if let Some((name, value)) = line.split_once('=') {
            fields.push((name.to_owned(), value.to_owned()));
        } else {
            let length = u64::from_le_bytes(datagram[..8].try_into().unwrap()) as usize;
            fields.push((line, String::from_utf8_lossy(&datagram[8..8 + length]).into_owned()));
            datagram = &datagram[8 + length + 1..];
        }
    }
    fields
}
