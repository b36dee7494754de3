//! Notices: written together with what they change in their problem, and held while a channel has enough of them or gathers
//! them.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait as _};
use serde_json::Value as Json;
use sexton_entities::{
    notice, problem,
    states::{NoticeAbout, NoticeState, ProblemState},
};

use super::{Store, StoreError, connection::DatabaseTransaction, dialect::Kind, identity::ROW, rows::Rows};
use crate::domain::notice::{TOLD_LATE_WITHIN, TOLD_WITHIN};

/// The time over which the notices of a channel are limited, in milliseconds.
const LIMITED_FOR_MS: i64 = 3_600_000;
/// Maximum number of held notices that a notice names.
const MAX_NAMED: usize = 20;
/// Maximum number of notices that one digest gathers. The others are in the next one.
const MAX_GATHERED: u64 = 5_000;

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
    /// Its channel gathers it for a digest.
    pub is_gathered: bool,
}

/// What is noted in a problem together with its notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// That it began, lasts or is over.
    Progress,
    /// That nobody takes note of it.
    Escalation,
}

/// The notices of a channel that are held back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldNotices {
    /// The ids of all of them.
    pub ids: Vec<i64>,
    /// What the first of them say: what of, and about which problem.
    pub named: Vec<(NoticeAbout, Option<i64>)>,
}

/// The condition that a notice waits to be sent, or is held back.
pub(super) const UNSENT: &str = "state IN ('waiting', 'held')";

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

    /// Whether notices wait to be sent, or are held back.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn has_notices(&self) -> Result<bool, StoreError> {
        let sql = format!("SELECT id FROM sexton_notice WHERE {UNSENT} LIMIT 1");
        Ok(!self.all(&self.db, &sql, []).await?.is_empty())
    }

    /// Notes that somebody hears of a problem, and writes its notices, in one transaction. Returns false if another node has done
    /// so: then nothing is written.
    ///
    /// # Errors
    /// If the database is unavailable or refuses a statement.
    pub async fn write_notices(
        &self,
        of: &problem::Model,
        told: Told,
        notices: &[NewNotice],
    ) -> Result<bool, StoreError> {
        let (sql, values) = self.noting(of, told);
        self.database_id().await?;
        self.with_retries(async || {
            let transaction = self.begin().await?;
            self.lock_limits(&transaction).await?;
            if self.run(&transaction, &sql, values.clone()).await? == 0 {
                return Ok(false);
            }
            for notice in notices {
                let is_full = notice.is_gathered
                    || self.written_lately(&transaction, &notice.channel).await? >= i64::from(notice.max_per_hour);
                let state = if is_full { NoticeState::Held } else { NoticeState::Waiting };
                self.insert_notice(&transaction, notice, Some(of.id), state).await?;
            }
            self.commit(transaction).await?;
            Ok(true)
        })
        .await
    }

    /// Changes the problem, unless it has changed since it was read.
    fn noting(&self, of: &problem::Model, told: Told) -> (String, Vec<sea_orm::Value>) {
        match told {
            Told::Progress => (
                format!(
                    "UPDATE sexton_problem SET notices = notices + 1, noticed_at = {}, end_noticed = ? \
                     WHERE id = ? AND episode = ? AND notices = ? AND end_noticed = ? AND state = ?",
                    self.dialect.now()
                ),
                vec![
                    (of.state == ProblemState::Closed).into(),
                    of.id.into(),
                    of.episode.into(),
                    of.notices.into(),
                    of.end_noticed.into(),
                    of.state.as_str().into(),
                ],
            ),
            Told::Escalation => (
                "UPDATE sexton_problem SET escalated_episode = episode \
                 WHERE id = ? AND episode = ? AND escalated_episode <> episode AND state = ?"
                    .to_owned(),
                vec![of.id.into(), of.episode.into(), of.state.as_str().into()],
            ),
        }
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

    /// What a channel gathered before an instant, the earliest first; none if the digest with this key is written.
    ///
    /// # Errors
    /// If the database is unavailable or refuses a statement.
    pub async fn gathered_notices(
        &self,
        channel: &str,
        key: &str,
        before: DateTime<Utc>,
    ) -> Result<Option<HeldNotices>, StoreError> {
        use notice::Column;
        let known = "SELECT id FROM sexton_notice WHERE notice_key = ?";
        if !self.all(&self.db, known, [key.into()]).await?.is_empty() {
            return Ok(None);
        }
        let query = notice::Entity::find()
            .filter(Column::Channel.eq(channel))
            .filter(Column::State.eq(NoticeState::Held))
            .filter(Column::CreatedAt.lt(before))
            .order_by_asc(Column::Id)
            .limit(MAX_GATHERED)
            .build(self.backend());
        let rows: Vec<notice::Model> = self.readable(&self.db, query, "sexton_notice", "id").await?;
        let named = rows.iter().map(|row| (row.about, row.problem_id)).collect();
        Ok(Some(HeldNotices { ids: rows.iter().map(|row| row.id).collect(), named }))
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
            if !self.insert_notice(&transaction, notice, None, NoticeState::Waiting).await? {
                return Ok(false);
            }
            let mut rows = Rows::new(self.dialect);
            for id in &held.ids {
                rows.push(|row| {
                    row.set("id", *id);
                });
            }
            if self.run(&transaction, &sql, [rows.into_value()]).await? < held.ids.len() as u64 {
                return Ok(false);
            }
            self.commit(transaction).await?;
            Ok(true)
        })
        .await
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

    /// Returns false if a notice has this key.
    pub(super) async fn insert_notice(
        &self,
        transaction: &DatabaseTransaction,
        notice: &NewNotice,
        problem: Option<i64>,
        state: NoticeState,
    ) -> Result<bool, StoreError> {
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
        Ok(self.run(transaction, &self.dialect.insert_new(names, &select), [rows.into_value()]).await? > 0)
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
