//! Attempts with what was unusual about them.

use std::collections::HashMap;

use serde::Serialize;
use sexton_entities::{history, states::Unusual};

use super::{
    pause,
    session::{OpenSession, with_advice},
};
use crate::domain::{baseline::UnusualFigure, command::left_behind};

/// An attempt, and what was unusual about it.
#[derive(Serialize)]
pub(super) struct JudgedAttempt {
    #[serde(flatten)]
    pub(super) attempt: history::Model,
    unusual: Vec<Unusual>,
    #[serde(skip)]
    findings: Vec<UnusualFigure>,
}

impl JudgedAttempt {
    /// What is remarkable about it, for people.
    pub(super) fn remark(&self) -> Option<String> {
        let findings = self.findings.iter().map(ToString::to_string);
        let parts: Vec<String> = remark(&self.attempt).into_iter().chain(findings).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

/// Adds to attempts what was unusual about them.
pub(super) async fn judged(open: &OpenSession, attempts: Vec<history::Model>) -> anyhow::Result<Vec<JudgedAttempt>> {
    let ids: Vec<i64> = attempts.iter().map(|attempt| attempt.id).collect();
    let mut found: HashMap<i64, Vec<UnusualFigure>> = HashMap::new();
    for row in open.store.unusual(&ids).await.map_err(with_advice)? {
        let finding = UnusualFigure { what: row.what, value: row.value, usual: row.usual };
        found.entry(row.history_id).or_default().push(finding);
    }
    let judged = |attempt: history::Model| {
        let findings = found.remove(&attempt.id).unwrap_or_default();
        JudgedAttempt { unusual: findings.iter().map(|finding| finding.what).collect(), attempt, findings }
    };
    Ok(attempts.into_iter().map(judged).collect())
}

/// What is remarkable about an attempt, for people: who cancelled it, or else why it did not succeed, and the processes
/// that it left behind.
fn remark(row: &history::Model) -> Option<String> {
    let left = row.left_behind.and_then(|count| u64::try_from(count).ok()).filter(|count| *count > 0).map(left_behind);
    let parts: Vec<String> = pause::cancelled_by(row).or_else(|| row.error.clone()).into_iter().chain(left).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}
