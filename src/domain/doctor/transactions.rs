//! Transactions that last long: they keep dead rows, and what they hold.

use std::time::Duration;

use super::{Area, Diagnosis};
use crate::domain::{
    daemon::disk::size,
    text::{duration, plural::counted},
};

/// From this age on a transaction is worth a thought, and from the other one on it hurts.
pub const LONG: Duration = Duration::from_secs(300);
const VERY_LONG: Duration = Duration::from_secs(3_600);
/// A slot that keeps this much of the log fills the disk.
const MUCH_LOG: u64 = 1 << 30;

/// What keeps dead rows, or log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransactionHolder {
    /// A session of the server, by its number.
    Session {
        /// Its number.
        id: i64,
        /// `idle in transaction`, `active`, …; none where that is not known.
        state: Option<String>,
    },
    /// A transaction that was prepared and neither committed nor rolled back, by its name.
    Prepared(String),
    /// A transaction of MariaDB or MySQL that was prepared (XA), and whose session is gone. Its name is not known.
    Xa,
    /// A replication slot.
    Slot {
        /// Its name.
        name: String,
        /// The log that it keeps, in bytes.
        kept: u64,
        /// Whether it keeps dead rows.
        keeps_rows: bool,
    },
}

/// A transaction that lasts long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LongTransaction {
    /// What it belongs to.
    pub holder: TransactionHolder,
    /// The role, and the application if it says its name.
    pub who: String,
    /// How long it has lasted; zero for a slot.
    pub age: Duration,
}

/// What is known of transactions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransactionFacts {
    /// Those that last long.
    pub long: Vec<LongTransaction>,
    /// Sessions of other roles that this role may not look at.
    pub hidden: i64,
    /// The command that ends a session: `SELECT pg_terminate_backend(…);`, with `{}` for its number.
    pub end: &'static str,
}

/// The findings about transactions.
pub fn diagnose(facts: &TransactionFacts) -> Vec<Diagnosis> {
    let mut found: Vec<Diagnosis> = facts.long.iter().filter_map(|one| of_transaction(one, facts.end)).collect();
    if facts.hidden > 0 {
        found.push(Diagnosis::note(
            Area::Transactions,
            format!("{} of other roles cannot be looked at.", counted(facts.hidden, "session")),
            "One of them may have an old transaction.",
            "GRANT pg_read_all_stats TO the role, or run the command with a URL of an administrator.",
        ));
    }
    if found.is_empty() {
        let limit = duration::text(LONG);
        found.push(Diagnosis::ok(Area::Transactions, format!("No transaction has lasted longer than {limit}.")));
    }
    found
}

fn of_transaction(one: &LongTransaction, end: &str) -> Option<Diagnosis> {
    let (who, age) = (&one.who, duration::text(Duration::from_secs(one.age.as_secs())));
    Some(match &one.holder {
        TransactionHolder::Session { id, state } => {
            let make = if one.age >= VERY_LONG { Diagnosis::error } else { Diagnosis::warning };
            let state = state.as_ref().map(|state| format!(", {state}")).unwrap_or_default();
            make(
                Area::Transactions,
                format!("A transaction of {who} has lasted for {age} (session {id}{state})."),
                "Dead rows of all tables stay until it ends, and every claim reads them. It may hold locks as well.",
                format!("Commit or roll back there, or: {}", end.replace("{}", &id.to_string())),
            )
        }
        TransactionHolder::Prepared(name) => Diagnosis::error(
            Area::Transactions,
            format!("The prepared transaction `{name}` of {who} has waited for {age}."),
            "It survives restarts of the server. Until it ends, dead rows stay, and so do its locks.",
            format!("COMMIT PREPARED '{name}'; or ROLLBACK PREPARED '{name}';"),
        ),
        TransactionHolder::Xa => Diagnosis::error(
            Area::Transactions,
            format!("A prepared transaction (XA) without a session has waited for {age}."),
            "It survives restarts of the server. Until it ends, dead rows stay, and so do its locks.",
            "XA RECOVER; shows its name; then XA COMMIT or XA ROLLBACK with it",
        ),
        TransactionHolder::Slot { kept, keeps_rows, .. } if !keeps_rows && *kept < MUCH_LOG => return None,
        TransactionHolder::Slot { name, kept, keeps_rows } => {
            let what = if *keeps_rows { "dead rows and " } else { "" };
            Diagnosis::warning(
                Area::Transactions,
                format!("The replication slot {name} is not in use, and keeps {what}{} of log.", size(*kept)),
                "Nothing that it needs is removed until its replica comes back: tables grow, and the disk fills.",
                format!("If the replica is gone: SELECT pg_drop_replication_slot('{name}');"),
            )
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::doctor::Gravity;

    fn found(holder: TransactionHolder, seconds: u64) -> Vec<Diagnosis> {
        let one = LongTransaction { holder, who: "app (psql)".to_owned(), age: Duration::from_secs(seconds) };
        diagnose(&TransactionFacts { long: vec![one], hidden: 0, end: "KILL {};" })
    }

    #[test]
    fn each_holder_is_named_with_what_ends_it() {
        let session = || TransactionHolder::Session { id: 42, state: Some("idle in transaction".to_owned()) };
        let slot = |kept, keeps_rows| TransactionHolder::Slot { name: "old".to_owned(), kept, keeps_rows };
        let cases = [
            (session(), 400, Gravity::Warning, "app (psql) has lasted for 6m 40s (session 42, idle in", "KILL 42;"),
            (session(), 7_200, Gravity::Error, "has lasted for 2h", "KILL 42;"),
            (
                TransactionHolder::Prepared("x".to_owned()),
                1,
                Gravity::Error,
                "prepared transaction `x`",
                "ROLLBACK PREPARED 'x'",
            ),
            (TransactionHolder::Xa, 400, Gravity::Error, "prepared transaction (XA)", "XA RECOVER"),
            (slot(0, true), 0, Gravity::Warning, "keeps dead rows and 0 bytes of log", "slot('old')"),
            (slot(2 << 30, false), 0, Gravity::Warning, "keeps 2.0 GiB of log", "slot('old')"),
            (slot(1 << 20, false), 0, Gravity::Ok, "No transaction", ""),
        ];
        for (holder, seconds, severity, words, remedy) in cases {
            let found = found(holder, seconds);
            assert_eq!((found.len(), found[0].severity), (1, severity), "{found:#?}");
            assert!(found[0].found.contains(words), "{words}: {}", found[0].found);
            assert!(found[0].remedy.as_deref().unwrap_or_default().contains(remedy), "{found:#?}");
        }
    }

    #[test]
    fn what_cannot_be_seen_is_said() {
        let found = diagnose(&TransactionFacts { hidden: 3, ..TransactionFacts::default() });
        assert_eq!(found[0].found, "3 sessions of other roles cannot be looked at.");
        assert_eq!((found.len(), found[0].severity), (1, Gravity::Note));
    }
}
