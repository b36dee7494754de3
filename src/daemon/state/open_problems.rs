//! The problems that last, as this node last saw them.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sexton_entities::{
    problem,
    states::{ProblemKind, ProblemState},
};

/// Maximum number of problems that the status names.
const MAX_NAMED: usize = 10;

/// A problem that lasts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenProblem {
    /// Its number.
    pub id: i64,
    /// What kind of thing it is of.
    pub kind: ProblemKind,
    /// The name of that thing.
    pub name: String,
    /// Whether an operator has acknowledged or muted it.
    pub state: ProblemState,
    /// How often it occurred.
    pub times: i64,
    /// When it began.
    pub opened_at: DateTime<Utc>,
    /// What happened last.
    pub what: String,
}

impl From<&problem::Model> for OpenProblem {
    fn from(row: &problem::Model) -> Self {
        Self {
            id: row.id,
            kind: row.kind,
            name: row.name.clone(),
            state: row.state,
            times: row.times,
            opened_at: row.opened_at,
            what: row.what.clone(),
        }
    }
}

/// The problems that last. Clones share them.
#[derive(Clone, Default)]
pub struct OpenProblems {
    found: Arc<Mutex<(usize, Vec<OpenProblem>)>>,
}

impl OpenProblems {
    /// Replaces them.
    pub(in crate::daemon) fn replace<'a>(&self, rows: impl Iterator<Item = &'a problem::Model>) {
        let all: Vec<&problem::Model> = rows.collect();
        *self.found.lock() = (all.len(), all.iter().take(MAX_NAMED).map(|row| OpenProblem::from(*row)).collect());
    }

    /// Their number.
    pub fn count(&self) -> usize {
        self.found.lock().0
    }

    /// The latest of them.
    pub fn named(&self) -> Vec<OpenProblem> {
        self.found.lock().1.clone()
    }
}
