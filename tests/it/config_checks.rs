//! What `config check` finds before it fails, and the same checks at the start.

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::Output,
};

use sexton::config::{KnownNames, Source, advice, load};

use crate::support::{Printed, sexton};

fn call(file: &Path, arguments: &[&str]) -> Output {
    sexton(file).args(arguments).output().unwrap()
}

/// A configuration file in a folder of its own.
fn config(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sexton.toml");
    let state = folder.path().join("state");
    fs::write(&file, format!("{text}\n[daemon]\nstate_dir = \"{}\"\n", state.display())).unwrap();
    (folder, file)
}

/// A configuration with an SQLite database of its own.
fn sound(text: &str) -> (tempfile::TempDir, PathBuf) {
    let (folder, file) = config(text);
    let url = format!("[database]\nurl = \"sqlite://{}\"\n", folder.path().join("sexton.db").display());
    fs::write(&file, format!("{url}{}", fs::read_to_string(&file).unwrap())).unwrap();
    (folder, file)
}

#[test]
fn a_wrong_url_is_a_mistake_with_its_line_everywhere() {
    for (url, problem) in [
        ("oracle://h/d", "`oracle` is not a supported database: write sqlite://PATH, postgres://… or mysql://…"),
        ("postgres://u:p@h:99999/d", "`99999` is not a port: write a number from 1 to 65535"),
        ("mysql://u:p@h:port/d", "`port` is not a port"),
        ("postgres://u:sec/ret@h/d", "in a password, write %2F for /, %40 for @"),
        ("mysql://u:s@c/ret@h/d", "in a password, write %2F for /, %40 for @"),
        ("mysql://u:p@h", "the name of the database is missing"),
        ("postgres://u@h/d?sslmode=wrong", "database.url: unknown value \"wrong\""),
        ("postgres://u@one,two/d?target_session_attrs=standby", "Sexton writes"),
    ] {
        let (_folder, file) = config(&format!("[database]\nurl = \"{url}\""));
        for line in ["config check", "config show", "task list", "summary", "run", "run --once", "start", "db migrate"]
        {
            let output = call(&file, &line.split(' ').collect::<Vec<_>>());
            assert_eq!(output.status.code(), Some(78), "{url}, {line}: {}{}", output.text(), output.errors());
            let told = output.errors();
            let place = format!("{}:2: database.url: ", file.display());
            assert!(told.contains(&place) && told.contains(problem), "{url}, {line}: {told}");
            assert!(!told.contains("ret@"), "{url}, {line}: {told}");
        }
    }
    let (_folder, file) = config("[database]\nurl = \"sqlite://x.db\"\ndirect_url = \"postgres://u:p@h:0/d\"");
    let told = call(&file, &["config", "check"]);
    assert!(told.errors().contains(":3: database.direct_url: `0` is not a port"), "{}", told.errors());
    // It works, because the last @ counts. Other programs take the first one.
    let (_folder, file) = config("[database]\nurl = \"mysql://u:s@cret@h/d\"");
    let told = call(&file, &["config", "check"]);
    assert!(told.status.success(), "{}", told.errors());
    assert!(told.errors().contains("database.url: the password contains @") && !told.errors().contains("cret"));
}

#[test]
fn a_password_that_every_user_can_read_is_a_warning() {
    let warned = |text: &str, mode: u32| {
        let (_folder, file) = config(text);
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let told = call(&file, &["config", "check"]);
        assert!(told.status.success(), "{}", told.errors());
        told.errors().contains("database.url: every user of this machine can read this password: chmod o= ")
    };
    let with_password = "[database]\nurl = \"mysql://u:geheim@h/d\"";
    assert!(warned(with_password, 0o644));
    assert!(!warned(with_password, 0o640), "only its group reads it");
    assert!(!warned("[database]\nurl = \"mysql://u@h/d\"", 0o644), "it has none");
}

const HOST: &str = r#"
[task.user]
command = ["true"]
user = "no-such-user"
[task.group]
command = ["true"]
group = "no-such-group"
[task.dir]
command = ["./x"]
dir = "/no/such/dir"
[task.file]
command = ["/no/such/program"]
[task.plain]
command = ["/etc/passwd"]
[task.path]
command = ["no-such-program", "x"]
[task.found]
command = ["sh", "-c", "true"]
[task.elsewhere]
command = ["no-such-program"]
env = { PATH = "/no/such/bin" }
[module.it]
command = ["no-such-daemon"]
"#;

const FOUND: [&str; 8] = [
    ":5: task.user.user: there is no user `no-such-user` on this machine",
    ":8: task.group.group: there is no group `no-such-group` on this machine",
    ":11: task.dir.dir: there is no directory /no/such/dir",
    ":13: task.file.command: there is no file /no/such/program",
    ":15: task.plain.command: /etc/passwd is not executable",
    ":17: task.path.command: there is no program `no-such-program` in PATH=/usr/local/sbin:",
    ":21: task.elsewhere.command: there is no program `no-such-program` in PATH=/no/such/bin",
    ":24: module.it.command: there is no program `no-such-daemon` in PATH=",
];

#[test]
fn what_this_machine_lacks_is_a_warning() {
    let (_folder, file) = sound(HOST);
    let told = call(&file, &["config", "check"]);
    assert_eq!(told.status.code(), Some(0), "{}", told.errors());
    // The file begins with two more lines.
    for expected in FOUND {
        let (line, rest) = expected[1..].split_once(':').unwrap();
        let expected = format!("{}:{}:{rest}", file.display(), line.parse::<usize>().unwrap() + 1);
        assert!(told.errors().contains(&expected), "missing: {expected}\n{}", told.errors());
    }
    assert_eq!(told.errors().lines().count(), FOUND.len(), "{}", told.errors());
    assert!(told.text().ends_with("8 tasks, 1 queue; 8 warnings\n"), "{}", told.text());
    let strict = call(&file, &["config", "check", "--strict", "--json"]);
    assert_eq!(strict.status.code(), Some(78));
    let first = &strict.json()[0];
    assert_eq!((&first["severity"], &first["setting"]), (&"warning".into(), &"task.user.user".into()));
    // Commands that only look at the database do not repeat them.
    assert!(call(&file, &["db", "migrate"]).status.success());
    assert_eq!(call(&file, &["task", "list"]).errors(), "");
}

#[test]
fn many_alike_warnings_are_one() {
    let task = |number| format!("[task.t{number}]\ncommand = [\"true\"]\ndir = \"/no/such/dir\"\n");
    let checked = |count| {
        let (_folder, file) = sound(&(1..=count).map(task).collect::<String>());
        call(&file, &["config", "check"])
    };
    let many = checked(40);
    assert_eq!(many.errors().lines().count(), 1, "{}", many.errors());
    let expected = "task.t1.dir: there is no directory /no/such/dir; the same for 39 more settings\n";
    assert!(many.errors().ends_with(expected), "{}", many.errors());
    assert_eq!(checked(3).errors().lines().count(), 3);
}

#[test]
fn the_start_makes_the_same_checks() {
    let (folder, file) = sound("[task.it]\ncommand = [\"no-such-program\"]");
    let expected = "task.it.command: there is no program `no-such-program`";
    let once = call(&file, &["run", "--once"]);
    assert!(once.status.success() && once.errors().contains(expected), "{}", once.errors());
    let started = call(&file, &["start"]);
    let log = fs::read_to_string(folder.path().join("state/log/sexton.log")).unwrap();
    let stopped = call(&file, &["stop"]);
    assert!(started.status.success() && stopped.status.success(), "{}{}", started.errors(), stopped.errors());
    assert!(started.errors().contains(expected) && log.contains(expected), "{}{log}", started.errors());
}

#[test]
fn another_user_needs_root() {
    assert!(nix::unistd::Uid::effective().is_root(), "this test needs root: only root can become another user");
    let (folder, file) = sound("[task.it]\ncommand = [\"true\"]\nuser = \"root\"\ngroup = \"root\"");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(call(&file, &["config", "check"]).errors(), "");
    // The folder of the binary may be closed to others.
    let program = folder.path().join("sexton");
    fs::copy(env!("CARGO_BIN_EXE_sexton"), &program).unwrap();
    let mut command = std::process::Command::new(program);
    command.args(["config", "check", "--config"]).arg(&file).env_remove("SEXTON_CONFIG").uid(65_534).gid(65_534);
    let told = command.output().unwrap().errors();
    for whom in ["it.user: only a daemon that runs as root can become user `root`", "can become group `root`"] {
        assert!(told.contains(whom) && told.contains("and this process runs as `nobody`"), "{told}");
    }
}

#[test]
fn what_never_runs_is_told() {
    let (_folder, file) = sound(
        r#"
[queue.unused]
workers = 1
[queue.used]
workers = 1
[period.office]
ranges = { "monday - friday" = "09:00-17:00" }
[period.past]
ranges = { "2020-12-24" = "00:00-24:00" }
[period.leap]
ranges = { "february 29" = "00:00-24:00" }
[task.night]
kind = "noop"
queue = "used"
period = "office"
schedule = "0 3 * * *"
[task.over]
kind = "noop"
period = "past"
outside_period = "hold"
schedule = { every = "5m" }
[task.day]
kind = "noop"
period = "office"
schedule = "0 12 * * 1"
[task.leap]
kind = "noop"
period = "leap"
schedule = "0 12 * * *"
"#,
    );
    let told = call(&file, &["config", "check"]);
    let expected = [
        ("unused", "queue.unused: no task uses this queue: only tasks that are enqueued with its name run there"),
        ("night", "task.night.period: the schedule (0 3 * * *) never runs: no instant is inside period office"),
        ("over", "task.over.period: the schedule (every 5m) never runs: no instant is inside period past"),
    ];
    for (what, text) in expected {
        assert!(told.errors().contains(text), "{what}: {}", told.errors());
    }
    assert_eq!(told.errors().lines().count(), expected.len(), "{}", told.errors());
    // A registered handler uses the queue.
    let known = KnownNames { kinds: vec!["noop".to_owned()], modules: Vec::new(), ..KnownNames::default() };
    let source = Source { file: Some(file), ..Source::default() };
    let config = load(&source, &known).unwrap();
    let now = sexton::clock::machine_time();
    assert_eq!(advice(&source, &config, &["unused".into()], now).len(), expected.len() - 1);
}
