//! A row of the application's database as JSON, by the types of its columns.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::value::RawValue;
use sexton_entities::json_text::JsonText;

/// A row that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct SelectedRow {
    /// The value of the column that identifies it; absent if that is neither a text nor a number.
    pub key: Option<String>,
    /// Its columns as an object, or why they cannot be written as JSON.
    pub columns: Result<JsonText, String>,
}

/// The value of a column.
#[derive(Clone, Debug, PartialEq)]
pub enum ColumnValue {
    /// NULL.
    Null,
    /// True or false.
    Flag(bool),
    /// An integer, by its digits.
    Integer(String),
    /// A number that is not exact.
    Float(f64),
    /// A text. Decimal numbers, dates and times are texts.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A value that is JSON in the database.
    Json(String),
}

impl ColumnValue {
    /// Its JSON text.
    fn json(&self) -> Result<String, String> {
        let text = |text: &str| serde_json::Value::from(text).to_string();
        Ok(match self {
            Self::Null => "null".to_owned(),
            Self::Flag(flag) => flag.to_string(),
            Self::Integer(digits) => digits.clone(),
            Self::Float(number) => match serde_json::Number::from_f64(*number) {
                Some(number) => number.to_string(),
                // JSON has neither infinity nor what is no number.
                None => text(&number.to_string()),
            },
            Self::Text(value) => text(value),
            Self::Bytes(bytes) => text(&STANDARD.encode(bytes)),
            Self::Json(json) => {
                serde_json::from_str::<&RawValue>(json).map_err(|error| format!("it is not JSON: {error}"))?;
                json.clone()
            }
        })
    }

    /// The same as a key; absent if it cannot be one.
    fn key(&self) -> Option<String> {
        match self {
            Self::Integer(digits) => Some(digits.clone()),
            Self::Text(text) => Some(text.clone()),
            Self::Flag(flag) => Some(flag.to_string()),
            _ => None,
        }
    }
}

impl SelectedRow {
    /// The row of these columns. A column that cannot be read has a reason in place of a value.
    pub fn new(key: &str, columns: &[(&str, Result<ColumnValue, String>)]) -> Self {
        let mut text = "{".to_owned();
        let mut problem = None;
        for (name, value) in columns {
            let json = value.as_ref().map_err(Clone::clone).and_then(ColumnValue::json);
            match json {
                Ok(json) => {
                    let comma = if text.len() > 1 { "," } else { "" };
                    text.push_str(&format!("{comma}{}:{json}", serde_json::Value::from(*name)));
                }
                Err(why) => problem = problem.or(Some(format!("column `{name}`: {why}"))),
            }
        }
        text.push('}');
        let identity = columns.iter().find(|(name, _)| *name == key);
        let key = identity.and_then(|(_, value)| value.as_ref().ok()?.key());
        let read = || text.parse::<JsonText>().map_err(|error| error.to_string());
        Self { key, columns: problem.map_or_else(read, Err) }
    }

    /// Its size, in bytes.
    pub fn bytes(&self) -> usize {
        self.columns.as_ref().map_or(0, |columns| columns.get().len())
    }
}
