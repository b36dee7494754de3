//! `on_path` of a trigger: the files of which the daemon sends it events.

use std::time::Duration;

use sexton_client::domain::new_task::check_name;
use toml::{Table, Value};

use super::{
    section::Section,
    toml_values::{length, table},
    tree::TreeValue,
};
use crate::domain::event::path_watch::{FILE_EVENTS, FileMoment, PathPattern, PathWatch};

/// How long a file must stay the same, unless `settle` says otherwise.
const SETTLE: Duration = Duration::from_secs(2);

/// Reads the settings of `on_path`. None within if the trigger is not for files; none at all if there is a mistake.
pub(super) fn read(name: &str, section: &mut Section<'_>) -> Option<Option<PathWatch>> {
    let moment = section.choice("path_event", &FileMoment::WORDS);
    let settle = section.duration("settle", Duration::from_millis(10));
    let is_shared = section.flag("shared");
    if section.node("on_path").is_none() {
        section.refuse_each(&["path_event", "settle", "shared"], "this setting needs `on_path`: the files");
        return Some(None);
    }
    let paths = paths(section)?;
    if let Err(why) = check_name(&format!("{FILE_EVENTS}{name}")) {
        section.refuse("on_path", format!("the name of its events: {why}"));
    }
    let moment = moment.unwrap_or(FileMoment::Settled);
    if moment != FileMoment::Settled {
        section.refuse_each(&["settle"], "this setting needs `path_event = \"settled\"`");
    }
    if moment == FileMoment::Created && is_shared == Some(true) {
        let why = "it cannot be together with `path_event = \"created\"`: nodes see a file in different states while it is \
                   written, and each would be an event; write `path_event = \"settled\"`";
        section.refuse("shared", why);
    }
    Some(Some(PathWatch { paths, moment, settle: settle.unwrap_or(SETTLE), is_shared: is_shared.unwrap_or(false) }))
}

fn paths(section: &mut Section<'_>) -> Option<Vec<PathPattern>> {
    let node = section.node("on_path")?;
    let words: Vec<String> = match &node.item {
        TreeValue::Text(text) => vec![text.clone()],
        _ => section.texts("on_path")?,
    };
    if words.is_empty() {
        section.refuse("on_path", "the list is empty");
        return None;
    }
    let mut paths = Vec::new();
    let mut is_sound = true;
    for word in words {
        match word.parse() {
            Ok(path) => paths.push(path),
            Err(problem) => {
                is_sound = false;
                section.refuse("on_path", problem);
            }
        }
    }
    is_sound.then_some(paths)
}

/// The settings as TOML.
pub(super) fn show(watch: &PathWatch) -> Table {
    let paths: Vec<String> = watch.paths.iter().map(ToString::to_string).collect();
    let mut shown = table([("on_path", Value::from(paths)), ("path_event", watch.moment.as_str().into())]);
    if watch.moment == FileMoment::Settled {
        shown.insert("settle".to_owned(), length(watch.settle));
    }
    if watch.is_shared {
        shown.insert("shared".to_owned(), true.into());
    }
    shown
}
