//! `[trigger.NAME]`: makes a task of each event of certain names, or of each file of a folder.

use std::{sync::Arc, time::Duration};

use sexton_client::domain::new_task::check_name;
use toml::{Table, Value};

use super::{
    path_watch,
    schedule_table::{Place, unknown_task},
    section::Section,
    toml_values::{length, table},
    tree::TreeValue,
};
use crate::domain::{
    event::{
        PaceRule, Trigger, TriggerPace,
        mapping::{KeyTemplate, PayloadMapping},
        path_watch::FILE_EVENTS,
        pattern::NamePattern,
    },
    task::definition::TaskDefinition,
};

/// Reads one table; none if it has no task or no events, which is a mistake.
pub(super) fn read(name: &str, section: &mut Section<'_>, place: &Place<'_>) -> Option<Arc<Trigger>> {
    let watch = path_watch::read(name, section);
    let on = events(name, section);
    let definition = definition(section, place);
    let queue = section.text("queue");
    if let Some(Err(problem)) = queue.as_deref().map(check_name) {
        section.refuse("queue", problem);
    }
    let priority = section.integer("priority", i64::from(i32::MIN)..=i64::from(i32::MAX));
    let payload = section
        .json("payload", place.max_payload)
        .and_then(|written| PayloadMapping::read(written).map_err(|problem| section.refuse("payload", problem)).ok());
    let when = section.parsed("when");
    let pace = pace(section);
    let delay = section.duration("delay", Duration::from_millis(1));
    let unique_key: Option<KeyTemplate> = section.parsed("unique_key");
    if section.node("debounce").is_some() {
        section.refuse_each(
            &["throttle", "delay", "unique_key"],
            "`debounce` cannot be together with this setting: it delays its task itself, and keeps one for each key",
        );
    }
    let (on, definition) = (on?, definition?);
    Some(Arc::new(Trigger {
        name: name.to_owned(),
        on,
        watch: watch?,
        task: definition.name,
        queue: queue.map_or(definition.queue, Into::into),
        priority: priority.unwrap_or(definition.priority),
        expires: definition.expires,
        payload,
        default_payload: definition.payload,
        when,
        pace,
        delay,
        unique_key,
    }))
}

/// The names of its events. With `on_path`, the daemon sends them.
fn events(name: &str, section: &mut Section<'_>) -> Option<Vec<NamePattern>> {
    match (section.node("on").is_some(), section.node("on_path").is_some()) {
        (true, false) => patterns(section, "on"),
        (false, true) => Some(vec![NamePattern::Name(format!("{FILE_EVENTS}{name}"))]),
        (false, false) => {
            section
                .refuse("", "`on` is missing: the name of the event of which it makes a task; or `on_path`: its files");
            None
        }
        (true, true) => {
            section.refuse("on", "`on_path` cannot be together with this setting: the daemon sends its events");
            None
        }
    }
}

/// Names of events: one, or a list.
pub(super) fn patterns(section: &mut Section<'_>, key: &'static str) -> Option<Vec<NamePattern>> {
    let words: Vec<String> = match &section.node(key)?.item {
        TreeValue::Text(text) => vec![text.clone()],
        _ => section.texts(key)?,
    };
    if words.is_empty() {
        section.refuse(key, "the list is empty");
        return None;
    }
    let mut patterns = Vec::new();
    for word in words {
        match word.parse() {
            Ok(pattern) => patterns.push(pattern),
            Err(problem) => section.refuse(key, problem),
        }
    }
    Some(patterns)
}

fn definition(section: &mut Section<'_>, place: &Place<'_>) -> Option<TaskDefinition> {
    let Some(task) = section.text("task") else {
        if section.node("task").is_none() {
            section.refuse("", "`task` is missing: the name of the task definition of its tasks");
        }
        return None;
    };
    let found = place.definition(&task);
    if found.is_none() {
        section.refuse("task", unknown_task(&task, place));
    }
    found
}

fn pace(section: &mut Section<'_>) -> Option<TriggerPace> {
    let tick = Duration::from_millis(1);
    let (debounce, throttle) = (section.duration("debounce", tick), section.duration("throttle", tick));
    let key = section.parsed("key");
    let (rule, time) = match (debounce, throttle) {
        (Some(time), _) => (PaceRule::Debounce, time),
        (None, Some(time)) => (PaceRule::Throttle, time),
        (None, None) => {
            if section.node("debounce").is_none() && section.node("throttle").is_none() {
                section.refuse_each(&["key"], "this setting needs `debounce` or `throttle`, which it divides");
            }
            return None;
        }
    };
    Some(TriggerPace { rule, time, key })
}

/// A trigger as TOML.
pub(super) fn show(trigger: &Trigger) -> Table {
    let on: Vec<String> = trigger.on.iter().map(ToString::to_string).collect();
    let mut shown = table([
        ("task", trigger.task.clone().into()),
        ("queue", trigger.queue.as_str().into()),
        ("priority", i64::from(trigger.priority).into()),
    ]);
    let pace = trigger.pace.as_ref().map(|pace| match pace.rule {
        PaceRule::Debounce => ("debounce", length(pace.time)),
        PaceRule::Throttle => ("throttle", length(pace.time)),
    });
    let key = trigger.pace.as_ref().and_then(|pace| pace.key.as_ref());
    let payload = trigger.payload.as_ref().and_then(|payload| Value::try_from(payload.written()).ok());
    let rare = [
        ("payload", payload),
        ("when", trigger.when.as_ref().map(|when| when.to_string().into())),
        ("key", key.map(|key| key.to_string().into())),
        ("delay", trigger.delay.map(length)),
        ("unique_key", trigger.unique_key.as_ref().map(|key| key.to_string().into())),
    ];
    match &trigger.watch {
        Some(watch) => shown.extend(path_watch::show(watch)),
        None => shown.extend([("on".to_owned(), on.into())]),
    }
    shown.extend(pace.map(|(name, value)| (name.to_owned(), value)));
    shown.extend(rare.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    shown
}

#[cfg(test)]
mod tests {
    use crate::config::{KnownNames, Mistakes, Source, load};

    fn mistakes(text: &str) -> Vec<String> {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("sexton.toml");
        let text = format!("[task.mail]\nkind = \"noop\"\n[trigger.t]\n{text}\n");
        std::fs::write(&file, text).expect("a file");
        let known = KnownNames { kinds: vec!["noop".into()], ..KnownNames::default() };
        match load(&Source { file: Some(file), ..Source::default() }, &known) {
            Ok(_) => Vec::new(),
            Err(Mistakes(found)) => found.iter().map(|found| format!("{}: {}", found.setting, found.problem)).collect(),
        }
    }

    #[test]
    fn a_whole_trigger_is_read_as_it_is_shown() {
        assert_eq!(mistakes("on = \"order.paid\"\ntask = \"mail\""), Vec::<String>::new());
        let whole = "on = [\"order.*\", \"a\"]\ntask = \"mail\"\nqueue = \"q\"\npriority = 3\nwhen = \"$.a > 1\"\n\
                     throttle = \"1m\"\nkey = \"$.id\"\ndelay = \"1s\"\nunique_key = \"k-{$.id}\"\npayload = { id = \"$.id\" }";
        assert_eq!(mistakes(whole), Vec::<String>::new());
    }

    #[test]
    fn each_mistake_has_its_place() {
        let of = |text: &str| mistakes(text).join("; ");
        assert_eq!(
            of(""),
            "trigger.t: `on` is missing: the name of the event of which it makes a task; or `on_path`: its files; \
             trigger.t: `task` is missing: the name of the task definition of its tasks"
        );
        let good = "on = \"a\"\ntask = \"mail\"\n";
        for (setting, expected) in [
            ("when = \"$.a = 1\"", "trigger.t.when: a single `=`: write `==` to compare, at character 5"),
            (
                "payload = { a = \"$.\" }",
                "trigger.t.payload: `$.`: expected the name of a field behind the dot, at character 3",
            ),
            ("key = \"a\"", "trigger.t.key: this setting needs `debounce` or `throttle`, which it divides"),
            (
                "debounce = \"1s\"\nthrottle = \"1s\"",
                "trigger.t.throttle: `debounce` cannot be together with this setting: it delays its task itself, and keeps one for each key",
            ),
            ("unique_key = \"{$.a\"", "trigger.t.unique_key: `{$.a`: the brace at `{$.a` is not closed"),
            ("wen = \"x\"", "trigger.t.wen: there is no such setting; did you mean `when`?"),
        ] {
            assert_eq!(of(&format!("{good}{setting}")), expected);
        }
        assert_eq!(
            of("on = [\"*.a\"]\ntask = \"mial\""),
            "trigger.t.on: `*.a`: a `*` may stand at the end only; \
                    trigger.t.task: there is no task definition `mial`; did you mean `mail`?"
        );
    }
}
