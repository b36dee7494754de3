//! Reading one table: settings are requested by name and type; a setting that was never requested is unknown.

use std::{collections::BTreeMap, ops::RangeInclusive, str::FromStr, time::Duration};

use bytesize::ByteSize;
use chrono_tz::Tz;

use super::{
    mistake::{Findings, SourceLocation},
    tree::{TreeNode, TreeTable, TreeValue},
};
use crate::domain::{
    schedule::zone,
    task::definition::check_name,
    text::{duration, json, suggest},
};

/// A table while it is read.
pub(super) struct Section<'a> {
    path: String,
    node: &'a TreeNode,
    requested: Vec<&'static str>,
    renamed: Vec<RenamedSetting>,
    pub(super) findings: &'a mut Findings,
}

/// A setting that had another name in earlier versions.
struct RenamedSetting {
    old: &'static str,
    new: &'static str,
    /// The table has the old name only: the setting is read from there.
    reads_old: bool,
}

impl<'a> Section<'a> {
    pub(super) fn new(path: &str, node: &'a TreeNode, findings: &'a mut Findings) -> Self {
        Self { path: path.to_owned(), node, requested: Vec::new(), renamed: Vec::new(), findings }
    }

    /// Declares the old name of a setting, before the setting is read by its new name. The old name still works, with a
    /// warning that names the new one; both names together are a mistake.
    pub(super) fn renamed(&mut self, old: &'static str, new: &'static str) {
        let has = |key: &str| self.entries().is_some_and(|table| table.contains_key(key));
        let (has_old, has_new) = (has(old), has(new));
        self.renamed.push(RenamedSetting { old, new, reads_old: has_old && !has_new });
        if has_old && has_new {
            self.refuse(old, format!("this is the old name of `{new}`, which is set as well: keep `{new}` only"));
        } else if has_old {
            let location = self.location(old).clone();
            let text = format!("[{}] {old} is now called {new}; the old name still works", self.path);
            self.findings.warn(&location, text);
        }
    }

    /// Adds a mistake in one setting of this table; with an empty key, in the table as a whole.
    pub(super) fn refuse(&mut self, key: &str, problem: impl Into<String>) {
        let location = self.location(key).clone();
        let setting = self.setting(self.written(key));
        self.findings.add(&location, setting, problem);
    }

    /// Adds a mistake in each of these settings that is present: the settings they depend on are missing.
    pub(super) fn refuse_each(&mut self, keys: &[&'static str], problem: &str) {
        for key in keys {
            if self.node(key).is_some() {
                self.refuse(key, problem);
            }
        }
    }

    /// A setting as it was written.
    pub(super) fn node(&mut self, key: &'static str) -> Option<&'a TreeNode> {
        if !self.requested.contains(&key) {
            self.requested.push(key);
        }
        self.entries()?.get(self.written(key))
    }

    /// The name under which the table has a setting: the old name where only that is present.
    fn written<'k>(&self, key: &'k str) -> &'k str {
        let renamed = self.renamed.iter().find(|renamed| renamed.new == key && renamed.reads_old);
        renamed.map_or(key, |renamed| renamed.old)
    }

    /// The location of a setting, or of the table if the setting is missing.
    fn location(&self, key: &str) -> &'a SourceLocation {
        let node = self.entries().and_then(|table| table.get(self.written(key)));
        node.map_or(&self.node.location, |node| &node.location)
    }

    /// The table as it was written.
    pub(super) fn whole(&self) -> &'a TreeNode {
        self.node
    }

    pub(super) fn text(&mut self, key: &'static str) -> Option<String> {
        self.value(key, "text", |item| match item {
            TreeValue::Text(text) => Some(text.clone()),
            _ => None,
        })
    }

    /// The text of a setting; none, without a mistake, if it is something else.
    pub(super) fn word(&mut self, key: &'static str) -> Option<&'a str> {
        match &self.node(key)?.item {
            TreeValue::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn flag(&mut self, key: &'static str) -> Option<bool> {
        self.value(key, "true or false", |item| match item {
            TreeValue::Flag(flag) => Some(*flag),
            _ => None,
        })
    }

    /// An integer within limits.
    pub(super) fn integer<T: TryFrom<i64>>(&mut self, key: &'static str, limits: RangeInclusive<i64>) -> Option<T> {
        let number = self.value(key, "an integer", |item| match item {
            TreeValue::Integer(number) => Some(*number),
            _ => None,
        })?;
        if !limits.contains(&number) {
            self.refuse(key, format!("{number} is out of range, expected {} to {}", limits.start(), limits.end()));
        }
        T::try_from(number).ok()
    }

    /// The number in a setting; `None`, without a mistake, if it has something else.
    pub(super) fn whole_number(&mut self, key: &'static str) -> Option<i64> {
        self.node(key).and_then(as_integer)
    }

    /// Integers within limits.
    pub(super) fn integers(&mut self, key: &'static str, limits: RangeInclusive<i64>) -> Option<Vec<i32>> {
        let numbers = self.value(key, "a list of integers", |item| match item {
            TreeValue::List(items) => items.iter().map(as_integer).collect::<Option<Vec<i64>>>(),
            _ => None,
        })?;
        if let Some(wrong) = numbers.iter().find(|number| !limits.contains(number)) {
            self.refuse(key, format!("{wrong} is out of range, expected {} to {}", limits.start(), limits.end()));
        }
        Some(numbers.into_iter().filter_map(|number| number.try_into().ok()).collect())
    }

    /// A number of bytes: an integer, or text such as `512MiB`.
    pub(super) fn bytes(&mut self, key: &'static str, limits: RangeInclusive<u64>) -> Option<u64> {
        let bytes = self.value(key, "a number of bytes, or text such as \"512MiB\"", |item| match item {
            TreeValue::Integer(number) => Some(u64::try_from(*number).map_err(|_| number.to_string())),
            TreeValue::Text(text) => Some(text.parse::<ByteSize>().map(|size| size.0).map_err(|_| text.clone())),
            _ => None,
        })?;
        match bytes {
            Ok(bytes) if limits.contains(&bytes) => return Some(bytes),
            Ok(bytes) => {
                let (least, most) = (ByteSize(*limits.start()), ByteSize(*limits.end()));
                self.refuse(key, format!("{} is out of range, expected {least} to {most}", ByteSize(bytes)));
            }
            Err(text) => {
                let problem = format!("`{text}` is not a size: write a number and a unit, such as 64KiB or 512MiB");
                self.refuse(key, problem);
            }
        }
        None
    }

    /// A fraction, from 0 to 1.
    pub(super) fn fraction(&mut self, key: &'static str) -> Option<f64> {
        let number = self.value(key, "a number", |item| match item {
            TreeValue::Float(number) => Some(*number),
            TreeValue::Integer(number) => Some(*number as f64),
            _ => None,
        })?;
        if !(0.0..=1.0).contains(&number) {
            self.refuse(key, format!("{number} is out of range, expected 0 to 1"));
        }
        Some(number)
    }

    /// A duration of at least `least`.
    pub(super) fn duration(&mut self, key: &'static str, least: Duration) -> Option<Duration> {
        let text = self.text(key)?;
        match duration::parse(&text) {
            Ok(length) if length >= least => Some(length),
            Ok(_) => {
                self.refuse(key, format!("{text} is too short: the minimum is {}", duration::text(least)));
                None
            }
            Err(problem) => {
                self.refuse(key, problem);
                None
            }
        }
    }

    /// A text with a syntax of its own.
    pub(super) fn parsed<T: FromStr<Err: std::fmt::Display>>(&mut self, key: &'static str) -> Option<T> {
        let text = self.text(key)?;
        text.parse().map_err(|error: T::Err| self.refuse(key, error.to_string())).ok()
    }

    /// A time zone by its name in the IANA database.
    pub(super) fn zone(&mut self, key: &'static str) -> Option<Tz> {
        let text = self.text(key)?;
        zone::named(&text).map_err(|problem| self.refuse(key, problem)).ok()
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&mut self, key: &'static str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?;
        let found = choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let words: Vec<String> = choices.iter().map(|(word, _)| format!("\"{word}\"")).collect();
            self.refuse(key, format!("`{text}` is not known, expected {}", words.join(" or ")));
        }
        found
    }

    pub(super) fn texts(&mut self, key: &'static str) -> Option<Vec<String>> {
        self.value(key, "a list of text", |item| match item {
            TreeValue::List(items) => items.iter().map(as_text).collect(),
            _ => None,
        })
    }

    pub(super) fn text_table(&mut self, key: &'static str) -> Option<BTreeMap<String, String>> {
        self.value(key, "a table of text", |item| match item {
            TreeValue::Table(table) => table.iter().map(|(key, node)| Some((key.clone(), as_text(node)?))).collect(),
            _ => None,
        })
    }

    /// Any value, as JSON that every database can store, of at most `max` bytes.
    pub(super) fn json(&mut self, key: &'static str, max: u64) -> Option<serde_json::Value> {
        let value = as_json(self.node(key)?);
        let text = value.to_string();
        if let Err(problem) = json::check(&text) {
            self.refuse(key, problem.to_string());
        }
        if text.len() as u64 > max {
            self.refuse(key, format!("it has {} bytes, and daemon.max_payload allows {max}", text.len()));
        }
        Some(value)
    }

    /// A table within this one.
    pub(super) fn table<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Section<'_>) -> T) -> Option<T> {
        let node = self.node(key)?;
        if !matches!(node.item, TreeValue::Table(_)) {
            self.refuse(key, format!("expected a table, found {}", node.item.kind()));
            return None;
        }
        let path = self.setting(key);
        let mut section = Section::new(&path, node, self.findings);
        let value = read(&mut section);
        section.finish();
        Some(value)
    }

    /// The names of named tables, which are read later.
    pub(super) fn names(&mut self, key: &'static str) -> Vec<String> {
        match self.node(key).map(|node| &node.item) {
            Some(TreeValue::Table(entries)) => entries.keys().cloned().collect(),
            _ => Vec::new(),
        }
    }

    /// A table of named tables: `[task.NAME]`.
    pub(super) fn tables<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&str, &mut Section<'_>) -> T,
    ) -> BTreeMap<String, T> {
        let Some(node) = self.node(key) else { return BTreeMap::new() };
        let TreeValue::Table(entries) = &node.item else {
            self.refuse(key, format!("expected tables [{key}.NAME], found {}", node.item.kind()));
            return BTreeMap::new();
        };
        let mut tables = BTreeMap::new();
        for (name, entry) in entries {
            let path = self.setting(&format!("{key}.{name}"));
            if !matches!(entry.item, TreeValue::Table(_)) {
                self.findings.add(
                    &entry.location,
                    path,
                    format!("expected a table [{key}.NAME], found {}", entry.item.kind()),
                );
                continue;
            }
            if let Err(problem) = check_name(name) {
                self.findings.add(&entry.location, &path, problem);
            }
            let mut section = Section::new(&path, entry, self.findings);
            tables.insert(name.clone(), read(name, &mut section));
            section.finish();
        }
        tables
    }

    /// Adds a mistake for every setting that was not requested.
    pub(super) fn finish(&mut self) {
        let Some(entries) = self.entries() else { return };
        let is_known =
            |key: &str| self.requested.contains(&key) || self.renamed.iter().any(|renamed| renamed.old == key);
        let unknown: Vec<_> = entries.iter().filter(|(key, _)| !is_known(key)).collect();
        for (key, node) in unknown {
            let hint = suggest::hint_or_list(key, self.requested.iter().copied());
            let setting = self.setting(key);
            self.findings.add(&node.location, setting, format!("there is no such setting{hint}"));
        }
    }

    fn value<T>(&mut self, key: &'static str, wanted: &str, get: impl FnOnce(&TreeValue) -> Option<T>) -> Option<T> {
        let node = self.node(key)?;
        let value = get(&node.item);
        if value.is_none() {
            let found = match &node.item {
                TreeValue::List(_) => "a list with other items",
                TreeValue::Table(_) => "a table with other values",
                other => other.kind(),
            };
            self.refuse(key, format!("expected {wanted}, found {found}"));
        }
        value
    }

    fn entries(&self) -> Option<&'a TreeTable> {
        match &self.node.item {
            TreeValue::Table(entries) => Some(entries),
            _ => None,
        }
    }

    /// The path of a setting in this table.
    pub(super) fn setting(&self, key: &str) -> String {
        match (self.path.as_str(), key) {
            ("", key) => key.to_owned(),
            (path, "") => path.to_owned(),
            (path, key) => format!("{path}.{key}"),
        }
    }
}

fn as_text(node: &TreeNode) -> Option<String> {
    match &node.item {
        TreeValue::Text(text) => Some(text.clone()),
        _ => None,
    }
}

fn as_integer(node: &TreeNode) -> Option<i64> {
    match &node.item {
        TreeValue::Integer(number) => Some(*number),
        _ => None,
    }
}

pub(super) fn as_json(node: &TreeNode) -> serde_json::Value {
    match &node.item {
        TreeValue::Text(text) => text.clone().into(),
        TreeValue::Integer(number) => (*number).into(),
        TreeValue::Float(number) => (*number).into(),
        TreeValue::Flag(flag) => (*flag).into(),
        TreeValue::List(items) => items.iter().map(as_json).collect(),
        TreeValue::Table(table) => table.iter().map(|(key, node)| (key.clone(), as_json(node))).collect(),
    }
}
