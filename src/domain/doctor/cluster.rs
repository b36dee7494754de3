//! The nodes, and what is known to be wrong.

use std::collections::BTreeSet;

use super::{Area, Diagnosis};
use crate::domain::text::plural::counted;

/// Maximum number of problems that are named.
const MAX_NAMED: usize = 5;

/// What is known of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeFacts {
    /// Its name.
    pub name: String,
    /// The version of its program.
    pub version: String,
    /// Whether its lease is valid.
    pub is_alive: bool,
}

/// The findings about nodes. `own` is the version of this program.
pub fn diagnose_nodes(nodes: &[NodeFacts], own: &str) -> Vec<Diagnosis> {
    let live: Vec<&NodeFacts> = nodes.iter().filter(|node| node.is_alive).collect();
    let mut found = Vec::new();
    for dead in nodes.iter().filter(|node| !node.is_alive) {
        found.push(Diagnosis::warning(
            Area::Nodes,
            format!("Node {} has lost its lease.", dead.name),
            "It is dead, or cannot reach the database. Another node releases its tasks.",
            "Look at the log of its daemon: journalctl -u sexton",
        ));
    }
    let versions: BTreeSet<&str> = live.iter().map(|node| node.version.as_str()).collect();
    if versions.len() > 1 {
        let of = |version: &str| {
            let names: Vec<&str> =
                live.iter().filter(|node| node.version == version).map(|node| node.name.as_str()).collect();
            format!("{version} ({})", names.join(", "))
        };
        let words: Vec<String> = versions.iter().map(|version| of(version)).collect();
        found.push(Diagnosis::warning(
            Area::Nodes,
            format!("The nodes run different versions: {}.", words.join(", ")),
            "That is meant for the time of an upgrade, and for neighbouring versions only.",
            "Upgrade the older nodes.",
        ));
    } else if versions.first().is_some_and(|version| *version != own) {
        found.push(Diagnosis::note(
            Area::Nodes,
            format!("The nodes run version {}; this program is version {own}.", versions.first().unwrap_or(&"")),
            "The daemon on this machine, if there is one, still runs the program from before an upgrade.",
            "Restart the daemon: sexton restart, or systemctl restart sexton",
        ));
    }
    let names: BTreeSet<&str> = live.iter().map(|node| node.name.as_str()).collect();
    if names.len() < live.len() {
        found.push(Diagnosis::warning(
            Area::Nodes,
            "Several nodes have the same name.",
            "Nobody can tell them apart in the history and in notices, and a dead one is not missed.",
            "Give each node its own daemon.name.",
        ));
    }
    if live.is_empty() {
        found.push(Diagnosis::note(
            Area::Nodes,
            "No node is running.",
            "Tasks wait, and schedules do not fire.",
            "Start the daemon: sexton start, or systemctl start sexton",
        ));
    }
    if found.is_empty() {
        found.push(Diagnosis::ok(Area::Nodes, format!("{} of version {own}.", counted(live.len(), "node"))));
    }
    found
}

/// The finding about open problems, each in words.
pub fn diagnose_problems(open: &[String]) -> Diagnosis {
    if open.is_empty() {
        return Diagnosis::ok(Area::Nodes, "No problem is open.");
    }
    let more = open.len().saturating_sub(MAX_NAMED);
    let named = open.iter().take(MAX_NAMED).cloned().collect::<Vec<_>>().join("; ");
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    Diagnosis::warning(
        Area::Nodes,
        format!("{}: {named}{more}.", counted(open.len(), "open problem")),
        "These are failures that the daemon has seen itself.",
        "sexton problem list, and sexton problem show for each",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::doctor::Gravity;

    fn node(name: &str, version: &str, is_alive: bool) -> NodeFacts {
        NodeFacts { name: name.to_owned(), version: version.to_owned(), is_alive }
    }

    #[test]
    fn each_fault_of_the_nodes_is_found() {
        let found = |nodes: &[NodeFacts]| diagnose_nodes(nodes, "2.0.0");
        assert_eq!(found(&[node("a", "2.0.0", true)]), [Diagnosis::ok(Area::Nodes, "1 node of version 2.0.0.")]);
        let cases = [
            (vec![], Gravity::Note, "No node is running."),
            (vec![node("a", "2.0.0", true), node("b", "2.0.0", false)], Gravity::Warning, "Node b has lost its lease."),
            (vec![node("a", "1.9.0", true), node("b", "2.0.0", true)], Gravity::Warning, "1.9.0 (a), 2.0.0 (b)"),
            (vec![node("a", "1.9.0", true)], Gravity::Note, "version 1.9.0; this program is version 2.0.0"),
            (vec![node("a", "2.0.0", true), node("a", "2.0.0", true)], Gravity::Warning, "the same name"),
        ];
        for (nodes, severity, words) in cases {
            let found = found(&nodes);
            assert_eq!((found.len(), found[0].severity), (1, severity), "{found:#?}");
            assert!(found[0].found.contains(words), "{}", found[0].found);
        }
    }

    #[test]
    fn the_first_problems_are_named() {
        let open: Vec<String> = (1..=7).map(|id| format!("{id} task t")).collect();
        assert_eq!(
            diagnose_problems(&open).found,
            "7 open problems: 1 task t; 2 task t; 3 task t; 4 task t; 5 task t; and 2 more."
        );
        assert_eq!(diagnose_problems(&[]).severity, Gravity::Ok);
    }
}
