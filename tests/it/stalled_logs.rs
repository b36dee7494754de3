//! A log without a reader, and one that hangs: the daemon continues, and stops cleanly.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::fd::OwnedFd,
    path::Path,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::{
        signal::{Signal, kill},
        stat::Mode,
    },
    unistd::{Pid, mkfifo},
};

use crate::{
    daemon::completed,
    support::{Database, Kind, block_on, eventually, sexton},
};

const TICKING: &str = "[task.tick]\nkind = \"noop\"\nschedule = { every = \"1s\" }";

/// A daemon that ends with the test.
struct Running(Child);

impl Running {
    fn start(file: &Path, arguments: &[&str], stderr: impl Into<Stdio>) -> Self {
        let mut command = sexton(file);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        Self(command.spawn().unwrap())
    }

    /// Stops the daemon, and returns how long that took.
    async fn stop(mut self) -> Duration {
        let begin = Instant::now();
        kill(Pid::from_raw(self.0.id() as i32), Signal::SIGTERM).unwrap();
        let mut status = None;
        eventually("it ends", async || {
            status = self.0.try_wait().unwrap();
            status.is_some()
        })
        .await;
        assert_eq!(status.unwrap().code(), Some(0));
        begin.elapsed()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Writes until the pipe is full.
fn fill(pipe: &mut File) {
    fcntl(&*pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    while pipe.write(b"x").is_ok() {}
    fcntl(&*pipe, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
}

fn full_pipe() -> (std::io::PipeReader, File) {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut writer = File::from(OwnedFd::from(writer));
    fill(&mut writer);
    (reader, writer)
}

#[test]
fn standard_error_has_no_reader() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let store = database.store().await;
        let (_reader, writer) = full_pipe();
        let daemon = Running::start(&database.config("n", TICKING), &["run", "--debug"], writer);
        eventually("tasks are done", async || completed(&store).await >= 3).await;
        let took = daemon.stop().await;
        assert!(took < Duration::from_secs(10), "it waited for its log: {took:?}");
    });
}

#[test]
fn commands_are_answered_while_the_log_is_stalled() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let (_reader, writer) = full_pipe();
        let mut failing = Running::start(&database.config("n", "[log]\nlevel = 7"), &["run"], writer);
        let mut status = None;
        eventually("it gives up", async || {
            status = failing.0.try_wait().unwrap();
            status.is_some()
        })
        .await;
        assert_eq!(status.unwrap().code(), Some(78));
    });
}

#[test]
fn a_log_file_hangs() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let store = database.store().await;
        let file = database.config("n", TICKING);
        let dir = database.folder.path().join("n/state/log");
        std::fs::create_dir_all(&dir).unwrap();
        // Writing blocks for ever, as on a file server that is gone.
        let path = dir.join("sexton.log");
        mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        let mut hung = File::options().read(true).write(true).open(&path).unwrap();
        fill(&mut hung);
        let daemon = Running::start(&file, &["run", "--log-files", "--debug"], Stdio::null());
        eventually("tasks are done", async || completed(&store).await >= 3).await;
        let took = daemon.stop().await;
        assert!(took < Duration::from_secs(10), "it waited for its log: {took:?}");
    });
}

#[test]
fn queued_lines_are_written_when_a_reader_returns() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let store = database.store().await;
        let (mut reader, writer) = full_pipe();
        let daemon = Running::start(&database.config("n", TICKING), &["run", "--debug"], writer);
        eventually("tasks are done", async || completed(&store).await >= 2).await;
        let reading = std::thread::spawn(move || {
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            text
        });
        daemon.stop().await;
        let text = reading.join().unwrap();
        let places = [" runs on ", "cron: tick is due", " has stopped"].map(|told| text.find(told));
        assert!(
            places.iter().all(Option::is_some) && places.is_sorted(),
            "{places:?}: {}",
            text.trim_start_matches('x')
        );
    });
}
