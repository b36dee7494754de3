//! Limit keys of tasks: a node finds them in the payloads, before it claims. So a task has its key however it was enqueued, and
//! the rule for it is in one place.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use sea_orm::Value;
use sexton_entities::json_text::JsonText;

use super::{Store, StoreError, connection::DatabaseTransaction, dialect::Kind, rows::Rows};
use crate::domain::{
    identity::QueueName,
    task::{ClaimedTask, key_rules::KeyRules, limits::ClusterState},
};

/// How many tasks are looked at in each place of a search.
const PORTION: i64 = 250;
/// How many searches follow one another before a claim, while there is more.
const SEARCHES: usize = 8;
/// After this time all tasks are looked at again: one may have come with a lower number, or from another queue.
const REVIEW: Duration = Duration::from_secs(60);

const KEY_COLUMNS: [(&str, Kind); 2] = [("id", Kind::Integer), ("limit_key", Kind::Text)];
const NAME_COLUMNS: [(&str, Kind); 1] = [("name", Kind::Text)];
const ID_COLUMNS: [(&str, Kind); 1] = [("id", Kind::Integer)];
pub(super) const NAME_AND_KEY: [(&str, Kind); 2] = [("name", Kind::Text), ("limit_key", Kind::Text)];

/// How far a node has looked for tasks of one queue that need a key: by their numbers, the newest first, so that a task that has
/// just come is found although a million wait.
#[derive(Clone, Debug, Default)]
pub struct KeySearch {
    /// Higher numbers are new.
    top: i64,
    /// Higher numbers up to `high` were left behind.
    low: i64,
    high: i64,
    began: Option<Instant>,
}

impl KeySearch {
    /// Notes what was found: the lowest of the new numbers and the highest of those left behind, if there are more of them.
    fn went_on(&mut self, newest: i64, more_new: Option<i64>, more_behind: Option<i64>) {
        self.low = more_behind.unwrap_or(self.high);
        if let Some(lowest) = more_new {
            // The rest of the new ones joins those that were left behind.
            self.low = if self.low < self.high { self.low } else { self.top };
            self.high = lowest - 1;
        }
        self.top = newest.max(self.top);
    }
}

impl Store {
    /// Sets the limit keys of tasks that wait in `queue`.
    ///
    /// # Errors
    /// If the database is unavailable or refuses a statement.
    pub async fn set_limit_keys(
        &self,
        rules: &KeyRules,
        queue: &QueueName,
        search: &mut KeySearch,
    ) -> Result<(), StoreError> {
        if search.began.is_none_or(|began| began.elapsed() >= REVIEW) {
            *search = KeySearch { began: Some(Instant::now()), ..KeySearch::default() };
        }
        for _ in 0..SEARCHES {
            if !self.search_keys(rules, queue, search).await? {
                break;
            }
        }
        Ok(())
    }

    /// One search. Returns whether there may be more.
    async fn search_keys(
        &self,
        rules: &KeyRules,
        queue: &QueueName,
        search: &mut KeySearch,
    ) -> Result<bool, StoreError> {
        let newest: Option<i64> =
            self.one(&self.db, "SELECT MAX(id) AS newest FROM sexton_task", []).await?.try_get("", "newest")?;
        let newest = newest.unwrap_or_default().max(search.top);
        let (and_names, known) = match rules.is_fair(queue) {
            true => (String::new(), None),
            false => {
                let rows = self.dialect.rows("d", &NAME_COLUMNS);
                (format!(" AND name IN (SELECT d.name FROM {rows})"), Some(self.names(rules.limited())))
            }
        };
        // Numbers in a range are read by number: the index of the queue would be read from the beginning.
        let range = |place: u8, order: &str| {
            format!(
                " UNION ALL SELECT {place} AS place, id, name, payload FROM (SELECT id, name, payload FROM sexton_task \
                 WHERE id > ? AND id <= ? AND COALESCE(queue, '') = ? AND limit_key IS NULL AND state <> 'running' {and_names} \
                 ORDER BY id {order} LIMIT {PORTION}) r{place}"
            )
        };
        let sql = format!(
            "SELECT 0 AS place, id, name, payload FROM (SELECT id, name, payload, limit_key FROM sexton_task \
             WHERE queue = ? AND state = 'available' ORDER BY priority, id LIMIT {PORTION}) f \
             WHERE limit_key IS NULL{and_names}{}{}",
            range(1, "DESC"),
            range(2, "ASC")
        );
        let name: Value = queue.as_str().into();
        let mut values: Vec<Value> = vec![name.clone()];
        values.extend(known.clone());
        for (after, up_to) in [(search.top, newest), (search.low, search.high)] {
            values.extend([after.into(), up_to.into(), name.clone()]);
            values.extend(known.clone());
        }
        let (mut rows, mut places, mut set) = (Rows::new(self.dialect), [Vec::new(), Vec::new(), Vec::new()], 0);
        for row in &self.all(&self.db, &sql, values).await? {
            let (id, name): (i64, String) = (row.try_get("", "id")?, row.try_get("", "name")?);
            if let Some(place) = places.get_mut(row.try_get::<i32>("", "place")? as usize) {
                place.push(id);
            }
            // A payload that cannot be read has no key, and fails at the attempt.
            let payload: Option<JsonText> = row.try_get("", "payload").unwrap_or_default();
            let payload = payload.and_then(|payload| payload.decode::<serde_json::Value>().ok());
            if let Some(path) = rules.path(queue, &name) {
                set += 1;
                rows.push(|row| {
                    row.set("id", id).set("limit_key", path.key(payload.as_ref()));
                });
            }
        }
        if set > 0 {
            let sets = [("limit_key", "d.limit_key")];
            let on = "t.id = d.id AND t.limit_key IS NULL AND t.state <> 'running'";
            let sql = self.dialect.update_joined("sexton_task", &sets, &self.dialect.rows("d", &KEY_COLUMNS), on);
            let rows = rows.into_value();
            self.with_retries(async || self.run(&self.db, &sql, [rows.clone()]).await).await?;
        }
        let [_, new, behind] = &places;
        let is_full = |place: &&Vec<i64>| place.len() as i64 >= PORTION;
        let more_new = Some(new).filter(is_full).and_then(|new| new.iter().min().copied());
        let more_behind = Some(behind).filter(is_full).and_then(|behind| behind.iter().max().copied());
        search.went_on(newest, more_new, more_behind);
        Ok(search.low < search.high)
    }

    /// The limit keys of these tasks, by number.
    pub(super) async fn keys_of(
        &self,
        transaction: &DatabaseTransaction,
        tasks: &[ClaimedTask],
    ) -> Result<HashMap<i64, String>, StoreError> {
        let rows = self.dialect.rows("d", &ID_COLUMNS);
        let sql = format!(
            "SELECT t.id, t.limit_key FROM {rows} JOIN sexton_task t ON t.id = d.id WHERE t.limit_key IS NOT NULL"
        );
        let ids = self.ids(tasks.iter().map(|task| task.claim.task_id));
        let rows = self.all(transaction, &sql, [ids]).await?;
        rows.iter().map(|row| Ok((row.try_get("", "id")?, row.try_get("", "limit_key")?))).collect()
    }

    /// Counts the running tasks by name and key. It is exact while the claim has the turn.
    pub(super) async fn count_keys(
        &self,
        transaction: &DatabaseTransaction,
        cluster: &mut ClusterState,
    ) -> Result<(), StoreError> {
        cluster.running_keys.clear();
        let sql = "SELECT name, limit_key, COUNT(*) AS running FROM sexton_task \
                   WHERE state = 'running' AND limit_key IS NOT NULL GROUP BY name, limit_key";
        for row in self.all(transaction, sql, []).await? {
            let running: i64 = row.try_get("", "running")?;
            let name_and_key = (row.try_get("", "name")?, row.try_get("", "limit_key")?);
            cluster.running_keys.insert(name_and_key, usize::try_from(running).unwrap_or_default());
        }
        Ok(())
    }

    /// The condition that a task whose name is limited by key has one, with its parameter.
    pub(super) fn has_its_key(&self, rules: &KeyRules) -> Option<(String, Value)> {
        let mut names = rules.limited().peekable();
        names.peek()?;
        let rows = self.dialect.rows("d", &NAME_COLUMNS);
        let filter = format!(" AND (limit_key IS NOT NULL OR name NOT IN (SELECT d.name FROM {rows}))");
        Some((filter, self.names(names)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_tasks_are_found_before_those_that_were_left_behind() {
        let mut search = KeySearch::default();
        let state = |search: &KeySearch| (search.low, search.high, search.top);
        search.went_on(1_000, Some(751), None);
        assert_eq!(state(&search), (0, 750, 1_000));
        search.went_on(1_010, None, Some(250));
        assert_eq!(state(&search), (250, 750, 1_010));
        search.went_on(2_000, Some(1_751), Some(500));
        assert_eq!(state(&search), (500, 1_750, 2_000), "the rest of the new ones is left behind as well");
        search.went_on(2_000, None, None);
        assert_eq!(state(&search), (1_750, 1_750, 2_000), "all have their key");
    }
}
