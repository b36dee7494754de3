//! Fair queues: keys take turns, so that a million tasks of one customer do not keep ten of another waiting.
//!
//! An index has a place for each key and name. The claim jumps from one place to the next and takes the first tasks of each,
//! so its cost does not depend on how many wait. Where it stops is noted, in its transaction; the next claim, on whatever
//! node, goes on behind it.

use std::collections::{BTreeMap, HashSet};

use sea_orm::Value;

use super::{
    Store, StoreError,
    connection::DatabaseTransaction,
    dialect::{Dialect, Kind},
    limit_keys::NAME_AND_KEY,
    rows::Rows,
};
use crate::domain::{
    identity::QueueName,
    task::{limits::Exclusions, names::TaskNames},
};

/// How many places one claim looks at.
const PLACES: i64 = 64;
/// How many tasks of one key and name one claim takes at most.
const DEEPEST: usize = 16;
/// How many tasks one claim looks at, at least one of each key and name.
const MOST_LOOKED_AT: usize = 256;
const ID_COLUMNS: [(&str, Kind); 1] = [("id", Kind::Integer)];

/// The tasks whose turn it is.
#[derive(Debug, Default)]
pub(super) struct ChosenTasks {
    /// Their numbers.
    pub(super) ids: Vec<i64>,
    /// The last key among them, or else the last one that was looked at, if there are more.
    pub(super) latest: Option<String>,
}

/// A task that could be chosen.
struct Choice {
    id: i64,
    priority: i32,
    key: String,
}

impl Store {
    /// Chooses up to `count` tasks of a fair queue: by priority, then each key in turn, then by age. The transaction has the turn
    /// of the queue.
    pub(super) async fn choose_fairly(
        &self,
        transaction: &DatabaseTransaction,
        queue: &QueueName,
        (excluded, known): (&Exclusions, Option<&TaskNames>),
        (taken, count): (&HashSet<i64>, usize),
    ) -> Result<ChosenTasks, StoreError> {
        let latest = self.latest_key(transaction, queue).await?;
        let is_open = |(name, key): &(String, String)| {
            known.is_none_or(|known| known.contains(name))
                && !excluded.tasks.contains(name)
                && !excluded.keys.contains(&(name.clone(), key.clone()))
        };
        let mut places: Vec<(String, String)> = self.places(transaction, queue, latest.as_deref()).await?;
        if latest.is_some() && (places.len() as i64) < PLACES {
            let seen: HashSet<(String, String)> = places.iter().cloned().collect();
            places
                .extend(self.places(transaction, queue, None).await?.into_iter().filter(|place| !seen.contains(place)));
        }
        let last = places.last().map(|(_, key)| key.clone()).filter(|_| places.len() as i64 >= PLACES);
        places.retain(is_open);
        if places.is_empty() {
            return Ok(ChosenTasks { ids: Vec::new(), latest: last });
        }
        // The keys in the order of their turns.
        let mut turns: BTreeMap<String, usize> = BTreeMap::new();
        for (_, key) in &places {
            let next = turns.len();
            turns.entry(key.clone()).or_insert(next);
        }
        let deepest = (MOST_LOOKED_AT / places.len()).clamp(1, DEEPEST);
        let depth = (taken.len() + count).min(deepest).next_power_of_two();
        let mut choices = self.first_of(transaction, queue, &places, depth).await?;
        choices.retain(|choice| !taken.contains(&choice.id));
        choices.sort_by_key(|choice| (choice.priority, choice.id));
        let mut of_key: BTreeMap<&str, usize> = BTreeMap::new();
        let mut ranked: Vec<(i32, usize, usize, &Choice)> = Vec::new();
        for choice in &choices {
            let rank = of_key.entry(&choice.key).or_default();
            ranked.push((choice.priority, *rank, turns.get(&choice.key).copied().unwrap_or_default(), choice));
            *rank += 1;
        }
        ranked.sort_by_key(|(priority, rank, turn, choice)| (*priority, *rank, *turn, choice.id));
        ranked.truncate(count);
        Ok(ChosenTasks {
            ids: ranked.iter().map(|(.., choice)| choice.id).collect(),
            latest: ranked.last().map(|(.., choice)| choice.key.clone()),
        })
    }

    /// Notes the key that had the latest turn.
    pub(super) async fn note_turn(
        &self,
        transaction: &DatabaseTransaction,
        queue: &QueueName,
        latest: &str,
    ) -> Result<(), StoreError> {
        let name = format!("queue {queue}");
        let sql = "UPDATE sexton_turn SET latest_key = ? WHERE name = ?";
        if self.run(transaction, sql, [latest.into(), name.clone().into()]).await? == 0 {
            // On SQLite, a turn needs no row.
            let text = self.dialect.text_parameter();
            let select = format!("SELECT {text}, 1, {text} FROM (SELECT 1 AS x) one");
            let row = self.dialect.insert_new("sexton_turn (name, turn, latest_key)", &select);
            self.run(transaction, &row, [name.into(), latest.into()]).await?;
        }
        Ok(())
    }

    /// The end of the statement that claims what was chosen. It begins with the numbers, never with the queue, whose index would be
    /// read from the beginning.
    pub(super) fn chosen(&self, filter: &str) -> (String, String) {
        let rows = self.dialect.rows("c", &ID_COLUMNS);
        let chosen = match self.dialect {
            Dialect::Postgres => format!("id = ANY(ARRAY(SELECT c.id FROM {rows}))"),
            Dialect::MySql | Dialect::Sqlite => format!("id IN (SELECT c.id FROM {rows})"),
        };
        ("COALESCE(queue, '') = ?".to_owned(), format!(" AND {chosen}{filter}"))
    }

    async fn latest_key(
        &self,
        transaction: &DatabaseTransaction,
        queue: &QueueName,
    ) -> Result<Option<String>, StoreError> {
        let sql = "SELECT latest_key FROM sexton_turn WHERE name = ?";
        let rows = self.all(transaction, sql, [format!("queue {queue}").into()]).await?;
        rows.first().map_or(Ok(None), |row| Ok(row.try_get("", "latest_key")?))
    }

    /// The names and keys with tasks that wait, from a key on.
    async fn places(
        &self,
        transaction: &DatabaseTransaction,
        queue: &QueueName,
        after: Option<&str>,
    ) -> Result<Vec<(String, String)>, StoreError> {
        let first = |condition: &str, order: &str| {
            format!(
                "(SELECT i.id FROM sexton_task i WHERE i.queue = ? AND i.state = 'available' AND {condition} \
                 ORDER BY {order} LIMIT 1)"
            )
        };
        let (by_key, by_name) = ("i.limit_key, i.name, i.priority, i.id", "i.name, i.priority, i.id");
        let start = if after.is_some() { "i.limit_key > ?" } else { "i.limit_key >= ?" };
        let sql = format!(
            "WITH RECURSIVE place (step, id) AS (SELECT 1, {start} \
             UNION ALL SELECT p.step + 1, COALESCE({name}, {key}) FROM place p JOIN sexton_task t ON t.id = p.id \
             WHERE p.step < {PLACES}) \
             SELECT t.name, t.limit_key FROM place p JOIN sexton_task t ON t.id = p.id ORDER BY p.step",
            start = first(start, by_key),
            name = first("i.limit_key = t.limit_key AND i.name > t.name", by_name),
            key = first("i.limit_key > t.limit_key", by_key),
        );
        let name: Value = queue.as_str().into();
        let values = [name.clone(), after.unwrap_or_default().into(), name.clone(), name];
        let rows = self.all(transaction, &sql, values).await?;
        rows.iter().map(|row| Ok((row.try_get("", "name")?, row.try_get("", "limit_key")?))).collect()
    }

    /// The first tasks of each of these names and keys.
    async fn first_of(
        &self,
        transaction: &DatabaseTransaction,
        queue: &QueueName,
        places: &[(String, String)],
        depth: usize,
    ) -> Result<Vec<Choice>, StoreError> {
        let mut rows = Rows::new(self.dialect);
        for (name, key) in places {
            rows.push(|row| {
                row.set("name", name.as_str()).set("limit_key", key.as_str());
            });
        }
        let (rows, table) = (rows.into_value(), self.dialect.rows("d", &NAME_AND_KEY));
        let nth = |offset: usize| {
            format!(
                "SELECT (SELECT i.id FROM sexton_task i WHERE i.queue = ? AND i.state = 'available' \
                 AND i.limit_key = d.limit_key AND i.name = d.name ORDER BY i.priority, i.id LIMIT 1 OFFSET {offset}) AS id \
                 FROM {table}"
            )
        };
        let all: Vec<String> = (0..depth).map(nth).collect();
        let sql = format!(
            "SELECT t.id, t.priority, t.limit_key FROM ({}) f JOIN sexton_task t ON t.id = f.id",
            all.join(" UNION ALL ")
        );
        let values = (0..depth).flat_map(|_| [queue.as_str().into(), rows.clone()]);
        let found = self.all(transaction, &sql, values).await?;
        let choice = |row: &sea_orm::QueryResult| {
            Ok(Choice {
                id: row.try_get("", "id")?,
                priority: row.try_get("", "priority")?,
                key: row.try_get("", "limit_key")?,
            })
        };
        found.iter().map(choice).collect()
    }
}
