//! One log file: reopened or created whenever it is missing, rotated when it is due, old ones deleted.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use rustix::{
    fs::{CWD, RenameFlags},
    io::Errno,
};

use super::plan::FilePlan;
use crate::{domain::daemon::log::Rotation, files};

/// After this number of names that other processes have taken, the file is not rotated.
const MAX_TAKEN: u32 = 1_000;

/// A log file.
pub(super) struct LogFile {
    plan: FilePlan,
    stem: String,
    open: Option<File>,
    /// The day of the latest line.
    day: NaiveDate,
    /// Whether the latest line was cut off by a full disk or a crash.
    is_cut_off: bool,
    /// The latest rotated file: the day and the number in its name.
    latest: Option<(NaiveDate, u32)>,
}

impl LogFile {
    /// The file `STEM.log`, which is not opened yet.
    pub(super) fn new(plan: &FilePlan, stem: &str) -> Self {
        Self {
            plan: plan.clone(),
            stem: stem.to_owned(),
            open: None,
            day: NaiveDate::MIN,
            is_cut_off: false,
            latest: None,
        }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.plan.dir.join(format!("{}.log", self.stem))
    }

    /// Adds a line. Readers see the whole line, or none of it.
    pub(super) fn append(&mut self, line: &str, today: NaiveDate) -> io::Result<()> {
        let mut length = self.open(today)?;
        if length > 0 && self.is_due(length, line.len(), today) && self.rotate().is_ok() {
            length = self.open(today)?;
            if matches!(self.plan.rotation, Rotation::Size(_)) {
                self.prune(today);
            }
        }
        self.day = today;
        let Some(file) = &mut self.open else { return Ok(()) };
        // Ends a line that was cut off, so that this one begins a line.
        let text = if self.is_cut_off && length > 0 { format!("\n{line}") } else { line.to_owned() };
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            match file.write(rest) {
                Ok(0) => return Err(self.mark_cut_off(rest.len() < text.len(), io::ErrorKind::WriteZero.into())),
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.mark_cut_off(rest.len() < text.len(), error)),
            }
        }
        self.is_cut_off = false;
        Ok(())
    }

    fn mark_cut_off(&mut self, is_cut_off: bool, error: io::Error) -> io::Error {
        self.is_cut_off |= is_cut_off;
        error
    }

    /// Opens the file, also again if it was moved or deleted. Returns its length.
    pub(super) fn open(&mut self, today: NaiveDate) -> io::Result<u64> {
        let path = self.path();
        if let Some(file) = &self.open {
            if files::is_at(file, &path) {
                return Ok(file.metadata()?.len());
            }
            self.open = None;
        }
        let mut options = files::own_file();
        options.read(true).append(true).create(true).mode(0o640);
        let file = match options.open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                DirBuilder::new().recursive(true).mode(0o750).create(&self.plan.dir)?;
                options.open(&path)?
            }
            opened => opened.map_err(files::explained)?,
        };
        let metadata = file.metadata()?;
        (self.day, self.is_cut_off) = match metadata.len() {
            0 => (today, false),
            length => {
                let mut end = [0];
                let is_cut_off = file.read_at(&mut end, length - 1).is_ok_and(|count| count == 1 && end != *b"\n");
                (DateTime::<Utc>::from(metadata.modified()?).date_naive(), is_cut_off)
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

    /// Renames the file. No existing file is overwritten, not even one that another daemon has just created.
    fn rotate(&mut self) -> io::Result<()> {
        let path = self.path();
        let first = match self.latest {
            Some((day, number)) if day == self.day => number.saturating_add(1),
            // Continue the numbers of an earlier daemon.
            _ => {
                let numbers = self.rotated().into_iter().filter(|(day, ..)| *day == self.day);
                numbers.map(|(_, number, _)| number.saturating_add(1)).max().unwrap_or(0)
            }
        };
        for number in first..=first.saturating_add(MAX_TAKEN) {
            let ending = if number == 0 { String::new() } else { format!(".{number}") };
            let name = self.plan.dir.join(format!("{}-{}{ending}.log", self.stem, self.day));
            let moved = match rustix::fs::renameat_with(CWD, &path, CWD, &name, RenameFlags::NOREPLACE) {
                // Some file systems do not support NOREPLACE.
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

    /// Deletes rotated files after `days_to_keep`, and of files that are rotated by size all but the latest `keep_files`.
    /// Only names that this log gives to its files are deleted.
    pub(super) fn prune(&self, today: NaiveDate) {
        let mut rotated = self.rotated();
        rotated.sort_unstable_by(|one, other| other.cmp(one));
        let kept = match self.plan.rotation {
            Rotation::Daily => usize::MAX,
            Rotation::Size(_) => self.plan.keep_files as usize,
        };
        let oldest = TimeDelta::days(i64::from(self.plan.days_to_keep));
        for (position, (day, _, path)) in rotated.into_iter().enumerate() {
            if position >= kept || today - day > oldest {
                // A file that cannot be deleted now is tried again tomorrow.
                let _ = fs::remove_file(path);
            }
        }
    }

    /// The rotated files: the day and the number in the name, and the path.
    fn rotated(&self) -> Vec<(NaiveDate, u32, PathBuf)> {
        let Ok(entries) = fs::read_dir(&self.plan.dir) else { return Vec::new() };
        let named = |path: PathBuf| self.parse_name(&path).map(|(day, number)| (day, number, path));
        entries.flatten().filter_map(|entry| named(entry.path())).collect()
    }

    /// The day and the number in the name of a rotated file.
    fn parse_name(&self, path: &Path) -> Option<(NaiveDate, u32)> {
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
    fn a_line_that_was_cut_off_gets_its_end() {
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
    fn of_those_rotate_for_their_size_the_latest_are_kept() {
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
    fn a_missing_file_is_created_again() {
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
