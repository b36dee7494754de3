//! The log in files: everything, each daemon module by itself, and errors by themselves. What cannot be written is
//! dropped and counted; the work goes on.

use std::{collections::BTreeMap, io};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use tracing::Level;

use super::{
    control::LogControl,
    entry::LogEntry,
    line::{Style, line},
    plan::FilePlan,
    rotation::LogFile,
    stderr,
};
use crate::domain::daemon::log::LogFormat;

/// Everything.
const ALL: &str = "sexton";
/// What went wrong.
const ERRORS: &str = "error";
/// What the process supervisor did: it writes that itself, into the same folder.
const SUPERVISOR: &str = "supervisor";
/// What bent names begin with.
const BENT: &str = "module-";
/// So many modules have files of their own; the others are in the file with everything.
const MOST_MODULES: usize = 200;
/// Standard error is told this often that lines are lost.
const TOLD_HOURS: i64 = 1;

/// A folder of log files.
pub(super) struct Files {
    plan: FilePlan,
    format: LogFormat,
    control: LogControl,
    files: BTreeMap<String, ModuleFile>,
    pruned: NaiveDate,
    told: Option<DateTime<Utc>>,
}

/// A file, and what could not be written to it.
struct ModuleFile {
    file: LogFile,
    lost: u64,
    why: String,
}

impl Files {
    pub(super) fn new(plan: FilePlan, format: LogFormat, control: LogControl) -> Self {
        // These two have their places, however many modules come before the first thing that goes wrong.
        let files = [ALL, ERRORS].map(|stem| (stem.to_owned(), ModuleFile::new(&plan, stem))).into();
        Self { plan, format, control, files, pruned: NaiveDate::MIN, told: None }
    }

    /// Writes an event wherever it belongs.
    pub(super) fn write(&mut self, entry: &LogEntry) {
        let line = line(entry, self.format, Style::Plain);
        self.prune(entry.at.date_naive());
        for stem in stems(entry) {
            if !self.files.contains_key(&stem) {
                if self.files.len() >= MOST_MODULES + 2 {
                    continue;
                }
                let kept = ModuleFile::new(&self.plan, &stem);
                kept.file.prune(entry.at.date_naive());
                self.files.insert(stem.clone(), kept);
            }
            let Some(kept) = self.files.get_mut(&stem) else { continue };
            if let Err(error) = kept.append(&line, entry.at, self.format) {
                let path = kept.file.path();
                let path = path.display();
                self.control.count_lost_at(&error.to_string(), &path.to_string());
                if self.told.is_none_or(|told| entry.at - told >= TimeDelta::hours(TOLD_HOURS)) {
                    let told = format!(
                        "sexton: the log {path} cannot be written: {error}; the work goes on, and lines are dropped and \
                         counted until it can\n"
                    );
                    if stderr::print_if_ready(&told) {
                        self.told = Some(entry.at);
                    }
                }
            }
        }
    }

    /// Once a day, for all files: also those of modules that have nothing to say.
    fn prune(&mut self, today: NaiveDate) {
        if self.pruned == today {
            return;
        }
        if self.pruned == NaiveDate::MIN
            && let Some(errors) = self.files.get_mut(ERRORS)
        {
            // With the first line of all: when something goes wrong, it may be that nothing can be opened any more. If it
            // fails now, it is tried again when there is something to write.
            let _ = errors.file.open(today);
        }
        self.pruned = today;
        for kept in self.files.values() {
            kept.file.prune(today);
        }
    }
}

impl ModuleFile {
    fn new(plan: &FilePlan, stem: &str) -> Self {
        Self { file: LogFile::new(plan, stem), lost: 0, why: String::new() }
    }

    /// Adds a line, and before it what became of those that could not be written.
    fn append(&mut self, line: &str, at: DateTime<Utc>, format: LogFormat) -> io::Result<()> {
        let appended = match self.lost {
            0 => self.file.append(line, at.date_naive()),
            lost => {
                let message = format!("{lost} lines were lost: {}", self.why);
                let told = self::line(&LogEntry::own(Level::WARN, message, at), format, Style::Plain);
                self.file.append(&(told + line), at.date_naive())
            }
        };
        match &appended {
            Ok(()) => self.lost = 0,
            Err(error) => {
                self.lost += 1;
                self.why = error.to_string();
            }
        }
        appended
    }
}

/// The files that an event belongs into.
fn stems(entry: &LogEntry) -> Vec<String> {
    let mut stems = vec![ALL.to_owned()];
    if entry.level <= Level::WARN {
        stems.push(ERRORS.to_owned());
    }
    stems.extend(entry.module.as_deref().map(stem));
    stems
}

/// The file of a module. A name that cannot be a file's, or is that of another log, is bent.
fn stem(module: &str) -> String {
    let bent: String = module
        .chars()
        .take(80)
        .map(|letter| if letter.is_ascii_alphanumeric() || "-_.".contains(letter) { letter } else { '_' })
        .collect();
    match bent.as_str() {
        "" | ALL | ERRORS | SUPERVISOR => format!("{BENT}{bent}"),
        // Or else this one would be in the place of one that is bent.
        name if name.starts_with(BENT) => format!("{BENT}{bent}"),
        name if name.starts_with('.') => format!("module{bent}"),
        _ => bent,
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use chrono::TimeZone as _;

    use super::*;
    use crate::telemetry::Rotation;

    fn entry(level: Level, module: Option<&str>, message: &str) -> LogEntry {
        let at = Utc.with_ymd_and_hms(2026, 11, 21, 10, 0, 0).unwrap();
        LogEntry { module: module.map(str::to_owned), ..LogEntry::own(level, message.to_owned(), at) }
    }

    fn files(dir: &Path) -> Files {
        let plan = FilePlan { dir: dir.to_owned(), rotation: Rotation::Daily, days_to_keep: 7, keep_files: 10 };
        Files::new(plan, LogFormat::Text, LogControl::default())
    }

    fn messages(path: &Path) -> Vec<String> {
        let text = fs::read_to_string(path).unwrap();
        text.lines().map(|line| line.split_at(31).1.to_owned()).collect()
    }

    #[test]
    fn modules_and_errors_have_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = files(folder.path());
        files.write(&entry(Level::INFO, None, "up"));
        files.write(&entry(Level::INFO, Some("cron"), "due"));
        files.write(&entry(Level::WARN, Some("cron"), "late"));
        files.write(&entry(Level::ERROR, Some("error"), "a name like another"));
        let all = ["up", "cron: due", "cron: late", "error: a name like another"];
        assert_eq!(messages(&folder.path().join("sexton.log")), all);
        assert_eq!(messages(&folder.path().join("cron.log")), all[1..3]);
        assert_eq!(messages(&folder.path().join("error.log")), all[2..]);
        assert_eq!(messages(&folder.path().join("module-error.log")), all[3..]);
    }

    #[test]
    fn names_cannot_leave_the_folder() {
        assert_eq!(stem("../../etc/passwd"), "module.._.._etc_passwd");
        assert_eq!(stem("a/b c"), "a_b_c");
        assert_eq!(stem(""), "module-");
    }

    #[test]
    fn names_cannot_take_the_place_of_other_logs() {
        for name in ["sexton", "error", "supervisor", "module-error"] {
            assert_eq!(stem(name), format!("module-{name}"));
        }
    }

    #[test]
    fn errors_have_a_file_however_many_modules_there_are() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = files(folder.path());
        files.write(&entry(Level::INFO, None, "up"));
        assert!(folder.path().join("error.log").exists(), "it is open before anything can go wrong");
        for number in 0..MOST_MODULES + 10 {
            files.write(&entry(Level::INFO, Some(&format!("m{number}")), "works"));
        }
        files.write(&entry(Level::ERROR, Some("last"), "fell"));
        assert_eq!(messages(&folder.path().join("error.log")), ["last: fell"]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), MOST_MODULES + 2);
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_told() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("log");
        // A file where the folder should be: nobody can write there, not even root.
        fs::write(&dir, "").unwrap();
        let mut files = files(&dir);
        for _ in 0..3 {
            files.write(&entry(Level::INFO, None, "lost"));
        }
        files.write(&entry(Level::ERROR, None, "lost as well, twice"));
        let state = files.control.describe();
        assert_eq!(state.lost_lines, 5);
        let problem = format!("Not a directory (os error 20) ({})", dir.join("error.log").display());
        assert_eq!(state.last_problem, Some(problem));
        fs::remove_file(&dir).unwrap();
        files.write(&entry(Level::ERROR, None, "seen"));
        files.write(&entry(Level::INFO, None, "seen again"));
        let why = "Not a directory (os error 20)";
        let all = messages(&dir.join("sexton.log"));
        assert_eq!(all, [format!("4 lines were lost: {why}").as_str(), "seen", "seen again"]);
        assert_eq!(messages(&dir.join("error.log")), [format!("1 lines were lost: {why}").as_str(), "seen"]);
    }
}
