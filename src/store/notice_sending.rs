//! Sending notices: one node at a time leases them, and they are kept until they are sent or given up.

use std::time::Duration;

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QueryTrait as _, Value};
use sexton_entities::notice;

use super::{Store, StoreError, dialect::Kind, rows::Rows};
use crate::domain::notice::KEPT_FOR;

/// Maximum number of notices of each channel that one call leases: one that fails keeps no other back.
const PORTION: usize = 20;

/// What became of a notice that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tried {
    /// It was sent.
    Sent,
    /// It could not be sent, for this reason. It is tried again after the delay, unless it is too old.
    Failed(String, Duration),
}

impl Store {
    /// Leases the next notices of these channels to a node, for that time. Only the node that has the lease sends them.
    ///
    /// # Errors
    /// If the database is unavailable or refuses a statement.
    pub async fn lease_notices(
        &self,
        node: &str,
        channels: &[String],
        lease: Duration,
    ) -> Result<Vec<notice::Model>, StoreError> {
        let now = self.dialect.now();
        let is_free =
            format!("state = 'waiting' AND next_at <= {now} AND (leased_until IS NULL OR leased_until <= {now})");
        let mut names = Rows::new(self.dialect);
        for channel in channels {
            names.push(|row| {
                row.set("name", channel.clone());
            });
        }
        let known = self.dialect.rows("k", &[("name", Kind::Text)]);
        let find = format!(
            "SELECT n.id AS id FROM (SELECT id, ROW_NUMBER() OVER (PARTITION BY channel ORDER BY id) AS place \
             FROM sexton_notice WHERE {is_free} AND channel IN (SELECT k.name FROM {known})) n \
             WHERE n.place <= {PORTION} ORDER BY n.id"
        );
        let take = format!(
            "UPDATE sexton_notice SET leased_by = ?, leased_until = {} WHERE id = ? AND {is_free}",
            self.dialect.now_plus_millis("?")
        );
        let mut leased = Vec::new();
        for row in self.all(&self.db, &find, [names.into_value()]).await? {
            let id: i64 = row.try_get("", "id")?;
            let millis = i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
            let taken = self
                .with_retries(async || self.run(&self.db, &take, [node.into(), millis.into(), id.into()]).await)
                .await?;
            if taken == 1 {
                leased.push(id);
            }
        }
        if leased.is_empty() {
            return Ok(Vec::new());
        }
        let query = notice::Entity::find()
            .filter(notice::Column::Id.is_in(leased))
            .order_by_asc(notice::Column::Id)
            .build(self.backend());
        self.readable(&self.db, query, "sexton_notice", "id").await
    }

    /// Records what became of a notice. One that is too old is given up: then it returns true.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn record_notice(&self, notice: &notice::Model, node: &str, tried: &Tried) -> Result<bool, StoreError> {
        let (now, later) = (self.dialect.now(), self.dialect.now_plus_millis("?"));
        let old = self.dialect.now_plus_millis(&format!("-{}", KEPT_FOR.as_millis()));
        let is_mine = "WHERE id = ? AND leased_by = ? AND state = 'waiting'";
        let (sql, values) = match tried {
            Tried::Sent => (
                format!(
                    "UPDATE sexton_notice SET state = 'sent', attempts = attempts + 1, finished_at = {now}, error = NULL, \
                     facts = CASE WHEN about = 'output' THEN {} ELSE facts END, \
                     leased_by = NULL, leased_until = NULL {is_mine}",
                    self.dialect.json(self.dialect.text_parameter())
                ),
                // The output itself is in `sexton_output`.
                vec!["{}".into(), notice.id.into(), node.into()],
            ),
            Tried::Failed(why, delay) => (
                format!(
                    "UPDATE sexton_notice SET attempts = attempts + 1, error = ?, next_at = {later}, \
                     state = CASE WHEN created_at < {old} THEN 'given_up' ELSE 'waiting' END, \
                     finished_at = CASE WHEN created_at < {old} THEN {now} ELSE NULL END, leased_until = NULL {is_mine}"
                ),
                vec![
                    why.replace('\0', " ").into(),
                    i64::try_from(delay.as_millis()).unwrap_or(i64::MAX).into(),
                    notice.id.into(),
                    node.into(),
                ],
            ),
        };
        self.with_retries(async || self.run(&self.db, &sql, values.clone()).await).await?;
        let is_over = "SELECT id FROM sexton_notice WHERE id = ? AND state = 'given_up'";
        Ok(*tried != Tried::Sent && !self.all(&self.db, is_over, [notice.id.into()]).await?.is_empty())
    }

    /// Gives the lease of a notice back that was not tried. It is tried after `rest`.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn return_notice(&self, notice: &notice::Model, node: &str, rest: Duration) -> Result<(), StoreError> {
        let later = self.dialect.now_plus_millis("?");
        let next = if rest.is_zero() { String::new() } else { format!(", next_at = {later}") };
        let sql = format!(
            "UPDATE sexton_notice SET leased_by = NULL, leased_until = NULL{next} WHERE id = ? AND leased_by = ?"
        );
        let rest = (!rest.is_zero()).then(|| i64::try_from(rest.as_millis()).unwrap_or(i64::MAX));
        self.with_retries(async || {
            let values = rest.map(Value::from).into_iter().chain([notice.id.into(), node.into()]);
            self.run(&self.db, &sql, values).await.map(|_| ())
        })
        .await
    }

    /// Deletes notices that were written longer ago than that, and gives up those that no node sends.
    pub(super) async fn prune_notices(&self, age_ms: i64) -> Result<(), StoreError> {
        let before = self.dialect.now_plus_millis("?");
        let given_up = format!(
            "UPDATE sexton_notice SET state = 'given_up', finished_at = {}, \
             error = COALESCE(error, 'no node has its channel') WHERE state IN ('waiting', 'held') AND created_at < {before}",
            self.dialect.now()
        );
        let delete =
            format!("DELETE FROM sexton_notice WHERE created_at < {before} AND state NOT IN ('waiting', 'held')");
        let twice = -2 * i64::try_from(KEPT_FOR.as_millis()).unwrap_or(i64::MAX / 2);
        self.with_retries(async || {
            self.run(&self.db, &given_up, [twice.into()]).await?;
            self.run(&self.db, &delete, [age_ms.into()]).await.map(|_| ())
        })
        .await
    }
}
