//! Settings as they were written, each with its location. Files and environment variables are merged here.

use std::{borrow::Cow, sync::Arc};

use indexmap::IndexMap;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::mistake::{Findings, SourceLocation};

/// A value and its location.
#[derive(Clone, Debug)]
pub(super) struct TreeNode {
    pub(super) item: TreeValue,
    pub(super) location: SourceLocation,
}

/// The types of TOML. A date is read as text.
#[derive(Clone, Debug)]
pub(super) enum TreeValue {
    Text(String),
    Integer(i64),
    Float(f64),
    Flag(bool),
    List(Vec<TreeNode>),
    Table(TreeTable),
}

/// The settings of a table, in the order of their names. A file has a table for each of thousands of schedules, with a
/// setting or two: a B-tree would have room for eleven in each.
pub(super) type TreeTable = IndexMap<String, TreeNode>;

impl TreeNode {
    pub(super) fn empty() -> Self {
        Self {
            item: TreeValue::Table(TreeTable::new()),
            location: SourceLocation { source: "the defaults".into(), line: None },
        }
    }

    /// Reads the text of a file. Syntax errors are mistakes; the rest of the text is read as far as possible.
    pub(super) fn parse(text: &str, source: &str, findings: &mut Findings) -> Self {
        let file = File::new(text, source);
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let location = file.location(error.span().map_or(0, |span| span.start));
            findings.add(&location, "", format!("invalid TOML: {}", error.message()));
        }
        Self { location: file.location(0), item: file.table(table.into_inner()) }
    }

    /// A value from the environment: TOML if it is valid TOML, text otherwise.
    pub(super) fn from_variable(name: &str, value: &str) -> Self {
        let file = File::new(value, name);
        let item = match DeValue::parse(value) {
            Ok(parsed) => file.item(parsed.into_inner()),
            Err(_) => TreeValue::Text(value.to_owned()),
        };
        Self { item, location: SourceLocation { source: format!("${name}").into(), line: None } }
    }

    /// The settings of a JSON object. What is null is not set.
    pub(super) fn from_json(value: &serde_json::Value, source: &str) -> Option<Self> {
        Self::of_json(value, &SourceLocation { source: source.into(), line: None })
    }

    fn of_json(value: &serde_json::Value, location: &SourceLocation) -> Option<Self> {
        use serde_json::Value;
        let node = |value: &Value| Self::of_json(value, location);
        let item = match value {
            Value::Null => return None,
            Value::Bool(flag) => TreeValue::Flag(*flag),
            Value::Number(number) => match number.as_i64() {
                Some(number) => TreeValue::Integer(number),
                None => TreeValue::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(text) => TreeValue::Text(text.clone()),
            Value::Array(items) => TreeValue::List(items.iter().filter_map(node).collect()),
            Value::Object(entries) => {
                let entry = |(key, value): (&String, &Value)| Some((key.clone(), node(value)?));
                TreeValue::table(entries.iter().filter_map(entry).collect())
            }
        };
        Some(Self { item, location: location.clone() })
    }

    /// Merges `other` into this: tables are joined, any other value is replaced.
    pub(super) fn overlay(&mut self, other: Self) {
        match (&mut self.item, other.item) {
            (TreeValue::Table(mine), TreeValue::Table(theirs)) => {
                for (key, node) in theirs {
                    match mine.get_mut(&key) {
                        Some(known) => known.overlay(node),
                        None => {
                            mine.insert_sorted(key, node);
                        }
                    }
                }
            }
            (_, item) => *self = Self { item, location: other.location },
        }
    }

    /// The value at the end of `path`.
    pub(super) fn find(&self, path: &[&str]) -> Option<&Self> {
        match (path, &self.item) {
            ([], _) => Some(self),
            ([first, rest @ ..], TreeValue::Table(entries)) => entries.get(*first)?.find(rest),
            _ => None,
        }
    }

    /// The location of the value at the end of `path`; if it is missing, of the innermost table that is there.
    pub(super) fn location_of(&self, path: &[&str]) -> &SourceLocation {
        let next = path.split_first().and_then(|(first, rest)| Some((self.find(&[first])?, rest)));
        next.map_or(&self.location, |(node, rest)| node.location_of(rest))
    }

    /// A tree with a single value, at the end of `path`.
    pub(super) fn at_path(path: &[String], leaf: Self) -> Self {
        path.iter().rev().fold(leaf, |node, key| Self {
            location: node.location.clone(),
            item: TreeValue::Table(TreeTable::from([(key.clone(), node)])),
        })
    }
}

impl TreeValue {
    /// A table, whose settings may be in any order.
    fn table(mut entries: TreeTable) -> Self {
        entries.sort_unstable_keys();
        entries.shrink_to_fit();
        Self::Table(entries)
    }

    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a number with a fraction",
            Self::Flag(_) => "true or false",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

/// The text of a file, for turning offsets into lines.
struct File {
    source: Arc<str>,
    /// The offset at which each line ends.
    ends: Vec<usize>,
}

impl File {
    fn new(text: &str, source: &str) -> Self {
        Self { source: source.into(), ends: text.match_indices('\n').map(|(offset, _)| offset).collect() }
    }

    fn location(&self, offset: usize) -> SourceLocation {
        let line = self.ends.partition_point(|end| *end < offset) + 1;
        SourceLocation { source: self.source.clone(), line: Some(line) }
    }

    fn node(&self, value: Spanned<DeValue<'_>>) -> TreeNode {
        let location = self.location(value.span().start);
        TreeNode { item: self.item(value.into_inner()), location }
    }

    /// What is read is given up at once: both trees of a large file would not be needed at the same time.
    fn table(&self, table: DeTable<'_>) -> TreeValue {
        let entry = |(key, value): (Spanned<Cow<'_, str>>, Spanned<DeValue<'_>>)| {
            let location = self.location(key.span().start);
            (key.into_inner().into_owned(), TreeNode { item: self.item(value.into_inner()), location })
        };
        TreeValue::table(table.into_iter().map(entry).collect())
    }

    fn item(&self, value: DeValue<'_>) -> TreeValue {
        match value {
            DeValue::String(text) => TreeValue::Text(text.into_owned()),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => TreeValue::Integer(number),
                Err(_) => TreeValue::Text(number.to_string()),
            },
            DeValue::Float(number) => match number.as_str().parse() {
                Ok(number) => TreeValue::Float(number),
                Err(_) => TreeValue::Text(number.to_string()),
            },
            DeValue::Boolean(flag) => TreeValue::Flag(flag),
            DeValue::Datetime(at) => TreeValue::Text(at.to_string()),
            DeValue::Array(items) => TreeValue::List(items.into_iter().map(|item| self.node(item)).collect()),
            DeValue::Table(table) => self.table(table),
        }
    }
}
