//! Writing entries of the fire ledger, `sexton_occurrence`: each reason as a code and typed values.

use chrono::NaiveTime;
use sexton_entities::states::ReasonCode;

use super::{
    Firing, Store, StoreError,
    connection::DatabaseTransaction,
    dialect::Kind,
    pause_schedule::HAS_END,
    rows::{Row, Rows},
    schedules::IN_FORCE,
};
use crate::domain::schedule::reason::{Reason, columns::ReasonColumns};

/// By which definition it is entered.
const SPEC: [(&str, Kind); 1] = [("spec", Kind::Text)];
/// What identifies an entry, and the decision.
const ENTRY: [(&str, Kind); 4] =
    [("schedule", Kind::Text), ("due_at", Kind::Instant), ("fate", Kind::Text), ("reason_code", Kind::Text)];
/// The values of a reason. A schedule that is paused has none of them.
const VALUES: [(&str, Kind); 11] = [
    ("late_ms", Kind::Integer),
    ("coalesced_into", Kind::Instant),
    ("held_until", Kind::Instant),
    ("period", Kind::Text),
    ("blocked_by", Kind::Instant),
    ("missed_max", Kind::Integer),
    ("missed_age_ms", Kind::Integer),
    ("window_from", Kind::Time),
    ("window_to", Kind::Time),
    ("window_at", Kind::Time),
    ("window_timezone", Kind::Text),
];
/// The text of a reason that has no values.
const TEXT: [(&str, Kind); 1] = [("reason", Kind::Text)];
/// How many earlier instants the entry accounts for, whatever its reason.
const OTHERS: [(&str, Kind); 2] = [("stands_for", Kind::Integer), ("stands_for_more", Kind::Boolean)];

impl Store {
    /// Inserts the entries that no other transaction has made. Whether a schedule is paused is read in the same
    /// transaction, so a pause takes effect at once.
    ///
    /// # Errors
    /// If the database is not available or refuses the statement.
    pub(super) async fn enter(
        &self,
        transaction: &DatabaseTransaction,
        node: &str,
        entry: &str,
        firings: &[Firing],
    ) -> Result<u64, StoreError> {
        // From the end of a pause on, instants run also before a node has ended it.
        let is_paused = format!(
            "s.paused AND d.fate <> 'coalesced' \
             AND (s.paused_until IS NULL OR NOT {HAS_END} OR d.due_at < s.paused_until)"
        );
        let values: Vec<String> = VALUES
            .iter()
            .chain(&TEXT)
            .map(|(name, _)| format!("CASE WHEN {is_paused} THEN NULL ELSE d.{name} END"))
            .collect();
        let select = format!(
            "SELECT d.schedule, d.due_at, CASE WHEN {is_paused} THEN 'skipped' ELSE d.fate END, \
             CASE WHEN {is_paused} THEN 'paused' ELSE d.reason_code END, {values}, \
             COALESCE(d.stands_for, 0), COALESCE(d.stands_for_more, false), {text}, {text} \
             FROM {rows} JOIN sexton_schedule s ON s.name = d.schedule AND s.removed_at IS NULL \
             AND {IN_FORCE} AND (d.fate = 'coalesced' OR s.last_at < d.due_at)",
            values = values.join(", "),
            text = self.dialect.text_parameter(),
            rows = self.dialect.rows("d", &[&ENTRY[..], &SPEC, &VALUES, &TEXT, &OTHERS].concat()),
        );
        let columns: Vec<&str> =
            ENTRY.iter().chain(&VALUES).chain(&TEXT).chain(&OTHERS).map(|(name, _)| *name).collect();
        let head = format!("sexton_occurrence ({}, node, entry)", columns.join(", "));
        let sql = self.dialect.insert_new(&head, &select);
        self.run(transaction, &sql, [node.into(), entry.into(), self.entry_rows(firings)]).await
    }

    fn entry_rows(&self, firings: &[Firing]) -> sea_orm::Value {
        let mut rows = Rows::new(self.dialect);
        for firing in firings {
            rows.push(|row| {
                row.set("schedule", firing.schedule.clone())
                    .set("spec", firing.spec.clone())
                    .at("due_at", firing.due_at)
                    .set("fate", firing.fate.as_str());
                set_reason(row, ReasonColumns::of(firing.reason.as_ref()));
                if let Some(Reason::Other { text }) = &firing.reason {
                    row.set("reason", text.clone());
                }
                if let Some(others) = firing.stands_for {
                    row.set("stands_for", others.count).set("stands_for_more", others.is_more);
                }
            });
        }
        rows.into_value()
    }
}

fn set_reason(row: &mut Row, reason: ReasonColumns) {
    let time = |time: Option<NaiveTime>| time.map(|time| time.format("%H:%M:%S").to_string());
    row.set("reason_code", reason.reason_code.map(ReasonCode::as_str))
        .set("late_ms", reason.late_ms)
        .at("coalesced_into", reason.coalesced_into)
        .at("held_until", reason.held_until)
        .set("period", reason.period)
        .at("blocked_by", reason.blocked_by)
        .set("missed_max", reason.missed_max)
        .set("missed_age_ms", reason.missed_age_ms)
        .set("window_from", time(reason.window_from))
        .set("window_to", time(reason.window_to))
        .set("window_at", time(reason.window_at))
        .set("window_timezone", reason.window_timezone);
}
