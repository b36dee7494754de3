//! How the nodes define a schedule: whether a node that runs has it, and whether all of them have the same one.
//!
//! Of several definitions, the one that a node entered last is in force: the others enter no instants, until no node with
//! that definition runs any more.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::Serialize;
use sexton_entities::{node, schedule, states::Origin};

use super::reason::shown;

/// What a node has said of its schedules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSchedules {
    /// Its boot id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether it has a lease.
    pub is_live: bool,
    /// Its latest heartbeat.
    pub heartbeat_at: DateTime<Utc>,
    /// The recurrences of each schedule, by its name. `None` if it has not said so, as nodes of an earlier version.
    pub specs: Option<BTreeMap<String, String>>,
}

impl NodeSchedules {
    /// What a node has said by its row. What cannot be read counts as not said.
    pub fn of(row: &node::Model, now: DateTime<Utc>) -> Self {
        Self {
            id: row.id.clone(),
            name: row.name.clone(),
            is_live: row.lease_expires_at > now,
            heartbeat_at: row.heartbeat_at,
            specs: row.schedules.clone().and_then(|specs| serde_json::from_value(specs).ok()),
        }
    }

    /// The recurrences of a schedule on this node.
    pub fn spec(&self, schedule: &str) -> Option<&str> {
        self.specs.as_ref()?.get(schedule).map(String::as_str)
    }
}

/// What is wrong with the definitions of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum DefinitionFault {
    /// Nodes that run define it differently.
    Differs {
        /// These nodes.
        nodes: Vec<String>,
        /// The node whose definition is in force.
        in_force: Option<String>,
        /// Since when it is.
        since: Option<DateTime<Utc>>,
    },
    /// No node that runs has it.
    NotServed {
        /// The node that had it last.
        node: Option<String>,
        /// When that node was last seen.
        last_seen_at: Option<DateTime<Utc>>,
    },
}

impl DefinitionFault {
    /// What is wrong with the definitions of a schedule, as its row and the nodes say. A pause excuses one that no node has,
    /// and so does its last node, if that is back without it.
    pub fn of(row: &schedule::Model, nodes: &[NodeSchedules]) -> Option<Self> {
        if row.origin != Origin::Config {
            return None;
        }
        let is_newest = |node: &NodeSchedules| {
            !nodes.iter().any(|other| other.name == node.name && other.heartbeat_at > node.heartbeat_at)
        };
        // A node that has crashed and is back has two rows for a while.
        let live = || nodes.iter().filter(|node| node.is_live && is_newest(node));
        // Without any node, that is what is to be said.
        live().next()?;
        let with_it: Vec<(&str, &str)> = live().filter_map(|node| Some((&*node.name, node.spec(&row.name)?))).collect();
        let specs: BTreeSet<&str> = with_it.iter().map(|(_, spec)| *spec).collect();
        if specs.len() > 1 {
            let nodes: BTreeSet<&str> = with_it.iter().map(|(node, _)| *node).collect();
            return Some(Self::Differs {
                nodes: nodes.into_iter().map(str::to_owned).collect(),
                in_force: row.defined_on.clone(),
                since: row.defined_at,
            });
        }
        if !specs.is_empty() || row.paused || live().any(|node| node.specs.is_none()) {
            return None;
        }
        let dying = nodes.iter().filter(|node| node.spec(&row.name).is_some());
        let dying = dying.map(|node| (node.heartbeat_at, Some(node.name.clone())));
        let left = row.left_at.map(|at| (at, row.left_on.clone()));
        let last = dying.chain(left).max();
        if last.as_ref().is_some_and(|(_, last)| live().any(|node| Some(&node.name) == last.as_ref())) {
            return None;
        }
        Some(Self::NotServed { last_seen_at: last.as_ref().map(|(at, _)| *at), node: last.and_then(|(_, node)| node) })
    }

    /// The same in a sentence.
    pub fn sentence(&self, schedule: &str) -> String {
        match self {
            Self::Differs { nodes, in_force, since } => {
                let of = in_force.as_ref().map_or_else(
                    || "the one that was entered last".to_owned(),
                    |node| {
                        let since = since.map(|at| format!(", of {},", shown(at))).unwrap_or_default();
                        format!("the definition of {node}{since}")
                    },
                );
                format!("nodes {} define schedule {schedule} differently; {of} is in force", listed(nodes))
            }
            Self::NotServed { node: Some(node), last_seen_at: Some(at) } => format!(
                "no running node has schedule {schedule}: node {node}, the last one with it, has not been seen since {}",
                shown(*at)
            ),
            Self::NotServed { .. } => format!("no running node has schedule {schedule}"),
        }
    }

    /// Since when the schedule has been without a node, if it is.
    pub fn without_node_since(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::NotServed { last_seen_at, .. } => *last_seen_at,
            Self::Differs { .. } => None,
        }
    }
}

/// Whether the definition of this node is not in force, because another node that runs has entered another one since this
/// node has said how it defines the schedule. `known` is the one in force, `written` that of this node.
pub fn is_overruled(own_id: &str, name: &str, written: &str, known: &str, nodes: &[NodeSchedules]) -> bool {
    let has_said = nodes.iter().any(|node| node.id == own_id && node.spec(name) == Some(written));
    let mut others = nodes.iter().filter(|node| node.is_live && node.id != own_id);
    has_said && written != known && others.any(|node| node.specs.is_none() || node.spec(name) == Some(known))
}

/// `alpha, beta and gamma`.
fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("an instant")
    }

    fn node(name: &str, is_live: bool, spec: Option<&str>) -> NodeSchedules {
        NodeSchedules {
            id: format!("{name}-1"),
            name: name.to_owned(),
            is_live,
            heartbeat_at: at("2026-11-22T14:02:00Z"),
            specs: Some(spec.map(|spec| ("s".to_owned(), spec.to_owned())).into_iter().collect()),
        }
    }

    pub(in crate::domain::schedule) fn row(spec: &str) -> schedule::Model {
        schedule::Model {
            name: "s".to_owned(),
            task: "s".to_owned(),
            origin: Origin::Config,
            spec: spec.to_owned(),
            paused: false,
            last_at: at("2026-11-22T13:00:00Z"),
            next_at: None,
            created_at: at("2026-11-22T12:00:00Z"),
            paused_at: None,
            paused_by: None,
            paused_host: None,
            pause_reason: None,
            removed_at: None,
            paused_until: None,
            excused_until: None,
            expect: None,
            expected_on: None,
            expected_by: None,
            succeeded_at: None,
            defined_on: Some("beta".to_owned()),
            defined_at: Some(at("2026-11-22T13:30:00Z")),
            left_on: None,
            left_at: None,
            cron: None,
            timezone: None,
            payload: None,
            settings: None,
            shadowed_task: None,
        }
    }

    fn said(row: &schedule::Model, nodes: &[NodeSchedules]) -> Option<String> {
        DefinitionFault::of(row, nodes).map(|fault| fault.sentence("s"))
    }

    #[test]
    fn a_schedule_whose_only_node_is_down_says_so() {
        let (alpha, beta) = (node("alpha", true, None), node("beta", false, Some("x")));
        let sentence = "no running node has schedule s: node beta, the last one with it, has not been seen since \
                        2026-11-22T14:02:00Z";
        assert_eq!(said(&row("x"), &[alpha.clone(), beta.clone()]).as_deref(), Some(sentence));
        let left = schedule::Model { left_on: Some("beta".to_owned()), left_at: Some(beta.heartbeat_at), ..row("x") };
        assert_eq!(said(&left, std::slice::from_ref(&alpha)).as_deref(), Some(sentence), "its row is gone");
        assert_eq!(said(&row("x"), std::slice::from_ref(&alpha)).as_deref(), Some("no running node has schedule s"));
        assert_eq!(said(&schedule::Model { paused: true, ..left.clone() }, std::slice::from_ref(&alpha)), None);
        let old = NodeSchedules { specs: None, ..node("gamma", true, None) };
        assert_eq!(said(&left, &[alpha, old]), None, "a node of an earlier version may have it");
        assert_eq!(said(&left, &[node("beta", true, Some("x"))]), None, "it is back");
        let without = NodeSchedules { heartbeat_at: at("2026-11-22T14:03:00Z"), ..node("beta", true, None) };
        assert_eq!(said(&left, std::slice::from_ref(&without)), None, "it is back, and does not have it any more");
        let crashed = NodeSchedules { id: "beta-0".to_owned(), ..node("beta", true, Some("y")) };
        let back = NodeSchedules { heartbeat_at: without.heartbeat_at, ..node("beta", true, Some("x")) };
        assert_eq!(said(&row("x"), &[crashed, back]), None, "one node, before and after its crash");
    }

    #[test]
    fn two_definitions_are_named_with_the_one_in_force() {
        let nodes = [node("alpha", true, Some("x")), node("beta", true, Some("y")), node("gamma", false, Some("z"))];
        let sentence = "nodes alpha and beta define schedule s differently; the definition of beta, of \
                        2026-11-22T13:30:00Z, is in force";
        assert_eq!(said(&row("y"), &nodes).as_deref(), Some(sentence));
        assert!(is_overruled("alpha-1", "s", "x", "y", &nodes));
        assert!(!is_overruled("beta-1", "s", "y", "y", &nodes), "it is in force");
        assert!(!is_overruled("alpha-2", "s", "x", "y", &nodes), "a node that has just started enters its own");
        assert!(!is_overruled("alpha-1", "s", "w", "y", &nodes), "so does one whose definition was edited");
        assert!(!is_overruled("alpha-1", "s", "x", "z", &nodes), "the node with the definition in force is gone");
    }
}
