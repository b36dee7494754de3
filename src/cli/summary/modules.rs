//! Daemon modules in `sexton summary`: one line while they are well, and everything about one of them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::super::{
    module,
    output::{Column, Printer, print_line},
    session::Session,
};
use crate::{
    daemon::{Module, ModuleStatus},
    domain::text::{
        plural::{counted, times},
        suggest,
    },
};

/// Prints a line for each node, and one for each module that does not work.
pub(super) fn print_lines(modules: &[Module]) {
    if modules.is_empty() {
        print_line!("Daemon modules: no node is running.");
    }
    let mut nodes: BTreeMap<&str, Vec<&ModuleStatus>> = BTreeMap::new();
    for module in modules {
        nodes.entry(&module.node).or_default().push(&module.status);
    }
    for (node, modules) in nodes {
        let troubles: Vec<String> = modules.iter().filter_map(|module| module.trouble()).collect();
        let idle: Vec<&str> =
            modules.iter().filter(|module| module.state.has_stopped()).map(|module| module.name.as_str()).collect();
        let well = counted(modules.len() - troubles.len() - idle.len(), "module");
        let idle = if idle.is_empty() { String::new() } else { format!(", not in use: {}", idle.join(", ")) };
        print_line!("Daemon modules: {well} at work on {node}{idle}");
        for trouble in troubles {
            print_line!("  {trouble}");
        }
    }
}

/// The module of that name on this host; if no daemon is running here, on every node.
pub(super) async fn named(session: &Session, name: &str) -> anyhow::Result<Vec<Module>> {
    let mut modules = module::known(session, false).await?;
    anyhow::ensure!(!modules.is_empty(), "no node is running");
    if !modules.iter().any(|module| module.status.name == name) {
        let mut known: Vec<String> = modules.into_iter().map(|module| module.status.name).collect();
        known.sort();
        known.dedup();
        let hint = suggest::hint_or_list(name, known.iter().map(String::as_str));
        anyhow::bail!("there is no module `{name}`{hint}");
    }
    modules.retain(|module| module.status.name == name);
    Ok(modules)
}

/// Prints the status and the tables of modules.
pub(super) fn print(output: Printer, modules: &[Module]) -> anyhow::Result<()> {
    if output.is_json() {
        return output.value(modules);
    }
    for Module { node, status } in modules {
        let since = status.started_at.map(|at| format!(" since {}", output.time(at))).unwrap_or_default();
        let (rounds, failed, recycled) =
            (counted(status.rounds, "round"), times(status.failures), times(status.recycled));
        print_line!("Module {} on {node}: {}{since}, {rounds}", status.name, status.state);
        if status.failures > 0 || status.recycled > 0 {
            print_line!("since the daemon's start it failed {failed} and was recycled {recycled}");
        }
        if let Some(why) = &status.waits_for {
            print_line!("it is not started: {why}");
        }
        if let Some(error) = &status.last_error {
            print_line!("last error: {error}");
        }
        for table in &status.summary {
            print_line!("");
            print_line!("{}:", table.header);
            let columns: Vec<Column> = table.columns.iter().map(Column::prose).collect();
            // A module writes an instant in RFC 3339, and every reader sees it on the own clocks.
            let shown = |cell: &String| cell.parse::<DateTime<Utc>>().map_or(cell.clone(), |at| output.time(at));
            let rows: Vec<Vec<String>> = table.rows.iter().map(|row| row.iter().map(shown).collect()).collect();
            output.table(&columns, &rows, &table.none);
        }
    }
    Ok(())
}
