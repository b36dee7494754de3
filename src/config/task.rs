//! `[task.NAME]`.

use std::{sync::Arc, time::Duration};

use super::{
    command, daemon::DaemonConfig, expectation, missed_policy, ping, schedule, schedule_period, section::Section,
};
use crate::domain::{
    daemon::lease::OnLeaseLost,
    identity::QueueName,
    period::Periods,
    schedule::Schedule,
    task::{
        definition::{COMMAND, DEFAULT_QUEUE, TaskDefinition},
        retry::{Growth, RetryPolicy},
        time_limit::TimeLimit,
    },
    text::suggest,
};

/// Reads a task definition. `kinds` are those of the registered handlers: a kind without a handler is a mistake.
pub(super) fn read(
    name: &str,
    section: &mut Section<'_>,
    daemon: &DaemonConfig,
    periods: &Periods,
    kinds: &[String],
) -> TaskDefinition {
    let zone = daemon.zone();
    let command = command::read(section);
    let kind = section.text("kind");
    // An invalid command still makes the kind `command`.
    let has_command = section.node("command").is_some();
    let kind = match (&kind, has_command) {
        (Some(kind), true) if kind != COMMAND => {
            section.refuse("kind", format!("`{kind}` conflicts with `command`: keep one of them"));
            COMMAND
        }
        (Some(kind), false) if kind == COMMAND => {
            section.refuse("kind", "kind \"command\" needs `command = [\"program\", \"argument\"]`");
            COMMAND
        }
        (Some(kind), _) => kind.as_str(),
        (None, true) => COMMAND,
        // A task of the name under which a handler is registered in Rust.
        (None, false) => name,
    };
    if !kinds.iter().any(|known| known == kind) {
        let problem = match kind == name {
            true => {
                "neither `command` nor `kind` is set, and no handler is registered under the task's name".to_owned()
            }
            false => {
                let hint = suggest::hint_or_list(kind, kinds.iter().map(String::as_str));
                format!("there is no handler of kind `{kind}`{hint}")
            }
        };
        section.refuse("kind", problem);
    }
    let plain = TaskDefinition::new(name, kind);
    let limit: Option<TimeLimit> = section.parsed("timeout");
    let (period, outside_period) = schedule_period::read(section, periods);
    let schedule = section.node("schedule").map(|node| {
        let path = format!("task.{name}.schedule");
        let read = schedule::read(name, &path, node, zone, section.findings);
        Schedule { period: period.clone(), outside_period, ..read }
    });
    let expect = expectation::read(section);
    let schedule = schedule.map(|schedule| Schedule { expect, ..schedule });
    let ping_url = ping::read(section);
    if section.node("schedule").is_none() {
        section.refuse_each(&ping::SETTINGS, "this setting needs a `schedule`");
    }
    let schedule = missed_policy::read(section, zone, schedule);
    TaskDefinition {
        queue: section.text("queue").map_or_else(|| DEFAULT_QUEUE.into(), QueueName::from),
        priority: section.integer("priority", -1_000_000..=1_000_000).unwrap_or(plain.priority),
        max_parallel: section.integer("max_parallel", 1..=1_000_000),
        max_attempts: section.integer("max_attempts", 1..=1_000_000).unwrap_or(plain.max_attempts),
        max_pickups: section.integer("max_pickups", 1..=1_000_000),
        max_snoozes: section.integer("max_snoozes", 0..=1_000_000),
        timeout: TimeLimit::first([limit]),
        is_unlimited: limit == Some(TimeLimit::Unlimited),
        expires: section.duration("expires", Duration::from_secs(1)),
        warn_after: section.duration("warn_after", Duration::from_secs(1)),
        kill_after: section.duration("kill_after", Duration::ZERO).unwrap_or(plain.kill_after),
        on_lease_lost: section.choice("on_lease_lost", &OnLeaseLost::WORDS),
        retry: section.table("retry", retry).unwrap_or(plain.retry),
        payload: section.json("payload", daemon.max_payload),
        schedule: schedule.filter(|schedule| !schedule.recurrences.is_empty()).map(Arc::new),
        ping_url,
        command,
        ..plain
    }
}

fn retry(section: &mut Section<'_>) -> RetryPolicy {
    let default = RetryPolicy::default();
    RetryPolicy {
        delay: section.duration("delay", Duration::ZERO).unwrap_or(default.delay),
        growth: section
            .choice("growth", &[("fixed", Growth::Fixed), ("exponential", Growth::Exponential)])
            .unwrap_or(default.growth),
        max_delay: section.duration("max_delay", Duration::ZERO).unwrap_or(default.max_delay),
        jitter: section.fraction("jitter").unwrap_or(default.jitter),
    }
}
