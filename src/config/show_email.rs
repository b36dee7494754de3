//! The mail of a task, as TOML.

use toml::Table;

use super::toml_values::table;
use crate::domain::email::EmailSpec;

/// The settings of kind `email`.
pub(super) fn mail(mail: &EmailSpec) -> Table {
    let mut shown = table([("channel", mail.channel.clone().into())]);
    if !mail.to.is_empty() {
        shown.insert("to".into(), mail.to.clone().into());
    }
    if let Some(pointer) = &mail.to_from {
        let allowed: Vec<String> = mail.allow_to.iter().map(|recipient| recipient.written()).collect();
        shown.extend(table([("to_from", pointer.clone().into()), ("allow_to", allowed.into())]));
    }
    for source in mail.templates.sources() {
        let (key, written) = match &source.file {
            Some(file) => (format!("{}_file", source.part), file.display().to_string()),
            None => (source.part.to_owned(), source.text.clone()),
        };
        shown.insert(key, written.into());
    }
    shown
}
