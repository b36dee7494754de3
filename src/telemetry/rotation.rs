//! One log file: found again or made anew whenever it is gone, put aside when its time has come, old ones deleted.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use rustix::{
    fs::{CWD, RenameFlags},
    io::Errno,
};

use super::plan::FilePlan;
use crate::domain::daemon::log::Rotation;

/// So many names that others have taken meanwhile are passed over; after that, the file grows on.
const MOST_TAKEN: u32 = 1_000;

/// A log file.
pub(super) struct LogFile {
    plan: FilePlan,
    stem: String,
    open: Option<File>,
    /// The day of its latest line.
    day: NaiveDate,
    /// Whether its latest line was cut off, by a full disk or a crash.
    is_torn: bool,
    /// The latest that was put aside: the day and the number in its name.
    latest: Option<(NaiveDate, u32)>,
}

impl LogFile {
    /// `STEM.log`. Nothing is opened yet.
    pub(super) fn new(plan: &FilePlan, stem: &str) -> Self {
        Self {
            plan: plan.clone(),
            stem: stem.to_owned(),
            open: None,
            day: NaiveDate::MIN,
            is_torn: false,
            latest: None,
        }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.plan.dir.join(format!("{}.log", self.stem))
    }

    /// Adds a line, whole or not at all as far as a reader can see.
    pub(super) fn append(&mut self, line: &str, today: NaiveDate) -> io::Result<()> {
        let mut length = self.open(today)?;
        if length > 0 && self.is_due(length, line.len(), today) && self.put_aside().is_ok() {
            length = self.open(today)?;
            if matches!(self.plan.rotation, Rotation::Size(_)) {
                self.prune(today);
            }
        }
        self.day = today;
        let Some(file) = &mut self.open else { return Ok(()) };
        // What was cut off before gets its end now, so that this line stands alone.
        let text = if self.is_torn && length > 0 { format!("\n{line}") } else { line.to_owned() };
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            match file.write(rest) {
                Ok(0) => return Err(self.torn(rest.len() < text.len(), io::ErrorKind::WriteZero.into())),
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.torn(rest.len() < text.len(), error)),
            }
        }
        self.is_torn = false;
        Ok(())
    }

    fn torn(&mut self, is_torn: bool, error: io::Error) -> io::Error {
        self.is_torn |= is_torn;
        error
    }

    /// Sees to it that the open file is the one that bears the name: it may have been moved, or deleted with its folder.
    /// Gives its length.
    pub(super) fn open(&mut self, today: NaiveDate) -> io::Result<u64> {
        let path = self.path();
        if let Some(file) = &self.open {
            let named = fs::metadata(&path);
            let mine = file.metadata()?;
            if named.is_ok_and(|named| (named.dev(), named.ino()) == (mine.dev(), mine.ino())) {
                return Ok(mine.len());
            }
            self.open = None;
        }
        let mut options = File::options();
        options.read(true).append(true).create(true).mode(0o640);
        let file = match options.open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                DirBuilder::new().recursive(true).mode(0o750).create(&self.plan.dir)?;
                options.open(&path)?
            }
            opened => opened?,
        };
        let metadata = file.metadata()?;
        (self.day, self.is_torn) = match metadata.len() {
            0 => (today, false),
            length => {
                let mut end = [0];
                let is_torn = file.read_at(&mut end, length - 1).is_ok_and(|count| count == 1 && end != *b"\n");
                (DateTime::<Utc>::from(metadata.modified()?).date_naive(), is_torn)
            }
        };
        self.open = Some(file);
        Ok(metadata.len())
    }

    fn is_due(&self, length: u64, more: usize, today: NaiveDate) -> bool {
        match self.plan.rotation {
            Rotation::Daily => self.day < today,
            Rotation::Size(most) => length + more as u64 > most,
        }
    }

    /// Gives the file its final name. Nothing that bears the name already is overwritten, also not what another daemon
    /// put there a moment ago.
    fn put_aside(&mut self) -> io::Result<()> {
        let path = self.path();
        let first = match self.latest {
            Some((day, number)) if day == self.day => number.saturating_add(1),
            // Where an earlier daemon has left off.
            _ => {
                let numbers = self.aside().into_iter().filter(|(day, ..)| *day == self.day);
                numbers.map(|(_, number, _)| number.saturating_add(1)).max().unwrap_or(0)
            }
        };
        for number in first..=first.saturating_add(MOST_TAKEN) {
            let ending = if number == 0 { String::new() } else { format!(".{number}") };
            let name = self.plan.dir.join(format!("{}-{}{ending}.log", self.stem, self.day));
            let moved = match rustix::fs::renameat_with(CWD, &path, CWD, &name, RenameFlags::NOREPLACE) {
                // Some file systems cannot promise that.
                Err(Errno::INVAL | Errno::NOSYS) if !name.exists() => fs::rename(&path, &name),
                Err(Errno::EXIST | Errno::INVAL | Errno::NOSYS) => continue,
                moved => moved.map_err(io::Error::from),
            };
            if moved.is_ok() {
                self.latest = Some((self.day, number));
            }
            return moved;
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Deletes what was put aside more than so many days ago, and of what was put aside for its size all but the latest.
    /// Only names that this file gives are touched.
    pub(super) fn prune(&self, today: NaiveDate) {
        let mut aside = self.aside();
        aside.sort_unstable_by(|one, other| other.cmp(one));
        let kept = match self.plan.rotation {
            Rotation::Daily => usize::MAX,
            Rotation::Size(_) => self.plan.keep_files as usize,
        };
        let oldest = TimeDelta::days(i64::from(self.plan.days_to_keep));
        for (place, (day, _, path)) in aside.into_iter().enumerate() {
            if place >= kept || today - day > oldest {
                // What cannot be deleted now will be tried again tomorrow.
                let _ = fs::remove_file(path);
            }
        }
    }

    /// What was put aside: the day and the number in its name, and where it is.
    fn aside(&self) -> Vec<(NaiveDate, u32, PathBuf)> {
        let Ok(entries) = fs::read_dir(&self.plan.dir) else { return Vec::new() };
        let named = |path: PathBuf| self.meaning(&path).map(|(day, number)| (day, number, path));
        entries.flatten().filter_map(|entry| named(entry.path())).collect()
    }

    /// The day and the number in the name of a file that was put aside.
    fn meaning(&self, path: &Path) -> Option<(NaiveDate, u32)> {
        let name = path.file_name()?.to_str()?;
        let rest = name.strip_prefix(&self.stem)?.strip_prefix('-')?.strip_suffix(".log")?;
        let (day, number) = rest.split_at_checked(10)?;
        let number = match number {
            "" => 0,
            number => number.strip_prefix('.')?.parse().ok()?,
        };
        Some((day.parse().ok()?, number))
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, os::unix::fs::PermissionsExt as _};

    use super::*;

    fn file(dir: &Path, rotation: Rotation) -> LogFile {
        LogFile::new(&FilePlan { dir: dir.to_owned(), rotation, days_to_keep: 7, keep_files: 3 }, "sexton")
    }

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn found(dir: &Path) -> BTreeMap<String, String> {
        let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
        entries
            .map(|entry| (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap()))
            .collect()
    }

    fn named<const N: usize>(files: [(&str, &str); N]) -> BTreeMap<String, String> {
        files.map(|(name, text)| (name.to_owned(), text.to_owned())).into()
    }

    #[test]
    fn each_day_has_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("a/b");
        let mut log = file(&dir, Rotation::Daily);
        log.append("one\n", day("2026-11-21")).unwrap();
        log.append("two\n", day("2026-11-21")).unwrap();
        log.append("three\n", day("2026-11-22")).unwrap();
        log.append("a clock set back\n", day("2026-11-21")).unwrap();
        assert_eq!(
            found(&dir),
            named([("sexton-2026-11-21.log", "one\ntwo\n"), ("sexton.log", "three\na clock set back\n")])
        );
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&dir) & !0o750, 0);
        assert_eq!(mode(&log.path()) & !0o640, 0);
    }

    #[test]
    fn the_next_process_knows_the_day_of_what_it_finds() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("sexton.log"), "old\n").unwrap();
        let written = DateTime::parse_from_rfc3339("2026-11-19T23:59:00Z").unwrap();
        let old = File::options().append(true).open(folder.path().join("sexton.log")).unwrap();
        old.set_modified(written.into()).unwrap();
        file(folder.path(), Rotation::Daily).append("new\n", day("2026-11-21")).unwrap();
        assert_eq!(found(folder.path()), named([("sexton-2026-11-19.log", "old\n"), ("sexton.log", "new\n")]));
    }

    #[test]
    fn a_line_that_was_cut_off_stands_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("sexton.log"), "whole\nha").unwrap();
        let mut log = file(folder.path(), Rotation::Size(100));
        log.append("next\n", day("2026-11-21")).unwrap();
        log.append("last\n", day("2026-11-21")).unwrap();
        assert_eq!(found(folder.path()), named([("sexton.log", "whole\nha\nnext\nlast\n")]));
    }

    #[test]
    fn sizes_are_kept_and_nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = file(folder.path(), Rotation::Size(10));
        for line in ["12345\n", "678\n", "90\n", "a line that is longer than all\n", "z\n"] {
            log.append(line, day("2026-11-21")).unwrap();
        }
        assert_eq!(
            found(folder.path()),
            named([
                ("sexton-2026-11-21.log", "12345\n678\n"),
                ("sexton-2026-11-21.1.log", "90\n"),
                ("sexton-2026-11-21.2.log", "a line that is longer than all\n"),
                ("sexton.log", "z\n"),
            ])
        );
    }

    #[test]
    fn of_those_put_aside_for_their_size_the_latest_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["sexton-2026-11-20.log", "sexton-2026-11-21.7.log", "cron-2026-11-20.log"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let mut log = file(folder.path(), Rotation::Size(4));
        for line in ["a\nb\n", "c\nd\n", "e\nf\n"] {
            log.append(line, day("2026-11-21")).unwrap();
        }
        let expected = [
            ("cron-2026-11-20.log", ""),
            ("sexton-2026-11-21.7.log", ""),
            ("sexton-2026-11-21.8.log", "a\nb\n"),
            ("sexton-2026-11-21.9.log", "c\nd\n"),
            ("sexton.log", "e\nf\n"),
        ];
        assert_eq!(found(folder.path()), named(expected));
        for line in ["g\nh\n", "i\nj\n"] {
            log.append(line, day("2026-11-22")).unwrap();
        }
        let left: Vec<String> = found(folder.path()).into_keys().collect();
        let latest = ["sexton-2026-11-21.10.log", "sexton-2026-11-21.9.log", "sexton-2026-11-22.log"];
        assert_eq!(left, [&["cron-2026-11-20.log"], &latest[..], &["sexton.log"]].concat());
    }

    #[test]
    fn only_own_old_files_are_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let names = [
            "sexton-2026-11-13.log",
            "sexton-2026-11-13.2.log",
            "sexton-2026-11-14.log",
            "sexton-2026-11-13.log.gz",
            "sexton-2026-11-13.x.log",
            "sexton-x-2026-11-13.log",
            "sexton-2026-13-13.log",
            "other-2026-11-13.log",
        ];
        for name in names {
            fs::write(folder.path().join(name), "").unwrap();
        }
        file(folder.path(), Rotation::Daily).prune(day("2026-11-21"));
        let left: Vec<String> = found(folder.path()).into_keys().collect();
        let mut expected = names[2..].to_vec();
        expected.sort_unstable();
        assert_eq!(left, expected);
    }

    #[test]
    fn a_file_that_is_gone_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("log");
        let mut log = file(&dir, Rotation::Daily);
        log.append("one\n", day("2026-11-21")).unwrap();
        fs::remove_dir_all(&dir).unwrap();
        log.append("two\n", day("2026-11-21")).unwrap();
        assert_eq!(found(&dir), named([("sexton.log", "two\n")]));
        fs::rename(log.path(), dir.join("moved")).unwrap();
        log.append("three\n", day("2026-11-21")).unwrap();
        assert_eq!(found(&dir), named([("moved", "two\n"), ("sexton.log", "three\n")]));
    }
}
