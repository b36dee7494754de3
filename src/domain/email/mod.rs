//! Kind `email`: the mail of a task, and who may get it.

mod recipient;
mod templates;

use std::{path::PathBuf, time::Duration};

use serde_json::Value;

pub use self::{
    recipient::AllowedRecipient,
    templates::{MailText, TemplateSource, Templates},
};
use super::notice::channel::MailSettings;

/// The most recipients that a payload may name.
pub const MAX_RECIPIENTS: usize = 50;

/// A mail. Templates and recipients come from the configuration; a payload gives the values, and recipients among those that
/// are allowed.
#[derive(Clone, Debug, PartialEq)]
pub struct EmailSpec {
    /// The channel by which it is sent, a `[notify.NAME]` of kind `mail`.
    pub channel: String,
    /// The sender of that channel, and what takes its mail.
    pub settings: MailSettings,
    /// The time limit of one mail.
    pub timeout: Duration,
    /// The recipients that are always meant.
    pub to: Vec<String>,
    /// Where the payload names recipients, as a JSON pointer.
    pub to_from: Option<String>,
    /// Who may be named there.
    pub allow_to: Vec<AllowedRecipient>,
    /// The subject and the text.
    pub templates: Templates,
}

impl EmailSpec {
    /// The recipients that a payload names: a text or a list of texts.
    ///
    /// # Errors
    /// If it names nobody, too many, or one that is not allowed; for people.
    pub fn named_by(&self, payload: &Value) -> Result<Vec<String>, String> {
        let Some(pointer) = &self.to_from else { return Ok(Vec::new()) };
        let named = match payload.pointer(pointer) {
            Some(Value::String(address)) => vec![address.clone()],
            Some(Value::Array(list)) => list
                .iter()
                .map(|item| item.as_str().map(str::to_owned))
                .collect::<Option<Vec<String>>>()
                .ok_or_else(|| format!("the payload has another thing than addresses at {pointer}"))?,
            _ => return Err(format!("the payload names no recipient at {pointer}")),
        };
        if named.is_empty() || named.len() > MAX_RECIPIENTS {
            let count = named.len();
            return Err(format!(
                "the payload names {count} recipients at {pointer}: 1 to {MAX_RECIPIENTS} are possible"
            ));
        }
        match named.iter().position(|address| !self.allow_to.iter().any(|allowed| allowed.allows(address))) {
            Some(place) => Err(format!("recipient {} at {pointer} is not among those of `allow_to`", place + 1)),
            None => Ok(named),
        }
    }

    /// The files that it names.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.templates.sources().filter_map(|source| source.file.as_ref())
    }
}
