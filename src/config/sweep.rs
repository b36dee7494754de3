//! `[sweep.NAME]`: a SELECT whose rows become tasks. It is a task definition of its own kind, and a trigger if it has
//! `on_event`.

use std::{sync::Arc, time::Duration};

use super::{
    expectation, missed_policy, ping, schedule, schedule_period,
    schedule_table::{Place, unknown_task},
    section::Section,
    sql_settings,
    task::of_runs,
    trigger::patterns,
};
use crate::domain::{
    event::Trigger,
    notice::NoticeRule,
    schedule::Schedule,
    sql_text::SqlText,
    sweep::SweepSpec,
    task::{
        definition::{SWEEP, TaskDefinition},
        disabled::WhenDisabled,
    },
};

/// How many rows a round takes, by default and at most. OTRS has this default for its generic agent.
const LIMITS: [i64; 2] = [4_000, 100_000];
/// How many rows make one task at most.
const MAX_BATCH: i64 = 10_000;
/// The time limit of a round that has none.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A sweep of the configuration.
pub(super) struct ReadSweep {
    /// What its rounds are.
    pub(super) definition: Arc<TaskDefinition>,
    /// The trigger that `on_event` is.
    pub(super) trigger: Option<Arc<Trigger>>,
}

/// Reads one table; none if it selects nothing, or makes no tasks, which is a mistake.
pub(super) fn read(
    name: &str,
    section: &mut Section<'_>,
    notices: NoticeRule,
    place: &Place<'_>,
    triggers: &[String],
) -> Option<ReadSweep> {
    if place.tasks.contains_key(name) {
        section.refuse("", format!("[task.{name}] has the same name: a sweep is a task definition, too"));
    }
    let spec = spec(section, place);
    let plain = TaskDefinition { timeout: Some(TIMEOUT), max_parallel: Some(1), ..TaskDefinition::new(name, SWEEP) };
    let schedule = recurrence(name, section, place);
    let ping_url = ping::read(section);
    if schedule.is_none() {
        section.refuse_each(&ping::SETTINGS, "this setting needs a `schedule`");
    }
    let on_event = patterns(section, "on_event");
    if triggers.iter().any(|known| known == name) {
        section.refuse_each(&["on_event"], &format!("[trigger.{name}] has the same name: keep one of them"));
    }
    let when_disabled = section.choice("when_disabled", &WhenDisabled::WORDS).unwrap_or(WhenDisabled::Wait);
    let definition = TaskDefinition {
        notices,
        disabled: (section.flag("enabled") == Some(false)).then_some(when_disabled),
        max_pickups: section.integer("max_pickups", 1..=1_000_000),
        warn_after: section.duration("warn_after", Duration::from_secs(1)),
        is_schedulable: section.flag("schedulable").unwrap_or(plain.is_schedulable),
        schedule: schedule.filter(|schedule| !schedule.recurrences.is_empty()).map(Arc::new),
        ping_url,
        sweep: Some(Arc::new(spec?)),
        ..of_runs(section, plain)
    };
    let trigger = on_event.map(|on| Trigger {
        name: name.to_owned(),
        on,
        task: name.to_owned(),
        queue: definition.queue.clone(),
        priority: definition.priority,
        expires: definition.expires,
        payload: None,
        default_payload: None,
        when: None,
        pace: None,
        delay: None,
        unique_key: None,
        watch: None,
    });
    Some(ReadSweep { definition: definition.into(), trigger: trigger.map(Arc::new) })
}

/// When the sweep recurs, as a task does.
fn recurrence(name: &str, section: &mut Section<'_>, place: &Place<'_>) -> Option<Schedule> {
    let node = section.node("schedule");
    let (period, outside_period) = schedule_period::read(section, place.periods, node.is_some());
    let expect = expectation::read(section, node.is_some());
    let read = node.map(|node| {
        let path = format!("sweep.{name}.schedule");
        let read = schedule::read(name, &path, node, place.zone, section.findings);
        Schedule { period, outside_period, expect, ..read }
    });
    missed_policy::read(section, place.zone, read)
}

/// What it selects, and what becomes of the rows.
fn spec(section: &mut Section<'_>, place: &Place<'_>) -> Option<SweepSpec> {
    let mut missing = |key: &'static str, what: &str| {
        if section.node(key).is_none() {
            section.refuse("", format!("`{key}` is missing: {what}"));
        }
    };
    missing("select", "the statement whose rows become tasks");
    missing("task", "the name of the task definition of its tasks");
    missing("key", "the column that identifies a row");
    let select = section.text("select").and_then(|text| {
        let read = SqlText::parse(&text).and_then(|select| match select.is_query() {
            true => Ok(select),
            false => Err(format!("a sweep only reads: begin with SELECT or WITH, not with `{}`", select.first_word())),
        });
        read.map_err(|problem| section.refuse("select", problem)).ok()
    });
    let bind = match &select {
        Some(select) => sql_settings::bindings(section, place.max_payload, std::slice::from_ref(select), &[]),
        None => {
            section.node("bind");
            Default::default()
        }
    };
    let task = section.text("task").filter(|task| match place.definition(task) {
        Some(_) => true,
        None => {
            section.refuse("task", unknown_task(task, place));
            false
        }
    });
    let key = section.text("key");
    if key.as_deref() == Some("") {
        section.refuse("key", "it is empty: name a column of the SELECT");
    }
    let payload = match section.word("payload") {
        Some("row") => None,
        _ => sql_settings::mapping(section, "payload", place.max_payload),
    };
    let batch = section.integer("batch", 1..=MAX_BATCH);
    let limit = section.integer("limit", 1..=LIMITS[1]).unwrap_or(LIMITS[0] as usize);
    let url = sql_settings::url(section);
    Some(SweepSpec { select: select?, bind, url, task: task?, key: key?, payload, batch, limit })
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, KnownNames, Mistakes, Source, load};

    fn loaded(text: &str) -> Result<Config, Vec<String>> {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("sexton.toml");
        let text = format!("[task.mail]\nkind = \"noop\"\n[sweep.s]\n{text}\n");
        std::fs::write(&file, text).expect("a file");
        let known = KnownNames { kinds: vec!["noop".into(), "sweep".into()], ..KnownNames::default() };
        load(&Source { file: Some(file), ..Source::default() }, &known).map_err(|Mistakes(found)| {
            found.iter().map(|found| format!("{}: {}", found.setting, found.problem)).collect()
        })
    }

    fn mistakes(text: &str) -> String {
        loaded(text).expect_err(text).join("; ")
    }

    const GOOD: &str = "select = \"SELECT id FROM customer WHERE age > :age\"\ntask = \"mail\"\nkey = \"id\"\n";

    #[test]
    fn a_whole_sweep_is_a_task_definition_and_a_trigger() {
        let text = format!(
            "{GOOD}bind = {{ age = \"$.age\" }}\npayload = {{ to = \"$.id\" }}\nbatch = 10\nlimit = 50\nschedule = \"@hourly\"\n\
             overlap = \"skip\"\ntimeout = \"1m\"\nqueue = \"q\"\nmax_attempts = 3\non_event = [\"a.*\", \"b\"]\n\
             url = \"mysql://u:secret@h/d\"\n"
        );
        let config = loaded(&text).expect("sound");
        let definition = &config.tasks["s"];
        let sweep = definition.sweep.as_ref().expect("a sweep");
        assert_eq!((sweep.limit, sweep.batch, sweep.key.as_str()), (50, Some(10), "id"));
        assert_eq!((definition.max_attempts, definition.max_parallel), (3, Some(1)));
        assert_eq!(config.triggers["s"].task, "s");
        assert!(config.scheduled("s").is_some() && config.queues.contains_key("q"));
        let shown = config.show();
        assert!(shown.contains("[sweep.s]") && !shown.contains("[task.s]") && !shown.contains("[trigger"), "{shown}");
        assert!(!shown.contains("secret"), "{shown}");
        let again: String = shown.split("[sweep.s]\n").nth(1).expect("the sweep").replace("***", "u:p");
        assert_eq!(loaded(&again).map(|config| config.tasks["s"].timeout), Ok(definition.timeout));
    }

    #[test]
    fn each_mistake_has_its_place() {
        assert_eq!(
            mistakes(""),
            "sweep.s: `select` is missing: the statement whose rows become tasks; sweep.s: `task` is missing: the name of \
             the task definition of its tasks; sweep.s: `key` is missing: the column that identifies a row"
        );
        assert_eq!(
            mistakes(&GOOD.replace("SELECT id FROM", "DELETE FROM").replace(":age", "1")),
            "sweep.s.select: a sweep only reads: begin with SELECT or WITH, not with `delete`"
        );
        assert_eq!(mistakes(GOOD), "sweep.s.bind: the placeholder `:age` has no value: add it to `bind`");
        for (setting, expected) in [
            ("bind = { age = 1, name = 2 }", "sweep.s.bind: there is no placeholder `:name` in the statement"),
            ("bind = { age = \"$event.id\" }", "sweep.s.bind: `$event…` is for triggers: write places as `$.name`"),
            ("bind = { age = 1 }\nurl = \"oracle://h/d\"", "sweep.s.url: "),
            ("bind = { age = 1 }\nmissed = \"all\"", "sweep.s.missed: this setting needs a `schedule`"),
            ("bind = { age = 1 }\nmax_parallel = 3", "sweep.s.max_parallel: there is no such setting"),
        ] {
            let found = mistakes(&format!("{GOOD}{setting}"));
            assert!(found.starts_with(expected), "{found}");
        }
        assert!(mistakes(&GOOD.replace("\"mail\"", "\"mial\"")).contains("did you mean `mail`?"));
        assert!(
            mistakes(&format!("{GOOD}bind = {{ age = 1 }}\n[task.s]\nkind = \"noop\""))
                .contains("[task.s] has the same name")
        );
        assert!(
            mistakes(&format!("{GOOD}bind = {{ age = 1 }}\n[task.x]\nkind = \"sweep\"")).contains("write [sweep.x]")
        );
    }
}
