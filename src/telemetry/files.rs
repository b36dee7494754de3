//! The log in files: one with all events, one for each daemon module, and one for warnings and errors. Lines that cannot
//! be written are dropped and counted; the daemon continues.

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
use crate::domain::{daemon::log::LogFormat, text::plural::counted};

/// The file of all events.
const ALL: &str = "sexton";
/// The file of warnings and errors.
const ERRORS: &str = "error";
/// The file of the process supervisor, which writes it itself.
const SUPERVISOR: &str = "supervisor";
/// Prefix of a module's file if the name is not a valid or free file name.
const RENAMED_PREFIX: &str = "module-";
/// Number of modules with their own file. The events of further modules are in the file of all events only.
const MAX_MODULES: usize = 200;
/// Lost lines are reported on standard error at most once in this number of hours.
const WARNING_HOURS: i64 = 1;

/// A directory of log files.
pub(super) struct Files {
    plan: FilePlan,
    format: LogFormat,
    control: LogControl,
    files: BTreeMap<String, ModuleFile>,
    pruned: NaiveDate,
    warned_at: Option<DateTime<Utc>>,
}

/// A file, and the lines that could not be written to it.
struct ModuleFile {
    log: LogFile,
    lost: u64,
    why: String,
}

impl Files {
    pub(super) fn new(plan: FilePlan, format: LogFormat, control: LogControl) -> Self {
        // These two files are reserved, however many modules log before the first error.
        let files = [ALL, ERRORS].map(|stem| (stem.to_owned(), ModuleFile::new(&plan, stem))).into();
        Self { plan, format, control, files, pruned: NaiveDate::MIN, warned_at: None }
    }

    /// Writes an entry to its files.
    pub(super) fn write(&mut self, entry: &LogEntry) {
        let line = line(entry, self.format, Style::Plain);
        self.prune(entry.at.date_naive());
        for stem in stems(entry) {
            if !self.files.contains_key(&stem) {
                if self.files.len() >= MAX_MODULES + 2 {
                    continue;
                }
                let file = ModuleFile::new(&self.plan, &stem);
                file.log.prune(entry.at.date_naive());
                self.files.insert(stem.clone(), file);
            }
            let Some(file) = self.files.get_mut(&stem) else { continue };
            if let Err(error) = file.append(&line, entry.at, self.format) {
                let path = file.log.path();
                let path = path.display();
                self.control.count_lost_at(&error.to_string(), &path.to_string());
                if self.warned_at.is_none_or(|warned| entry.at - warned >= TimeDelta::hours(WARNING_HOURS)) {
                    let warning = format!(
                        "sexton: cannot write the log {path}: {error}; the daemon continues, and drops and counts lines until \
                         writing works again\n"
                    );
                    if stderr::print_if_ready(&warning) {
                        self.warned_at = Some(entry.at);
                    }
                }
            }
        }
    }

    /// Deletes old files once a day, including those of modules that log nothing.
    fn prune(&mut self, today: NaiveDate) {
        if self.pruned == today {
            return;
        }
        if self.pruned == NaiveDate::MIN
            && let Some(errors) = self.files.get_mut(ERRORS)
        {
            // Open the file of errors with the first line: after an error, opening may be impossible. If this fails, the
            // first error tries again.
            let _ = errors.log.open(today);
        }
        self.pruned = today;
        for file in self.files.values() {
            file.log.prune(today);
        }
    }
}

impl ModuleFile {
    fn new(plan: &FilePlan, stem: &str) -> Self {
        Self { log: LogFile::new(plan, stem), lost: 0, why: String::new() }
    }

    /// Adds a line. Lines that were lost before are reported first.
    fn append(&mut self, line: &str, at: DateTime<Utc>, format: LogFormat) -> io::Result<()> {
        let appended = match self.lost {
            0 => self.log.append(line, at.date_naive()),
            lost => {
                let message = format!("{} lost: {}", counted(lost, "line"), self.why);
                let warning = self::line(&LogEntry::own(Level::WARN, message, at), format, Style::Plain);
                self.log.append(&(warning + line), at.date_naive())
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

/// The files of an entry.
fn stems(entry: &LogEntry) -> Vec<String> {
    let mut stems = vec![ALL.to_owned()];
    if entry.level <= Level::WARN {
        stems.push(ERRORS.to_owned());
    }
    stems.extend(entry.module.as_deref().map(stem));
    stems
}

/// The file of a module. A name that is not a valid file name, or is taken by another log, is changed.
fn stem(module: &str) -> String {
    let allowed: String = module
        .chars()
        .take(80)
        .map(|letter| if letter.is_ascii_alphanumeric() || "-_.".contains(letter) { letter } else { '_' })
        .collect();
    match allowed.as_str() {
        "" | ALL | ERRORS | SUPERVISOR => format!("{RENAMED_PREFIX}{allowed}"),
        // A module cannot have the changed name of another one.
        name if name.starts_with(RENAMED_PREFIX) => format!("{RENAMED_PREFIX}{allowed}"),
        name if name.starts_with('.') => format!("module{allowed}"),
        _ => allowed,
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
        for number in 0..MAX_MODULES + 10 {
            files.write(&entry(Level::INFO, Some(&format!("m{number}")), "works"));
        }
        files.write(&entry(Level::ERROR, Some("last"), "failed"));
        assert_eq!(messages(&folder.path().join("error.log")), ["last: failed"]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), MAX_MODULES + 2);
    }

    #[test]
    fn lost_lines_are_counted_and_reported() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("log");
        // A file instead of the directory: writing fails, also for root.
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
        assert_eq!(all, [format!("4 lines lost: {why}").as_str(), "seen", "seen again"]);
        assert_eq!(messages(&dir.join("error.log")), [format!("1 line lost: {why}").as_str(), "seen"]);
    }
}
