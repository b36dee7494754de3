//! `sexton schedule why`, and what happened at the latest instants: `schedule show` and `history --schedule`.

use std::collections::BTreeSet;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use serde_json::json;
use sexton_entities::schedule;

use super::{
    expected::ExpectedSchedules,
    lookup,
    output::{Column, Printer, or_dash, print_line},
    session::{OpenSession, with_advice},
    time,
};
use crate::domain::{
    schedule::why::{Account, Background, InstantRecord},
    text::instant::{self, Sense},
};

/// Explains why a schedule ran, or did not run, at a time; without one, at its latest instant.
pub(super) async fn run(open: &OpenSession, output: Printer, name: &str, at: Option<&str>) -> anyhow::Result<u8> {
    let background = background(open, name).await?;
    let at = match at {
        Some(written) => {
            let at = time::parse(written, output.zone(), Sense::Today, background.now)?;
            match background.neighbours(at) {
                // Nobody means the microsecond: `2h` is the latest instant before.
                (Some(before), Some(false), _) if instant::is_distance(written) => before,
                _ => at,
            }
        }
        None => {
            let latest = latest(open, &background, None, 1).await?;
            let latest = latest.first().map(|account| account.due_at);
            latest.with_context(|| match open.config.unused_schedules.get(name) {
                Some(unused) => format!("schedule {name} of the database is not in force: {}", unused.why),
                None => format!("no instant of {name} has come yet: `sexton schedule next {name}` shows them"),
            })?
        }
    };
    if let Some(unused) = open.config.unused_schedules.get(name).filter(|_| !output.is_json()) {
        print_line!("The definition of {name} in the database is not in force: {}", unused.why);
    }
    let (before, expected, after) = background.neighbours(at);
    let account = background.account(at, expected, &record(open, name, at).await.map_err(with_advice)?);
    if !output.is_json() {
        print_line!("{}", output.sentence(&account.why));
        let expected = ExpectedSchedules::load(open).await?;
        for sentence in [expected.fault(output, name), expected.sentence(output, name)].into_iter().flatten() {
            print_line!("{sentence}");
        }
        return Ok(0);
    }
    let mut object = json!(account);
    let fault =
        ExpectedSchedules::load(open).await?.faults().find(|(of, _)| *of == name).map(|(_, fault)| json!(fault));
    object["definition_fault"] = json!(fault);
    object["at"] = json!(at);
    object["before"] = json!(before);
    object["after"] = json!(after);
    output.value(&object)?;
    Ok(0)
}

/// What the database and the configuration know of a schedule.
///
/// # Errors
/// If neither of them has it.
pub(super) async fn background<'a>(open: &'a OpenSession, name: &'a str) -> anyhow::Result<Background<'a>> {
    let config = &open.config;
    let (seen, schedule) = (open.store.schedule(name).await.map_err(with_advice)?, lookup::schedule(config, name).ok());
    // The record of a schedule outlives it.
    let has_record = || async { open.store.occurrences(name, 1).await.map(|entries| !entries.is_empty()) };
    if seen.is_none() && schedule.is_none() && !has_record().await.map_err(with_advice)? {
        let known: Vec<schedule::Model> = open.store.schedules().await?;
        anyhow::bail!(lookup::unknown_schedule(name, known.iter().map(|known| known.name.as_str())));
    }
    let now = open.store.now().await?;
    let halt = open.store.halt().await.map_err(with_advice)?;
    let period = schedule.and_then(|schedule| config.periods.get(schedule.period.as_ref()?));
    Ok(Background {
        name,
        seen,
        schedule,
        period: period.map(AsRef::as_ref),
        nodes: open.store.nodes().await?,
        is_silent: config.is_silent(name),
        is_cron_off: !config.module("cron").enabled,
        all_paused_since: halt.pause.and_then(|pause| pause.paused_at),
        maintenance_since: halt.maintenance.and_then(|maintenance| maintenance.began_at),
        keep: config.daemon.keep_history,
        max_parallel: config.scheduled(name).and_then(|task| task.definition.max_parallel),
        max_parallel_by: config.scheduled(name).and_then(|task| task.definition.max_parallel_by.clone()),
        queue_rules: config.queues.keys().map(|queue| (queue.to_string(), config.rules_of(queue, now))).collect(),
        cluster: Some(open.store.cluster_queues().await.map_err(with_advice)?),
        now,
    })
}

async fn record(open: &OpenSession, name: &str, at: DateTime<Utc>) -> Result<InstantRecord, crate::store::StoreError> {
    let store = &open.store;
    let (entry, next) = store.occurrences_from(name, at).await?;
    let mut known = InstantRecord { entry, next, run: store.run_of(name, at).await?, into: None };
    if let Some(into) = known.coalesced_into()
        && let Some(entry) = store.occurrences_from(name, into).await?.0
    {
        known.into = Some((entry, store.run_of(name, into).await?));
    }
    Ok(known)
}

/// The latest instants of a schedule from `since` on, expected and recorded ones, the newest first.
pub(super) async fn latest(
    open: &OpenSession,
    background: &Background<'_>,
    since: Option<DateTime<Utc>>,
    limit: u64,
) -> anyhow::Result<Vec<Account>> {
    let (store, name) = (&open.store, background.name);
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut entries = store.occurrences(name, limit).await.map_err(with_advice)?;
    entries.retain(|entry| since.is_none_or(|since| entry.due_at >= since));
    let mut instants: BTreeSet<DateTime<Utc>> = background.expected(since, most).into_iter().collect();
    instants.extend(entries.iter().map(|entry| entry.due_at));
    let instants: Vec<DateTime<Utc>> = instants.into_iter().rev().take(most).collect();
    let Some(oldest) = instants.last() else { return Ok(Vec::new()) };
    let runs = store.runs_from(name, *oldest).await.map_err(with_advice)?;
    let run = |at: &DateTime<Utc>| runs.get(at).cloned().unwrap_or_default();
    let account = |at: &DateTime<Utc>| {
        // `entries` has the newest first.
        let place = entries.partition_point(|entry| entry.due_at > *at);
        let entry = entries.get(place).filter(|entry| entry.due_at == *at).cloned();
        let next = place.checked_sub(1).and_then(|place| entries.get(place)).cloned();
        let mut known = InstantRecord { entry, next, run: run(at), into: None };
        let into = known.coalesced_into().and_then(|into| entries.iter().find(|entry| entry.due_at == into));
        known.into = into.map(|entry| (entry.clone(), run(&entry.due_at)));
        background.account(*at, background.schedule.map(|schedule| schedule.has(*at)), &known)
    };
    Ok(instants.iter().map(account).collect())
}

/// Prints instants and what happened at them.
pub(super) fn list(output: Printer, accounts: &[Account]) -> anyhow::Result<()> {
    let columns = [
        Column::value("Due"),
        Column::word("Fate"),
        Column::value("Task").leaves(1),
        Column::word("Outcome"),
        Column::prose("Why"),
    ];
    output.list(accounts, columns, "No instant has come yet.", |account| {
        [
            output.time(account.due_at),
            account.became.word().to_owned(),
            or_dash(account.task_id),
            or_dash(
                account.state.map(|state| state.to_string()).or_else(|| account.outcome.map(|word| word.to_string())),
            ),
            output.sentence(&account.words),
        ]
    })
}
