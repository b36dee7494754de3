//! Notices: written together with what they change in their problem, sent by one node at a time, and kept until they are
//! sent or given up.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait as _};
use serde_json::Value as Json;
use sexton_entities::{
    notice, problem,
    states::{NoticeAbout, NoticeState, ProblemState},
};

use super::{Store, StoreError, connection::DatabaseTransaction, dialect::Kind, identity::ROW, rows::Rows};
use crate::domain::notice::{KEPT_FOR, TOLD_LATE_WITHIN, TOLD_WITHIN};

/// The time over which the notices of a channel are limited, in milliseconds.
const LIMITED_FOR_MS: i64 = 3_600_000;
/// Maximum number of notices that one call leases.
const PORTION: usize = 20;
/// Maximum number of held notices that a notice names.
const MAX_NAMED: usize = 20;

/// A notice to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct NewNotice {
    /// What distinguishes it from every other one.
    pub key: String,
    /// The channel.
    pub channel: String,
    /// Maximum number of notices of this channel within an hour.
    pub max_per_hour: u32,
    /// What it says.
    pub about: NoticeAbout,
    /// What is known.
    pub facts: Json,
}

/// What became of a notice that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tried {
    /// It was sent.
    Sent,
    /// It could not be sent, for this reason. It is tried again after the delay, unless it is too old.
    Failed(String, Duration),
}

/// The notices of a channel that are held back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldNotices {
    /// The ids of all of them.
    pub ids: Vec<i64>,
    /// What the first of them say: what of, and about which problem.
    pub named: Vec<(NoticeAbout, Option<i64>)>,
}

impl Store {
    /// The problems that may need a notice: those that last, and those whose end nobody was told of.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn problems_to_tell(&self, now: DateTime<Utc>, limit: u64) -> Result<Vec<problem::Model>, StoreError> {
        use problem::Column;
        let ago = |span: Duration| now - span;
        let told = Condition::all().add(Column::Notices.gt(0)).add(Column::ClosedAt.gt(ago(TOLD_WITHIN)));
        let ended = Condition::any().add(told).add(Column::ClosedAt.gt(ago(TOLD_LATE_WITHIN)));
        let lasts_or_ended = Condition::any()
            .add(Column::State.ne(ProblemState::Closed))
            .add(Condition::all().add(Column::EndNoticed.eq(false)).add(ended));
        let query = problem::Entity::find()
            .filter(lasts_or_ended)
            // Those that nobody was told of come first.
            .order_by_asc(Column::Notices)
            .order_by_asc(Column::OpenedAt)
            .limit(limit)
            .build(self.backend());
        self.readable(&self.db, query, "sexton_problem", "id").await
    }

    /// Notes that somebody hears of a problem, and writes its notices, in one transaction. Returns false if another node has done
    /// so: then nothing is written.
    ///
    /// # Errors
    /// If the database is unavailable or refuses a statement.
    pub async fn write_notices(&self, of: &problem::Model, notices: &[NewNotice]) -> Result<bool, StoreError> {
        let sql = format!(
            "UPDATE sexton_problem SET notices = notices + 1, noticed_at = {}, end_noticed = ? \
             WHERE id = ? AND episode = ? AND notices = ? AND end_noticed = ? AND state = ?",
            self.dialect.now()
        );
        let is_over = of.state == ProblemState::Closed;
        self.database_id().await?;
        self.with_retries(async || {
            let transaction = self.begin().await?;
            self.lock_limits(&transaction).await?;
            let values = [
                is_over.into(),
                of.id.into(),
                of.episode.into(),
                of.notices.into(),
                of.end_noticed.into(),
                of.state.as_str().into(),
            ];
            if self.run(&transaction, &sql, values).await? == 0 {
                return Ok(false);
            }
            for notice in notices {
                let is_full =
                    self.written_lately(&transaction, &notice.channel).await? >= i64::from(notice.max_per_hour);
                let state = if is_full { NoticeState::Held } else { NoticeState::Waiting };
                self.insert_notice(&transaction, notice, Some(of.id), state).await?;
            }
            self.commit(transaction).await?;
            Ok(true)
        })
        .await
    }

    /// The held notices of a channel, if one more notice may be sent now; none if there are none, or it may not.
    ///
    /// # Errors
    /// If the database is unavailable or refuses a statement.
    pub async fn held_notices(&self, channel: &str, max_per_hour: u32) -> Result<Option<HeldNotices>, StoreError> {
        let sql = "SELECT id, about, problem_id FROM sexton_notice WHERE channel = ? AND state = 'held' ORDER BY id";
        let rows = self.all(&self.db, sql, [channel.into()]).await?;
        if rows.is_empty() || self.written_lately(&self.db, channel).await? >= i64::from(max_per_hour) {
            return Ok(None);
        }
        let mut held = HeldNotices { ids: Vec::with_capacity(rows.len()), named: Vec::new() };
        for row in &rows {
            held.ids.push(row.try_get("", "id")?);
            let about: String = row.try_get("", "about")?;
            if let Some(about) = NoticeAbout::from_word(&about).filter(|_| held.named.len() < MAX_NAMED) {
                held.named.push((about, row.try_get("", "problem_id")?));
            }
        }
        Ok(Some(held))
    }

    /// Writes one notice in place of those that are held. Returns false if another node has done so.
    ///
    /// # Errors
    /// If the database is unavailable or refuses a statement.
    pub async fn merge_held(&self, held: &HeldNotices, notice: &NewNotice) -> Result<bool, StoreError> {
        const ID: [(&str, Kind); 1] = [("id", Kind::Integer)];
        let sql = self.dialect.update_joined(
            "sexton_notice",
            &[("state", "'merged'")],
            &self.dialect.rows("d", &ID),
            "t.id = d.id AND t.state = 'held'",
        );
        self.with_retries(async || {
            let transaction = self.begin().await?;
            self.lock_limits(&transaction).await?;
            let mut rows = Rows::new(self.dialect);
            for id in &held.ids {
                rows.push(|row| {
                    row.set("id", *id);
                });
            }
            if self.run(&transaction, &sql, [rows.into_value()]).await? < held.ids.len() as u64 {
                return Ok(false);
            }
            self.insert_notice(&transaction, notice, None, NoticeState::Waiting).await?;
            self.commit(transaction).await?;
            Ok(true)
        })
        .await
    }

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
            "SELECT id FROM sexton_notice WHERE {is_free} AND channel IN (SELECT k.name FROM {known}) \
             ORDER BY id LIMIT {PORTION}"
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

    /// Records what became of a notice. One that is too old is given up.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn record_notice(&self, notice: &notice::Model, node: &str, tried: &Tried) -> Result<(), StoreError> {
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
        self.with_retries(async || self.run(&self.db, &sql, values.clone()).await).await.map(|_| ())
    }

    /// Gives the lease of a notice back that was not tried.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn return_notice(&self, notice: &notice::Model, node: &str) -> Result<(), StoreError> {
        let sql = "UPDATE sexton_notice SET leased_by = NULL, leased_until = NULL WHERE id = ? AND leased_by = ?";
        self.with_retries(async || self.run(&self.db, sql, [notice.id.into(), node.into()]).await).await.map(|_| ())
    }

    /// The notices about a problem, the newest first; of all problems without a number.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn notices(&self, problem: Option<i64>, limit: u64) -> Result<Vec<notice::Model>, StoreError> {
        let mut query = notice::Entity::find();
        if let Some(problem) = problem {
            query = query.filter(notice::Column::ProblemId.eq(problem));
        }
        let query = query.order_by_desc(notice::Column::Id).limit(limit).build(self.backend());
        self.readable(&self.db, query, "sexton_notice", "id").await
    }

    /// Deletes notices that were written longer ago than that, and gives up those that no node sends.
    pub(super) async fn prune_notices(&self, age_ms: i64) -> Result<(), StoreError> {
        let before = self.dialect.now_plus_millis("?");
        let given_up = format!(
            "UPDATE sexton_notice SET state = 'given_up', finished_at = {}, \
             error = COALESCE(error, 'no node has its channel') WHERE state IN ('waiting', 'held') AND created_at < {before}",
            self.dialect.now()
        );
        let delete = format!("DELETE FROM sexton_notice WHERE created_at < {before} AND state <> 'waiting'");
        let twice = -2 * i64::try_from(KEPT_FOR.as_millis()).unwrap_or(i64::MAX / 2);
        self.with_retries(async || {
            self.run(&self.db, &given_up, [twice.into()]).await?;
            self.run(&self.db, &delete, [age_ms.into()]).await.map(|_| ())
        })
        .await
    }

    /// Lets one transaction at a time count the notices of an hour.
    async fn lock_limits(&self, transaction: &DatabaseTransaction) -> Result<(), StoreError> {
        let lock = format!("SELECT id FROM sexton_database WHERE id = ? {}", self.dialect.for_update());
        self.all(transaction, &lock, [ROW.into()]).await.map(|_| ())
    }

    /// The number of notices that were written for a channel within the last hour and not held.
    async fn written_lately<C: sea_orm::ConnectionTrait>(
        &self,
        connection: &C,
        channel: &str,
    ) -> Result<i64, StoreError> {
        let sql = format!(
            "SELECT COUNT(*) AS written FROM sexton_notice WHERE channel = ? AND state NOT IN ('held', 'merged') \
             AND about <> 'output' AND created_at > {}",
            self.dialect.now_plus_millis(&format!("-{LIMITED_FOR_MS}"))
        );
        Ok(self.one(connection, &sql, [channel.into()]).await?.try_get("", "written")?)
    }

    pub(super) async fn insert_notice(
        &self,
        transaction: &DatabaseTransaction,
        notice: &NewNotice,
        problem: Option<i64>,
        state: NoticeState,
    ) -> Result<(), StoreError> {
        const COLUMNS: [(&str, Kind); 6] = [
            ("notice_key", Kind::Text),
            ("channel", Kind::Text),
            ("about", Kind::Text),
            ("problem_id", Kind::Integer),
            ("facts", Kind::Text),
            ("state", Kind::Text),
        ];
        let select = format!(
            "SELECT d.notice_key, d.channel, d.about, d.problem_id, {}, d.state FROM {}",
            self.dialect.json("d.facts"),
            self.dialect.rows("d", &COLUMNS)
        );
        let names = "sexton_notice (notice_key, channel, about, problem_id, facts, state)";
        let mut rows = Rows::new(self.dialect);
        rows.push(|row| {
            row.set("notice_key", notice.key.clone())
                .set("channel", notice.channel.clone())
                .set("about", notice.about.as_str())
                .set("problem_id", problem)
                .json("facts", Some(&notice.facts))
                .set("state", state.as_str());
        });
        self.run(transaction, &self.dialect.insert_new(names, &select), [rows.into_value()]).await.map(|_| ())
    }

    /// The last lines of both streams of an attempt, at most that many of each.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn last_lines(&self, task: i64, fence: i64, most: usize) -> Result<[Vec<String>; 2], StoreError> {
        let sql = "SELECT o.stdout AS stdout, o.stderr AS stderr FROM sexton_history h \
                   JOIN sexton_output o ON o.history_id = h.id WHERE h.task_id = ? AND h.fence = ? ORDER BY h.id DESC";
        let rows = self.all(&self.db, sql, [task.into(), fence.into()]).await?;
        let tail = |column: &str| -> Vec<String> {
            let text: String = rows.first().and_then(|row| row.try_get("", column).ok()).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let shorten = |line: &&str| line.chars().take(500).collect();
            lines[lines.len().saturating_sub(most)..].iter().map(shorten).collect()
        };
        Ok([tail("stdout"), tail("stderr")])
    }
}
