//! The log in files: everything, each daemon module by itself, and errors by themselves. What cannot be written is
//! dropped and counted; the work goes on.

use std::{
    collections::BTreeMap,
    io,
    sync::{Mutex, PoisonError},
};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use tracing::Level;

use super::{
    FilePlan, Format, LogControl,
    entry::Entry,
    line::{Style, line},
    output::say,
    rotation::LogFile,
};

/// Everything.
const ALL: &str = "sexton";
/// What went wrong.
const ERRORS: &str = "error";
/// So many modules have files of their own; the others are in the file with everything.
const MOST_MODULES: usize = 200;
/// Standard error is told this often that lines are lost.
const TOLD_HOURS: i64 = 1;

/// A folder of log files.
pub(super) struct Files {
    plan: FilePlan,
    format: Format,
    control: LogControl,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    files: BTreeMap<String, Kept>,
    pruned: NaiveDate,
    told: Option<DateTime<Utc>>,
}

/// A file, and what could not be written to it.
struct Kept {
    file: LogFile,
    lost: u64,
    why: String,
}

impl Files {
    pub(super) fn new(plan: FilePlan, format: Format, control: LogControl) -> Self {
        Self { plan, format, control, open: Mutex::new(Open::default()) }
    }

    /// Writes an event wherever it belongs.
    pub(super) fn write(&self, entry: &Entry) {
        let line = line(entry, self.format, Style::Plain);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        for stem in stems(entry) {
            let open = &mut *open;
            if !open.files.contains_key(&stem) {
                if open.files.len() >= MOST_MODULES + 2 {
                    continue;
                }
                let file = LogFile::new(&self.plan, &stem);
                file.prune(self.plan.days_to_keep, entry.at.date_naive());
                open.files.insert(stem.clone(), Kept { file, lost: 0, why: String::new() });
            }
            let Some(kept) = open.files.get_mut(&stem) else { continue };
            if let Err(error) = kept.append(&line, entry.at, self.format) {
                self.control.count_lost();
                if open.told.is_none_or(|told| entry.at - told >= TimeDelta::hours(TOLD_HOURS)) {
                    open.told = Some(entry.at);
                    let path = kept.file.path();
                    say(&format!(
                        "sexton: the log {} cannot be written: {error}; the work goes on, and lines are dropped and \
                         counted until it can\n",
                        path.display()
                    ));
                }
            }
        }
        open.prune(self.plan.days_to_keep, entry.at.date_naive());
    }
}

impl Open {
    /// Once a day, for all files: also those of modules that have nothing to say.
    fn prune(&mut self, days_to_keep: u32, today: NaiveDate) {
        if self.pruned != today {
            self.pruned = today;
            for kept in self.files.values() {
                kept.file.prune(days_to_keep, today);
            }
        }
    }
}

impl Kept {
    /// Adds a line, and before it what became of those that could not be written.
    fn append(&mut self, line: &str, at: DateTime<Utc>, format: Format) -> io::Result<()> {
        let appended = match self.lost {
            0 => self.file.append(line, at.date_naive()),
            lost => {
                let message = format!("{lost} lines were lost: {}", self.why);
                let told = self::line(&Entry::own(Level::WARN, message, at), format, Style::Plain);
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
fn stems(entry: &Entry) -> Vec<String> {
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
        "" | ALL | ERRORS => format!("module-{bent}"),
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

    fn entry(level: Level, module: Option<&str>, message: &str) -> Entry {
        let at = Utc.with_ymd_and_hms(2026, 11, 21, 10, 0, 0).unwrap();
        Entry { module: module.map(str::to_owned), ..Entry::own(level, message.to_owned(), at) }
    }

    fn files(dir: &Path) -> Files {
        let plan = FilePlan { dir: dir.to_owned(), rotation: Rotation::Daily, days_to_keep: 7 };
        Files::new(plan, Format::Text, LogControl::default())
    }

    fn messages(path: &Path) -> Vec<String> {
        let text = fs::read_to_string(path).unwrap();
        text.lines().map(|line| line.split_at(31).1.to_owned()).collect()
    }

    #[test]
    fn modules_and_errors_have_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
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
    fn what_cannot_be_written_is_counted_and_told() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("log");
        // A file where the folder should be: nobody can write there, not even root.
        fs::write(&dir, "").unwrap();
        let files = files(&dir);
        for _ in 0..3 {
            files.write(&entry(Level::INFO, None, "lost"));
        }
        files.write(&entry(Level::ERROR, None, "lost as well, twice"));
        assert_eq!(files.control.describe().lost_lines, 5);
        fs::remove_file(&dir).unwrap();
        files.write(&entry(Level::ERROR, None, "seen"));
        files.write(&entry(Level::INFO, None, "seen again"));
        let why = "Not a directory (os error 20)";
        let all = messages(&dir.join("sexton.log"));
        assert_eq!(all, [format!("4 lines were lost: {why}").as_str(), "seen", "seen again"]);
        assert_eq!(messages(&dir.join("error.log")), [format!("1 lines were lost: {why}").as_str(), "seen"]);
    }
}
