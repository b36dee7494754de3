//! What a database server says about itself, and what Sexton asks of it.

use std::{collections::BTreeMap, time::Duration};

use super::{Area, Diagnosis};
use crate::domain::text::plural::counted;

/// Connections of a node beside its pool: the lease, the listener, and a call of the command line.
const BESIDE_THE_POOL: u64 = 4;

/// Version and settings of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerFacts {
    /// The version, as the server writes it.
    pub version: String,
    /// Settings by name, in lower case.
    pub settings: BTreeMap<String, String>,
}

impl ServerFacts {
    /// A setting; none if the server does not have it, or does not show it.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str)
    }

    /// A setting that is a number.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.text(name)?.trim().parse().ok()
    }

    /// Whether a setting has one of these values; upper and lower case are the same.
    pub fn is(&self, name: &str, values: &[&str]) -> bool {
        self.text(name).is_some_and(|value| values.iter().any(|known| known.eq_ignore_ascii_case(value)))
    }

    /// The first numbers of the version.
    pub fn release(&self) -> (u32, u32, u32) {
        let mut numbers = self.version.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok());
        let mut next = || numbers.next().unwrap_or(0);
        (next(), next(), next())
    }
}

/// What the nodes ask of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// The pool of a node.
    pub pool: u32,
    /// Nodes that live; at least this one counts.
    pub nodes: usize,
    /// How long a statement may take.
    pub statement: Duration,
    /// The largest payload, in bytes.
    pub max_payload: u64,
}

impl Demand {
    /// The connections that all nodes may open.
    pub fn connections(&self) -> u64 {
        self.nodes.max(1) as u64 * (u64::from(self.pool) + BESIDE_THE_POOL)
    }

    /// That the server gives fewer connections than the nodes may open.
    pub fn shortage(&self, available: i64, setting: &str, remedy: &str) -> Option<Diagnosis> {
        let (needed, given) = (self.connections(), u64::try_from(available).unwrap_or(0));
        let nodes = counted(self.nodes.max(1), "node");
        (needed > given).then(|| {
            Diagnosis::warning(
                Area::Database,
                format!(
                    "{nodes} with database.max_connections = {} may open {needed} connections; the server gives \
                     {given} ({setting}).",
                    self.pool
                ),
                "Under load, nodes and the application are refused, and a node that is refused loses its lease.",
                format!("{remedy}, or lower database.max_connections."),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_servers_write_them() {
        let release = |text: &str| ServerFacts { version: text.to_owned(), ..ServerFacts::default() }.release();
        assert_eq!(release("15.18 (Debian 15.18-0+deb12u1)"), (15, 18, 15));
        assert_eq!(release("10.11.19-MariaDB-0+deb12u1"), (10, 11, 19));
        assert_eq!(release("9.7.4"), (9, 7, 4));
        assert_eq!(release("unknown"), (0, 0, 0));
    }

    #[test]
    fn every_node_has_a_pool_and_some_more() {
        let demand = Demand { pool: 10, nodes: 3, statement: Duration::from_secs(60), max_payload: 1 };
        assert_eq!(demand.connections(), 42);
        assert!(demand.shortage(42, "max_connections = 42", "").is_none());
        let found = demand.shortage(40, "max_connections = 45", "Raise it").expect("two are missing");
        assert!(found.found.starts_with("3 nodes with database.max_connections = 10 may open 42"), "{}", found.found);
    }
}
