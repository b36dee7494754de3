//! Kind `command`: what it executes, and what the end of a command means.

pub mod answer;
pub mod capture;
pub mod lines;
pub mod script;
pub mod service;

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};
use sexton_entities::json_text::JsonText;

use self::{
    answer::Answer,
    capture::{CaptureLimits, Kept},
};
use super::{
    task::verdict::Wish,
    text::{
        clean::{one_line, shortened, telling_line},
        plural::counted,
    },
};

/// How much of a line of standard error an error quotes, in characters.
const MAX_QUOTE: usize = 300;

/// A program and its environment. It comes from the configuration only, never from the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandSpec {
    /// The program and its arguments. No shell is involved.
    pub argv: Vec<String>,
    /// Environment variables with their values.
    pub env: BTreeMap<String, String>,
    /// Names of the daemon's environment variables that are passed on. A `*` at the end matches any text.
    pub pass_env: Vec<String>,
    /// Environment variables with values from the payload, by JSON pointer.
    pub payload_env: BTreeMap<String, String>,
    /// The working directory; the one of the daemon if absent.
    pub dir: Option<PathBuf>,
    /// User, group, priority and resource limits. Attempt manifests of earlier versions call it `confines` as well.
    #[serde(rename = "confines")]
    pub limits: ResourceLimits,
    /// How many bytes of each output stream are kept.
    pub output: CaptureLimits,
    /// The exit codes that count as success.
    pub success_codes: Vec<i32>,
    /// Whether the command fails if it writes to standard error.
    pub fail_on_stderr: bool,
    /// Whether background processes of the command may live on.
    pub keep_background: bool,
    /// What happens to it when the daemon stops.
    pub on_daemon_stop: Option<OnDaemonStop>,
}

/// User, group, priority and resource limits of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceLimits {
    /// The user; the one of the daemon if absent.
    pub user: Option<String>,
    /// The group; the one of the user if absent.
    pub group: Option<String>,
    /// The file mode creation mask.
    pub umask: Option<u32>,
    /// The nice value, from -20 (first) to 19 (last).
    pub nice: Option<i32>,
    /// Memory in bytes: of the whole process tree if it has a control group, otherwise the address space of each
    /// process.
    pub memory: Option<u64>,
    /// CPU time of each process, in seconds.
    pub cpu: Option<u64>,
    /// Open files of each process.
    pub open_files: Option<u64>,
    /// Processes of the user.
    pub processes: Option<u64>,
    /// Size of each written file, in bytes.
    pub file_size: Option<u64>,
}

/// What happens to a running command when the daemon stops. If it is not configured, the command survives a crash, and
/// a stop waits for it as for any other task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDaemonStop {
    /// The command runs on, also when the daemon stops cleanly, and the next daemon adopts it.
    Keep,
    /// The command is stopped, also when the daemon crashes.
    Stop,
}

/// Why a command was stopped before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stopped {
    /// It had reached its time limit.
    TimedOut,
    /// Its task was cancelled.
    Cancelled,
    /// The node could not keep its lease.
    LeaseLost,
    /// Another node has the task.
    Superseded,
    /// The daemon was stopping.
    Interrupted,
}

/// The end of a command, as its shepherd saw it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CommandEnd {
    /// Why it could not be started, or could not be supervised to its end.
    pub failure: Option<String>,
    /// Whether it could not be started because this machine has no disk space, process, memory or descriptor for it.
    #[serde(default)]
    pub is_shortage: bool,
    /// The exit code.
    pub exit_code: Option<i32>,
    /// The signal that killed it, and the name of the signal.
    pub signal: Option<(i32, String)>,
    /// Whether it left a core dump.
    pub core_dumped: bool,
    /// Why it was stopped, if it was.
    pub stopped: Option<Stopped>,
    /// How long it took.
    pub took: Duration,
    /// Its resource usage.
    pub usage: Usage,
    /// The captured standard output.
    pub stdout: Kept,
    /// The captured standard error.
    pub stderr: Kept,
    /// What it answered.
    pub answer: Answer,
    /// The number of processes that it left behind and that were ended.
    #[serde(default)]
    pub left_behind: usize,
}

/// `1 process left behind was ended`, for people.
pub fn left_behind(count: u64) -> String {
    let verb = if count == 1 { "was" } else { "were" };
    format!("{} left behind {verb} ended", counted(count, "process"))
}

/// The resource usage of an attempt, without processes that outlived it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// CPU time in user mode, in milliseconds.
    pub user_ms: i64,
    /// CPU time in the kernel, in milliseconds.
    pub system_ms: i64,
    /// The largest resident memory of one of its processes, in bytes.
    pub peak_memory: i64,
    /// The length of both output streams together, in bytes.
    pub output_bytes: i64,
}

/// Why a command failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandFailure {
    /// The error, for people.
    pub error: String,
    /// What the command wants to happen next.
    pub wish: Wish,
    /// Whether a signal killed it that Sexton did not send.
    pub is_crash: bool,
}

impl CommandEnd {
    /// The end of a command that was not started, or whose result is lost.
    pub fn failed(why: impl Into<String>) -> Self {
        Self { failure: Some(why.into()), ..Self::default() }
    }

    /// Whether the work is done.
    ///
    /// # Errors
    /// If it is not, for any reason.
    pub fn judge(&self, spec: &CommandSpec) -> Result<(), CommandFailure> {
        let failed = |error: String| Err(CommandFailure { error, wish: Wish::Policy, is_crash: false });
        if let Some(why) = &self.failure {
            let wish = if self.is_shortage { Wish::GiveBack } else { Wish::Policy };
            return Err(CommandFailure { error: why.clone(), wish, is_crash: false });
        }
        if let Some(why) = &self.answer.discard {
            return Err(CommandFailure { error: why.clone(), wish: Wish::Discard, is_crash: false });
        }
        // What kills a command after its answer is no wish of it.
        if let Some(delay) = self.answer.retry_after.filter(|_| self.signal.is_none() || self.stopped.is_some()) {
            let error = format!("it asked to be tried again in {}", super::text::duration::text(delay));
            return Err(CommandFailure { error, wish: Wish::RetryAfter(delay), is_crash: false });
        }
        if let Some((_, name)) = &self.signal {
            let core = if self.core_dumped { ", core dumped" } else { "" };
            let is_crash = self.stopped.is_none();
            let error = self.quoting(format!("killed by {name}{core}"));
            return Err(CommandFailure { error, wish: Wish::Policy, is_crash });
        }
        match self.exit_code {
            Some(code) if !spec.success_codes.contains(&code) => failed(self.quoting(format!("exit code {code}"))),
            None => failed("it ended for an unknown reason".to_owned()),
            // To take it for done would lose the work.
            Some(_) if self.answer.has_bad_wish => {
                failed(format!("invalid answer of the command: {}", self.answer.problem.as_deref().unwrap_or_default()))
            }
            Some(_) if spec.fail_on_stderr && !self.stderr.text.trim().is_empty() => {
                let first = self.stderr.text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
                failed(format!("it wrote to standard error: {}", shortened(&one_line(first.trim()), MAX_QUOTE)))
            }
            Some(_) => Ok(()),
        }
    }

    /// The error with the line of standard error that says why. What it
    /// says while Sexton stops it is of no interest, unless it took too long.
    fn quoting(&self, error: String) -> String {
        if self.stopped.is_some_and(|why| why != Stopped::TimedOut) {
            return error;
        }
        // Behind the line that says how much was left out.
        let end = self.stderr.omission.and_then(|omission| self.stderr.text.get(omission.end..));
        match telling_line(end.unwrap_or(&self.stderr.text), MAX_QUOTE) {
            Some(line) => format!("{error}: {line}"),
            None => error,
        }
    }
}

impl CommandSpec {
    /// A program with the defaults of the configuration.
    pub fn new(argv: Vec<String>) -> Self {
        Self {
            argv,
            env: BTreeMap::new(),
            pass_env: Vec::new(),
            payload_env: BTreeMap::new(),
            dir: None,
            limits: ResourceLimits::default(),
            output: CaptureLimits { head: 32 * 1024, tail: 32 * 1024 },
            success_codes: vec![0],
            fail_on_stderr: false,
            keep_background: false,
            on_daemon_stop: None,
        }
    }

    /// Whether a variable of the daemon's environment is passed on. Sexton's own settings never are.
    pub fn passes_on(&self, name: &str) -> bool {
        let matches = |pattern: &String| match pattern.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == pattern,
        };
        let is_locale = matches!(name, "LANG" | "LANGUAGE" | "TZ") || name.starts_with("LC_");
        !name.starts_with("SEXTON_") && (is_locale || self.pass_env.iter().any(matches))
    }

    /// The daemon's variables that are passed on. Variables that are not UTF-8 are not.
    pub fn passed_on(&self, all: impl Iterator<Item = (OsString, OsString)>) -> Vec<(String, String)> {
        let texts = all.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        texts.filter(|(name, _)| self.passes_on(name)).collect()
    }

    /// The configured variables from a payload. A variable that the payload does not have is left out.
    pub fn from_payload(&self, payload: Option<&JsonText>) -> Vec<(String, String)> {
        let value = |pointer: &String| match payload?.pointer(pointer)?.get() {
            "null" => None,
            text if text.starts_with('"') => serde_json::from_str::<String>(text).ok(),
            other => Some(other.to_owned()),
        };
        let set = |(name, pointer): (&String, &String)| Some((name.clone(), value(pointer)?.replace('\0', "\u{fffd}")));
        self.payload_env.iter().filter_map(set).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec() -> CommandSpec {
        CommandSpec::new(vec!["true".to_owned()])
    }

    fn end(exit_code: i32) -> CommandEnd {
        CommandEnd { exit_code: Some(exit_code), ..CommandEnd::default() }
    }

    #[test]
    fn success_is_what_is_configured() {
        assert_eq!(end(0).judge(&spec()), Ok(()));
        assert_eq!(end(3).judge(&spec()).map_err(|failure| failure.error), Err("exit code 3".to_owned()));
        let generous = CommandSpec { success_codes: vec![0, 3], ..spec() };
        assert_eq!(end(3).judge(&generous), Ok(()));
        let mut noisy = end(0);
        noisy.stderr.text = "\nwarning: x\n".to_owned();
        assert_eq!(noisy.judge(&spec()), Ok(()), "standard error alone is no failure");
        let strict = CommandSpec { fail_on_stderr: true, ..spec() };
        assert!(noisy.judge(&strict).expect_err("strict").error.ends_with("warning: x"));
    }

    #[test]
    fn the_error_quotes_the_last_line_of_standard_error() {
        let mut php = end(255);
        php.stderr.text =
            "PHP Stack trace:\n\u{1b}[31mPHP Warning:  Undefined variable $x\u{7}\u{1b}[0m\n\n".to_owned();
        let error = |end: &CommandEnd| end.judge(&spec()).expect_err("it failed").error;
        assert_eq!(error(&php), "exit code 255: PHP Warning:  Undefined variable $x\\u{7}");
        let died = CommandEnd { exit_code: None, signal: Some((11, "SIGSEGV".to_owned())), ..php };
        assert_eq!(error(&died), "killed by SIGSEGV: PHP Warning:  Undefined variable $x\\u{7}");
        assert_eq!(error(&CommandEnd { stopped: Some(Stopped::Cancelled), ..died }), "killed by SIGSEGV");
        let text = "begin\n[… 7 bytes left out …]\n".to_owned();
        let omission = Some(capture::Omission { start: 6, end: text.len(), bytes: 7 });
        let no_tail = CommandEnd { stderr: Kept { text, omission, ..Kept::default() }, ..end(1) };
        assert_eq!(error(&no_tail), "exit code 1", "what was left out says nothing");
        let long = CommandEnd { stderr: Kept { text: "x".repeat(5_000), ..Kept::default() }, ..end(1) };
        assert_eq!(error(&long).chars().count(), "exit code 1: ".len() + MAX_QUOTE);
    }

    #[test]
    fn a_signal_is_a_crash_unless_sexton_sent_it() {
        let died = CommandEnd { signal: Some((11, "SIGSEGV".to_owned())), core_dumped: true, ..CommandEnd::default() };
        let failure = died.judge(&spec()).expect_err("it died");
        assert_eq!((failure.error.as_str(), failure.is_crash), ("killed by SIGSEGV, core dumped", true));
        let stopped = CommandEnd { stopped: Some(Stopped::TimedOut), ..died };
        assert!(!stopped.judge(&spec()).expect_err("it died").is_crash);
    }

    #[test]
    fn a_wish_that_cannot_be_read_is_no_success() {
        for line in [r#"{"retry_after": "5"}"#, r#"{"retry_after": -5}"#, r#"{"discard": 1}"#] {
            let mut asked = end(0);
            asked.answer.read(line.as_bytes());
            let failure = asked.judge(&spec()).expect_err("it wanted something else");
            assert!(failure.error.starts_with("invalid answer of the command: "), "{}", failure.error);
            assert_eq!(failure.wish, Wish::Policy);
            asked.answer.read(br#"{"retry_after": 5}"#);
            assert_eq!(asked.judge(&spec()).expect_err("it waits").wish, Wish::RetryAfter(Duration::from_secs(5)));
        }
        let mut other = end(0);
        other.answer.read(br#"{"progress": "x", "progess": 1}"#);
        assert_eq!(other.judge(&spec()), Ok(()), "the work is done");
    }

    #[test]
    fn a_command_that_crashes_after_it_has_asked_for_a_retry_has_failed() {
        let mut died = CommandEnd { signal: Some((11, "SIGSEGV".to_owned())), ..CommandEnd::default() };
        died.answer.read(br#"{"retry_after": 5}"#);
        let failure = died.judge(&spec()).expect_err("it died");
        assert!(failure.is_crash && failure.wish == Wish::Policy);
        let stopped = CommandEnd { stopped: Some(Stopped::TimedOut), ..died };
        assert_eq!(stopped.judge(&spec()).expect_err("it waits").wish, Wish::RetryAfter(Duration::from_secs(5)));
    }

    #[test]
    fn what_this_machine_could_not_start_is_given_back() {
        let failed = CommandEnd::failed("cannot start true: Resource temporarily unavailable");
        assert_eq!(failed.judge(&spec()).expect_err("not started").wish, Wish::Policy);
        let short = CommandEnd { is_shortage: true, ..failed };
        assert_eq!(short.judge(&spec()).expect_err("not started").wish, Wish::GiveBack);
    }

    #[test]
    fn the_answer_counts_before_the_exit_code() {
        let mut again = end(0);
        again.answer.retry_after = Some(Duration::from_secs(60));
        assert_eq!(again.judge(&spec()).expect_err("not done").wish, Wish::RetryAfter(Duration::from_secs(60)));
        again.answer.discard = Some("no such order".to_owned());
        assert_eq!(again.judge(&spec()).expect_err("not done").wish, Wish::Discard);
    }

    #[test]
    fn the_environment_has_only_what_is_configured() {
        let spec = CommandSpec { pass_env: vec!["PHP_*".to_owned(), "EDITOR".to_owned()], ..spec() };
        for (name, is_passed) in
            [("LC_ALL", true), ("TZ", true), ("PHP_INI", true), ("EDITOR", true), ("EDITORS", false), ("SECRET", false)]
        {
            assert_eq!(spec.passes_on(name), is_passed, "{name}");
        }
        let greedy = CommandSpec { pass_env: vec!["*".to_owned()], ..spec };
        assert!(greedy.passes_on("SECRET") && !greedy.passes_on("SEXTON__DATABASE__URL"));
    }

    #[test]
    fn variables_are_taken_from_the_payload() {
        let wanted = [("ORDER", "/order/id"), ("NAME", "/name"), ("GONE", "/gone")];
        let payload_env = wanted.map(|(name, pointer)| (name.to_owned(), pointer.to_owned())).into();
        let spec = CommandSpec { payload_env, ..spec() };
        let long = r#"{"order": {"id": 123456789012345678901234567890}}"#.parse().unwrap();
        assert!(spec.from_payload(Some(&long)).iter().any(|(_, value)| value == "123456789012345678901234567890"));
        let set = spec.from_payload(Some(&json!({"order": {"id": 7}, "name": "a b"}).into()));
        assert_eq!(set, [("NAME".to_owned(), "a b".to_owned()), ("ORDER".to_owned(), "7".to_owned())]);
    }
}
