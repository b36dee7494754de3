//! `[task.NAME]`.

use std::{sync::Arc, time::Duration};

use super::{
    command, daemon::DaemonConfig, email, expectation, http, kind, known_names::KnownNames, missed_policy,
    payload_schema, ping, rate, schedule, schedule_period, script, section::Section, sql, worker,
};
use crate::domain::{
    daemon::lease::OnLeaseLost,
    identity::QueueName,
    period::Periods,
    schedule::Schedule,
    task::{
        definition::TaskDefinition,
        disabled::WhenDisabled,
        limit_key::KeyPath,
        retry::{Growth, RetryPolicy},
        time_limit::TimeLimit,
    },
};

/// Reads a task definition. A kind without a handler, a worker program that is not among `programs`, and a channel
/// that is not among `channels`, are mistakes. What is
/// not set is as the handler of its kind defines it.
pub(super) fn read(
    name: &str,
    section: &mut Section<'_>,
    daemon: &DaemonConfig,
    periods: &Periods,
    known: &KnownNames,
    programs: &[String],
    channels: &email::Channels,
) -> TaskDefinition {
    let zone = daemon.zone();
    let kind = kind::read(name, section, &known.kinds);
    let script = script::read(section);
    let command = command::read(name, section, script.as_ref(), &kind);
    let http = http::read(section, &kind).map(Arc::new);
    let sql = sql::read(section, &kind, daemon.max_payload).map(Arc::new);
    let email = email::read(section, &kind, channels).map(Arc::new);
    let worker = worker::of_task(section, &kind, programs);
    let of_handler = known.definitions.iter().find(|definition| definition.kind == kind);
    let plain = match of_handler {
        Some(definition) => TaskDefinition { name: name.to_owned(), ..definition.clone() },
        None => TaskDefinition::new(name, &kind),
    };
    let has_schedule = section.node("schedule").is_some();
    let (period, outside_period) = schedule_period::read(section, periods, has_schedule);
    let schedule = section.node("schedule").map(|node| {
        let path = format!("task.{name}.schedule");
        let read = schedule::read(name, &path, node, zone, section.findings);
        Schedule { period: period.clone(), outside_period, ..read }
    });
    let expect = expectation::read(section, has_schedule);
    let schedule = schedule.map(|schedule| Schedule { expect, ..schedule });
    let ping_url = ping::read(section);
    if !has_schedule {
        section.refuse_each(&ping::SETTINGS, "this setting needs a `schedule`");
    }
    let schedule = missed_policy::read(section, zone, schedule);
    let max_parallel = section.integer("max_parallel", 1..=1_000_000).or(plain.max_parallel);
    let max_parallel_by = section.parsed("max_parallel_by").or_else(|| plain.max_parallel_by.clone());
    if max_parallel.is_none() {
        section.refuse_each(
            &["max_parallel_by"],
            "this setting needs a `max_parallel`: how many of each key run at once?",
        );
    }
    let payload = section.json("payload", daemon.max_payload).or_else(|| plain.payload.clone());
    let schema = payload_schema::read(section);
    if payload.is_some() || has_schedule {
        payload_schema::check(section, schema.as_ref(), payload.as_ref());
    }
    let when_disabled = section.choice("when_disabled", &WhenDisabled::WORDS).unwrap_or(WhenDisabled::Wait);
    TaskDefinition {
        disabled: (section.flag("enabled") == Some(false)).then_some(when_disabled),
        max_parallel,
        max_parallel_by,
        rate: rate::read(section).or(plain.rate),
        max_pickups: section.integer("max_pickups", 1..=1_000_000).or(plain.max_pickups),
        warn_after: section.duration("warn_after", Duration::from_secs(1)).or(plain.warn_after),
        on_lease_lost: section.choice("on_lease_lost", &OnLeaseLost::WORDS).or(plain.on_lease_lost),
        is_schedulable: section.flag("schedulable").unwrap_or(plain.is_schedulable),
        payload,
        payload_schema: schema,
        schedule: schedule.filter(|schedule| !schedule.recurrences.is_empty()).map(Arc::new),
        ping_url,
        command,
        script,
        http,
        email,
        worker,
        sql,
        ..of_runs(section, plain)
    }
}

/// Checks that a task has one key, whether it limits the task or decides whose turn it is.
pub(super) fn check_key(section: &mut Section<'_>, definition: &TaskDefinition, fair_by: Option<&KeyPath>) {
    if let (Some(own), Some(fair)) = (&definition.max_parallel_by, fair_by)
        && own != fair
    {
        let queue = &definition.queue;
        section.refuse(
            "max_parallel_by",
            format!(
                "a task has one key, and queue {queue} has fair_by = \"{fair}\": write \"{fair}\", or use another queue"
            ),
        );
    }
}

/// The settings of its runs that a definition has, and that a schedule may have instead. `plain` has the others.
pub(super) fn of_runs(section: &mut Section<'_>, plain: TaskDefinition) -> TaskDefinition {
    let limit: Option<TimeLimit> = section.parsed("timeout");
    TaskDefinition {
        queue: section.text("queue").map_or(plain.queue, QueueName::from),
        priority: section.integer("priority", -1_000_000..=1_000_000).unwrap_or(plain.priority),
        max_attempts: section.integer("max_attempts", 1..=1_000_000).unwrap_or(plain.max_attempts),
        max_snoozes: section.integer("max_snoozes", 0..=1_000_000).or(plain.max_snoozes),
        timeout: limit.map_or(plain.timeout, |limit| TimeLimit::first([Some(limit)])),
        is_unlimited: limit.map_or(plain.is_unlimited, |limit| limit == TimeLimit::Unlimited),
        expires: section.duration("expires", Duration::from_secs(1)).or(plain.expires),
        kill_after: section.duration("kill_after", Duration::ZERO).unwrap_or(plain.kill_after),
        retry: section.table("retry", |section| retry(section, plain.retry)).unwrap_or(plain.retry),
        ..plain
    }
}

fn retry(section: &mut Section<'_>, default: RetryPolicy) -> RetryPolicy {
    RetryPolicy {
        delay: section.duration("delay", Duration::ZERO).unwrap_or(default.delay),
        growth: section
            .choice("growth", &[("fixed", Growth::Fixed), ("exponential", Growth::Exponential)])
            .unwrap_or(default.growth),
        max_delay: section.duration("max_delay", Duration::ZERO).unwrap_or(default.max_delay),
        jitter: section.fraction("jitter").unwrap_or(default.jitter),
    }
}
