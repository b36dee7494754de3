//! Token buckets: how many tasks of a queue or of a name may be claimed now.
//!
//! A claim reads its buckets while it has their turn (`bounded.rs`), and writes what it has taken in its own transaction. So
//! a claim that fails takes nothing, and a node that dies with its tasks has taken their tokens for good.
//!
//! The rate in force is in the row. A node with another rate uses the stricter one, as long as the node that has set it lives and
//! uses it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ConnectionTrait, QueryResult};

use super::{
    Store, StoreError,
    connection::DatabaseTransaction,
    dialect::Kind,
    row_decoding::{existing_instant, instant},
    rows::Rows,
};
use crate::domain::{
    identity::NodeId,
    task::{
        ClaimedTask,
        rate::{BucketName, Rate, RateLimit, StricterRate},
    },
};

const NAME_COLUMNS: [(&str, Kind); 2] = [("scope", Kind::Text), ("name", Kind::Text)];
const BUCKET_COLUMNS: [(&str, Kind); 8] = [
    ("scope", Kind::Text),
    ("name", Kind::Text),
    ("full_at", Kind::Instant),
    ("tokens", Kind::Integer),
    ("per_millis", Kind::Integer),
    ("burst", Kind::Integer),
    ("node", Kind::Text),
    ("set_at", Kind::Instant),
];
/// A node that has not used its rate for so long does not bind the others any more, in milliseconds.
const LAPSE: &str = "-600000";

/// A bucket may be ahead of a claim's own instant by as long as that claim has waited for its turn.
const SLACK: TimeDelta = TimeDelta::seconds(60);

/// The buckets of one claim, at one instant of the database.
#[derive(Clone, Debug, Default)]
pub(super) struct Buckets {
    buckets: BTreeMap<BucketName, Bucket>,
    at: DateTime<Utc>,
}

#[derive(Clone, Debug)]
struct Bucket {
    limit: RateLimit,
    full_at: DateTime<Utc>,
    /// The node that has set the limit, and when, if that is another one.
    set_by: Option<(String, DateTime<Utc>)>,
    stricter: Option<StricterRate>,
}

/// A token bucket as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateRow {
    /// What it limits.
    pub bucket: BucketName,
    /// The rate in force.
    pub limit: RateLimit,
    /// The number of tokens.
    pub tokens: usize,
    /// When the next task may begin. Not later than now if there is a token.
    pub next_at: DateTime<Utc>,
    /// The name of the node that has set the rate, if that is alive.
    pub node: Option<String>,
}

impl Buckets {
    /// Counts the tokens at an earlier instant.
    pub(super) fn look_back(&mut self, at: Option<DateTime<Utc>>) {
        self.at = at.map_or(self.at, |at| at.min(self.at));
    }

    fn tokens_of(&self, bucket: &Bucket) -> usize {
        bucket.limit.tokens(bucket.full_at, self.at)
    }

    /// The number of tokens of the queue; `None` if it has no rate.
    pub(super) fn of_queue(&self) -> Option<usize> {
        let is_queue = |(name, _): &(&BucketName, &Bucket)| matches!(name, BucketName::Queue(_));
        self.buckets.iter().find(is_queue).map(|(_, bucket)| self.tokens_of(bucket))
    }

    /// The number of tokens of each task with a rate.
    pub(super) fn of_tasks(&self) -> HashMap<String, usize> {
        let of_task = |(name, bucket): (&BucketName, &Bucket)| match name {
            BucketName::Task(name) => Some((name.clone(), self.tokens_of(bucket))),
            BucketName::Queue(_) => None,
        };
        self.buckets.iter().filter_map(of_task).collect()
    }

    /// How long it takes until a claim finds a token that it had not: of the queue, or else of one of the names that were left
    /// out. `None` if no bucket is empty.
    pub(super) fn next_token(&self, left_out: &BTreeSet<String>) -> Option<Duration> {
        let empty = self.buckets.iter().filter(|(_, bucket)| self.tokens_of(bucket) == 0);
        let counts = empty.filter_map(|(name, bucket)| {
            let wait = bucket.limit.until_token(bucket.full_at, self.at);
            match name {
                BucketName::Queue(_) => Some((0, wait)),
                BucketName::Task(name) => left_out.contains(name).then_some((1, wait)),
            }
        });
        counts.min().map(|(_, wait)| wait)
    }

    /// The rates of this node that do not count because another node has a stricter one.
    pub(super) fn stricter(&self) -> Vec<StricterRate> {
        self.buckets.values().filter_map(|bucket| bucket.stricter.clone()).collect()
    }
}

impl Store {
    /// Reads buckets. Without rates it asks nothing.
    pub(super) async fn buckets<C: ConnectionTrait>(
        &self,
        connection: &C,
        rates: &[(BucketName, RateLimit)],
        node: &NodeId,
    ) -> Result<Buckets, StoreError> {
        if rates.is_empty() {
            return Ok(Buckets::default());
        }
        let (now, rows) = (self.dialect.now(), self.dialect.rows("d", &NAME_COLUMNS));
        let lapse = self.dialect.now_plus_millis(LAPSE);
        let sql = format!(
            "SELECT d.scope, d.name, r.full_at, r.tokens, r.per_millis, r.burst, r.set_at, r.node, n.name AS other, \
             {now} AS at FROM {rows} LEFT JOIN sexton_rate r ON r.scope = d.scope AND r.name = d.name \
             LEFT JOIN sexton_node n ON n.id = r.node AND n.id <> ? AND n.lease_expires_at > {now} AND r.set_at > {lapse}"
        );
        let mut names = Rows::new(self.dialect);
        for (name, _) in rates {
            names.push(|row| {
                row.set("scope", name.scope()).set("name", name.name());
            });
        }
        let own: HashMap<&BucketName, RateLimit> = rates.iter().map(|(name, limit)| (name, *limit)).collect();
        let mut found = Buckets::default();
        for row in self.all(connection, &sql, [names.into_value(), node.as_str().into()]).await? {
            let Some(name) = BucketName::of(&row.try_get::<String>("", "scope")?, row.try_get("", "name")?) else {
                continue;
            };
            let Some(own) = own.get(&name) else { continue };
            found.at = row.try_get("", "at")?;
            let bucket = bucket(&row, &name, *own, found.at)?;
            found.buckets.insert(name, bucket);
        }
        Ok(found)
    }

    /// Shortens what is too far ahead after a change of the rate or of the clock: such a bucket would stay empty for all that time.
    /// Returns whether there was any. Another claim that has changed it meanwhile is right.
    pub(super) async fn shorten(
        &self,
        transaction: &DatabaseTransaction,
        buckets: &Buckets,
    ) -> Result<bool, StoreError> {
        let parameter = self.dialect.instant_parameter();
        let is_same = self.dialect.same_instant("full_at", parameter);
        let sql = format!("UPDATE sexton_rate SET full_at = {parameter} WHERE scope = ? AND name = ? AND {is_same}");
        let mut is_changed = false;
        for (name, Bucket { limit, full_at, .. }) in &buckets.buckets {
            let most = limit.take(DateTime::UNIX_EPOCH, buckets.at, limit.burst() as usize);
            if *full_at > most + SLACK {
                let at = |at| self.dialect.instant(at).into();
                let values = [at(most), name.scope().into(), name.name().into(), at(*full_at)];
                is_changed |= self.run(transaction, &sql, values).await? > 0;
            }
        }
        Ok(is_changed)
    }

    /// Takes a token for each of these tasks, which begin at `at`. The transaction has the turns of these buckets.
    pub(super) async fn take_tokens(
        &self,
        transaction: &DatabaseTransaction,
        buckets: &mut Buckets,
        node: &NodeId,
        tasks: &[ClaimedTask],
    ) -> Result<(), StoreError> {
        let Some(at) = tasks.first().map(|task| task.started_at) else { return Ok(()) };
        if buckets.buckets.is_empty() {
            return Ok(());
        }
        let mut rows = Rows::new(self.dialect);
        for (name, bucket) in &mut buckets.buckets {
            let taken = match name {
                BucketName::Queue(_) => tasks.len(),
                BucketName::Task(name) => tasks.iter().filter(|task| task.name == *name).count(),
            };
            if taken == 0 {
                continue;
            }
            bucket.full_at = bucket.limit.take(bucket.full_at, at, taken);
            let (setter, set_at) = bucket.set_by.clone().unwrap_or_else(|| (node.to_string(), at));
            let (rate, full_at) = (bucket.limit.rate(), bucket.full_at);
            rows.push(|row| {
                row.set("scope", name.scope()).set("name", name.name()).at("full_at", full_at).at("set_at", set_at);
                row.set("tokens", rate.count()).set("per_millis", rate.per().as_millis() as i64);
                row.set("burst", bucket.limit.burst()).set("node", setter.as_str());
            });
        }
        buckets.at = at;
        let columns = BUCKET_COLUMNS.map(|(column, _)| column);
        let select = format!(
            "SELECT {} FROM {}",
            columns.map(|column| format!("d.{column}")).join(", "),
            self.dialect.rows("d", &BUCKET_COLUMNS)
        );
        let sets: Vec<(&str, String)> =
            columns[2..].iter().map(|column| (*column, self.dialect.proposed(column))).collect();
        let sql = self.dialect.upsert(("sexton_rate", "scope, name"), &columns.join(", "), &select, &sets);
        self.run(transaction, &sql, [rows.into_value()]).await.map(|_| ())
    }

    /// All token buckets as they are now.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn rates(&self) -> Result<Vec<RateRow>, StoreError> {
        let now = self.dialect.now();
        let sql = format!(
            "SELECT r.scope, r.name, r.full_at, r.tokens, r.per_millis, r.burst, n.name AS other, {now} AS at \
             FROM sexton_rate r LEFT JOIN sexton_node n ON n.id = r.node AND n.lease_expires_at > {now} \
             ORDER BY r.scope, r.name"
        );
        let mut found = Vec::new();
        for row in self.all(&self.db, &sql, []).await? {
            let bucket = BucketName::of(&row.try_get::<String>("", "scope")?, row.try_get("", "name")?);
            // One that cannot be read must not hide the others.
            let (Some(bucket), Some(limit)) = (bucket, limit_of(&row)?) else { continue };
            let Ok(full_at) = existing_instant(&row, "full_at") else { continue };
            let at: DateTime<Utc> = row.try_get("", "at")?;
            found.push(RateRow {
                bucket,
                limit,
                tokens: limit.tokens(full_at, at),
                next_at: at + limit.until_token(full_at, at),
                node: row.try_get("", "other")?,
            });
        }
        Ok(found)
    }
}

/// The bucket of a row, with the limit that counts for a node whose configuration has `own`.
fn bucket(row: &QueryResult, name: &BucketName, own: RateLimit, at: DateTime<Utc>) -> Result<Bucket, StoreError> {
    // A bucket that nobody has used is full.
    let full_at = instant(row, "full_at").ok().flatten().unwrap_or_default();
    let mut bucket = Bucket { limit: own, full_at, set_by: None, stricter: None };
    let (Some(limit), Some(node)) = (limit_of(row)?, row.try_get::<Option<String>>("", "other")?) else {
        return Ok(bucket);
    };
    if limit.is_stricter_than(own) {
        let set_at = instant(row, "set_at").ok().flatten().unwrap_or(at);
        let setter = row.try_get::<Option<String>>("", "node")?.unwrap_or_default();
        bucket.limit = limit;
        bucket.set_by = Some((setter, set_at));
        bucket.stricter = Some(StricterRate { bucket: name.clone(), own, limit, node });
    }
    Ok(bucket)
}

/// The rate in a row; `None` if it has none that makes sense.
fn limit_of(row: &QueryResult) -> Result<Option<RateLimit>, StoreError> {
    let number = |column| row.try_get::<Option<i32>>("", column);
    let (tokens, burst) = (number("tokens")?, number("burst")?);
    let per: Option<i64> = row.try_get("", "per_millis")?;
    let (Some(tokens), Some(burst), Some(per)) = (tokens, burst, per) else { return Ok(None) };
    let sound = |number: i32| u32::try_from(number).ok();
    let per = u64::try_from(per).ok().map(Duration::from_millis);
    Ok(match (sound(tokens), per, sound(burst)) {
        (Some(tokens), Some(per), Some(burst)) => Rate::new(tokens, per).map(|rate| RateLimit::new(rate, Some(burst))),
        _ => None,
    })
}
