//! The settings of `[task.NAME]` that belong to kind `email`.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use lettre::message::Mailbox;

use super::{beside::beside, section::Section};
use crate::domain::{
    email::{AllowedRecipient, EmailSpec, TemplateSource, Templates},
    notice::channel::{Channel, MailSettings, Means},
    task::definition::EMAIL,
    text::suggest,
};

/// The settings of this kind.
const OF_EMAIL: [&str; 9] =
    ["channel", "to", "to_from", "allow_to", "subject", "text", "text_file", "html", "html_file"];
/// The longest template, in bytes.
const MAX_TEMPLATE: usize = 256 * 1024;

/// The channels that were read, by name; none for one with mistakes.
pub(super) type Channels = BTreeMap<String, Option<Channel>>;

/// Reads the mail of a task; none if it is of another kind, or not usable, which is a mistake.
pub(super) fn read(section: &mut Section<'_>, kind: &str, channels: &Channels) -> Option<EmailSpec> {
    if kind != EMAIL {
        section.refuse_each(&OF_EMAIL, "this setting is one of kind \"email\"");
        return None;
    }
    let channel = channel(section, channels);
    let to = section.texts("to").unwrap_or_default();
    for text in &to {
        if let Err(error) = text.parse::<Mailbox>() {
            let problem = format!("`{text}` is not a mail address such as \"Shop <shop@example.org>\": {error}");
            section.refuse("to", problem);
        }
    }
    let to_from = section.text("to_from");
    if let Some(pointer) = to_from.as_ref().filter(|pointer| !pointer.starts_with('/')) {
        section.refuse("to_from", format!("write a JSON pointer, such as \"/{pointer}\""));
    }
    let allow_to = allowed(section);
    match &to_from {
        Some(_) if allow_to.is_empty() && section.node("allow_to").is_none() => {
            let problem = "`to_from` needs `allow_to`, such as [\"*@shop.example\"]: a payload may come from anywhere";
            section.refuse("to_from", problem);
        }
        None => section.refuse_each(&["allow_to"], "this setting needs `to_from`"),
        Some(_) => {}
    }
    if to.is_empty() && to_from.is_none() {
        section.refuse("", "kind \"email\" needs `to`, or `to_from` with `allow_to`");
    }
    let subject = section.text("subject").map(|text| TemplateSource { part: "subject", text, file: None });
    let text = template(section, "text", ["text", "text_file"]);
    let html = template(section, "html", ["html", "html_file"]);
    for (key, is_given) in [("subject", subject.is_some()), ("text", text.is_some())] {
        if !is_given && section.node(key).is_none() && section.node("text_file").is_none_or(|_| key == "subject") {
            section.refuse("", format!("kind \"email\" needs `{key}`"));
        }
    }
    let is_html = html.is_some();
    let templates = Templates::new([subject, text, html].into_iter().flatten().collect()).map_err(|faults| {
        for (part, problem) in faults {
            let file = [("text", "text_file"), ("html", "html_file")].iter().find(|(known, _)| *known == part);
            let key = file.map(|(_, key)| *key).filter(|key| section.node(key).is_some()).unwrap_or(part);
            section.refuse(key, format!("the template cannot be read: {problem}"));
        }
    });
    let templates = templates.ok()?;
    let is_whole = templates.sources().count() == if is_html { 3 } else { 2 };
    let (channel, settings, timeout) = channel?;
    is_whole.then_some(EmailSpec { channel, settings, timeout, to, to_from, allow_to, templates })
}

/// The channel whose settings count.
fn channel(section: &mut Section<'_>, channels: &Channels) -> Option<(String, MailSettings, Duration)> {
    let Some(name) = section.text("channel") else {
        if section.node("channel").is_none() {
            section.refuse("", "kind \"email\" needs `channel`: the name of a [notify.NAME] of kind \"mail\"");
        }
        return None;
    };
    match channels.get(&name) {
        // Its own table has mistakes, which are reported there.
        Some(None) => None,
        Some(Some(channel)) => match &channel.means {
            Means::Mail(settings) => Some((name, settings.clone(), channel.timeout)),
            other => {
                let kind = other.as_str();
                section.refuse("channel", format!("[notify.{name}] is of kind \"{kind}\", and not \"mail\""));
                None
            }
        },
        None => {
            let hint = suggest::hint_or_list(&name, channels.keys().map(String::as_str));
            section.refuse("channel", format!("there is no [notify.{name}]{hint}"));
            None
        }
    }
}

fn allowed(section: &mut Section<'_>) -> Vec<AllowedRecipient> {
    let mut allowed = Vec::new();
    for text in section.texts("allow_to").unwrap_or_default() {
        match text.parse() {
            Ok(recipient) => allowed.push(recipient),
            Err(problem) => section.refuse("allow_to", problem),
        }
    }
    allowed
}

/// A template, in the configuration or in a file.
fn template(section: &mut Section<'_>, part: &'static str, keys: [&'static str; 2]) -> Option<TemplateSource> {
    let [plain, file] = keys;
    let text = section.text(plain);
    let named = section.node(file).map(|node| node.location.clone()).zip(section.text(file));
    if let (Some(_), Some(_)) = (&text, &named) {
        section.refuse(file, format!("only one of {plain} and {file} can be set"));
        return None;
    }
    let (text, path, key): (String, Option<PathBuf>, &'static str) = match (text, named) {
        (Some(text), _) => (text, None, plain),
        (None, Some((location, name))) => {
            let path = beside(&location, &name).map_err(|problem| section.refuse(file, problem)).ok()?;
            match std::fs::read_to_string(&path) {
                Ok(text) => (text, Some(path), file),
                Err(error) => {
                    section.refuse(file, format!("cannot read {}: {error}", path.display()));
                    return None;
                }
            }
        }
        (None, None) => return None,
    };
    if text.len() > MAX_TEMPLATE {
        section.refuse(key, format!("it has {} bytes, and a template may have {MAX_TEMPLATE}", text.len()));
        return None;
    }
    Some(TemplateSource { part, text, file: path })
}
