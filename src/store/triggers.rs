//! Which triggers the nodes have. By these rows, a node that looks at an event knows for whom it is to wait.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use sea_orm::{EntityTrait, QueryOrder as _, QueryTrait as _, Value};
use sexton_entities::trigger;

use super::{Store, StoreError, connection::DatabaseTransaction, dialect::Kind, rows::Rows};
use crate::domain::{
    event::{Trigger, pattern::NamePattern},
    text::duration,
};

/// The columns of an event and a trigger.
pub(super) const PAIR: [(&str, Kind); 2] = [("event_id", Kind::Integer), ("trigger_name", Kind::Text)];
const OWN: [(&str, Kind); 5] = [
    ("name", Kind::Text),
    ("node", Kind::Text),
    ("patterns", Kind::Text),
    ("task", Kind::Text),
    ("watches", Kind::Text),
];
/// How far back a node looks for events that were sent while it registered a trigger.
const CATCH_UP: Duration = Duration::from_secs(600);
/// Maximum number of events of one such look.
const MAX_CAUGHT_UP: usize = 10_000;

/// A trigger that some node has.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RegisteredTrigger {
    name: String,
    patterns: Vec<NamePattern>,
}

impl RegisteredTrigger {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn matches(&self, event: &str) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(event))
    }
}

impl Store {
    /// Enters the triggers of this node in the place of those that it had. Those that no node has any more are for no event
    /// that waits. Returns the number of events that were sent while it did so, and are for one of them.
    ///
    /// # Errors
    /// If the database is unavailable or refuses a statement.
    pub async fn register_triggers(&self, node: &str, triggers: &[Arc<Trigger>]) -> Result<u64, StoreError> {
        self.with_retries(async || {
            let transaction = self.begin().await?;
            let sql = format!(
                "SELECT name, patterns, task, watches FROM sexton_trigger WHERE node = ? {}",
                self.dialect.for_update()
            );
            let mut before: BTreeMap<String, (String, String, Option<String>)> = BTreeMap::new();
            for row in self.all(&transaction, &sql, [node.into()]).await? {
                let known = (row.try_get("", "patterns")?, row.try_get("", "task")?, row.try_get("", "watches")?);
                before.insert(row.try_get("", "name")?, known);
            }
            let own = |trigger: &Trigger| (patterns(trigger), trigger.task.clone(), watches(trigger));
            let is_same = |trigger: &&Arc<Trigger>| before.get(&trigger.name) == Some(&own(trigger));
            let changed: Vec<_> = triggers.iter().filter(|trigger| !is_same(trigger)).collect();
            let is_gone = |name: &&String| triggers.iter().all(|trigger| trigger.name != **name);
            for name in before.keys().filter(is_gone) {
                let sql = "DELETE FROM sexton_trigger WHERE name = ? AND node = ?";
                self.run(&transaction, sql, [name.as_str().into(), node.into()]).await?;
            }
            if !changed.is_empty() {
                self.enter_triggers(&transaction, node, &changed).await?;
            }
            self.run(&transaction, &self.confirm_sql(), [node.into()]).await?;
            self.drop_unregistered(&transaction, node).await?;
            self.commit(transaction).await
        })
        .await?;
        self.catch_up(node, triggers).await
    }

    /// Confirms that this node still has its triggers.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn confirm_triggers(&self, node: &str) -> Result<(), StoreError> {
        self.with_retries(async || self.run(&self.db, &self.confirm_sql(), [node.into()]).await.map(|_| ())).await
    }

    fn confirm_sql(&self) -> String {
        format!("UPDATE sexton_trigger SET seen_at = {} WHERE node = ?", self.dialect.now())
    }

    async fn enter_triggers(
        &self,
        transaction: &DatabaseTransaction,
        node: &str,
        changed: &[&Arc<Trigger>],
    ) -> Result<(), StoreError> {
        let now = self.dialect.now();
        let select = format!(
            "SELECT d.name, d.node, d.patterns, d.task, d.watches, {now}, {now} FROM {}",
            self.dialect.rows("d", &OWN)
        );
        let files = self.dialect.proposed("watches");
        let sets = [
            ("patterns", self.dialect.proposed("patterns")),
            ("task", self.dialect.proposed("task")),
            // Module `paths` enters what is wrong with files. Without any, nothing is.
            ("trouble", format!("CASE WHEN {files} IS NULL THEN NULL ELSE sexton_trigger.trouble END")),
            ("watches", files),
            ("since", now.to_owned()),
        ];
        let into = ("sexton_trigger", "name, node");
        let sql = self.dialect.upsert(into, "name, node, patterns, task, watches, since, seen_at", &select, &sets);
        let mut rows = Rows::new(self.dialect);
        for trigger in changed {
            rows.push(|row| {
                row.set("name", trigger.name.clone())
                    .set("node", node)
                    .set("patterns", patterns(trigger))
                    .set("task", trigger.task.clone())
                    .set("watches", watches(trigger));
            });
        }
        self.run(transaction, &sql, [rows.into_value()]).await.map(|_| ())
    }

    /// Ends the wait of events for triggers that no node has any more.
    pub(super) async fn drop_unregistered(
        &self,
        transaction: &DatabaseTransaction,
        node: &str,
    ) -> Result<(), StoreError> {
        let gone = "NOT EXISTS (SELECT 1 FROM sexton_trigger r WHERE r.name = sexton_event_trigger.trigger_name)";
        let sql = format!("SELECT DISTINCT event_id AS id FROM sexton_event_trigger WHERE fate = 'waiting' AND {gone}");
        let rows = self.all(transaction, &sql, []).await?;
        let events = rows.iter().map(|row| Ok(row.try_get("", "id")?)).collect::<Result<Vec<i64>, StoreError>>()?;
        if events.is_empty() {
            return Ok(());
        }
        let now = self.dialect.now();
        let sql = format!(
            "UPDATE sexton_event_trigger SET fate = 'removed', decided_at = {now} WHERE fate = 'waiting' AND {gone}"
        );
        self.run(transaction, &sql, []).await?;
        self.settle_events(transaction, node, &events).await
    }

    /// Finds the events that another node has looked at before it could know of this node's triggers, although they were
    /// sent afterwards.
    async fn catch_up(&self, node: &str, triggers: &[Arc<Trigger>]) -> Result<u64, StoreError> {
        if triggers.is_empty() {
            return Ok(0);
        }
        self.with_retries(async || {
            let transaction = self.begin().await?;
            let sql = format!(
                "SELECT e.id AS id, e.name AS name, r.name AS trigger_name FROM sexton_event e \
                 JOIN sexton_trigger r ON r.node = ? AND r.since <= e.created_at \
                 WHERE e.state <> 'new' AND e.created_at > {} AND NOT EXISTS (SELECT 1 FROM sexton_event_trigger w \
                 WHERE w.event_id = e.id AND w.trigger_name = r.name) ORDER BY e.id LIMIT {MAX_CAUGHT_UP}",
                self.dialect.now_plus_millis("?")
            );
            let age = -i64::try_from(CATCH_UP.as_millis()).unwrap_or_default();
            let mut missed = Vec::new();
            for row in self.all(&transaction, &sql, [node.into(), age.into()]).await? {
                let (event, wanted): (String, String) = (row.try_get("", "name")?, row.try_get("", "trigger_name")?);
                if triggers.iter().any(|trigger| trigger.name == wanted && trigger.matches(&event)) {
                    missed.push((row.try_get::<i64>("", "id")?, wanted));
                }
            }
            if missed.is_empty() {
                return Ok(0);
            }
            self.insert_waiting(&transaction, &missed).await?;
            let events: Vec<i64> = missed.iter().map(|(event, _)| *event).collect();
            self.settle_events(&transaction, node, &events).await?;
            self.commit(transaction).await?;
            Ok(missed.len() as u64)
        })
        .await
    }

    /// Makes events wait for triggers.
    pub(super) async fn insert_waiting(
        &self,
        transaction: &DatabaseTransaction,
        pairs: &[(i64, String)],
    ) -> Result<(), StoreError> {
        let select = format!("SELECT d.event_id, d.trigger_name FROM {}", self.dialect.rows("d", &PAIR));
        let sql = self.dialect.insert_new("sexton_event_trigger (event_id, trigger_name)", &select);
        let mut rows = Rows::new(self.dialect);
        for (event, trigger) in pairs {
            rows.push(|row| {
                row.set("event_id", *event).set("trigger_name", trigger.clone());
            });
        }
        self.run(transaction, &sql, [rows.into_value()]).await.map(|_| ())
    }

    /// The triggers of all nodes. A row that cannot be read is left out and reported.
    pub(super) async fn registered_triggers(
        &self,
        transaction: &DatabaseTransaction,
    ) -> Result<Vec<RegisteredTrigger>, StoreError> {
        let rows = self.all(transaction, "SELECT DISTINCT name, patterns FROM sexton_trigger", []).await?;
        let mut found = Vec::new();
        for row in rows {
            let (name, text): (String, String) = (row.try_get("", "name")?, row.try_get("", "patterns")?);
            let what = format!("the registration of trigger {name}");
            match read_patterns(&text) {
                Ok(patterns) => found.push(RegisteredTrigger { name, patterns }),
                Err(why) => self.isolated().note(what, why),
            }
        }
        Ok(found)
    }

    /// Every trigger with its node, by name.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn triggers(&self) -> Result<Vec<trigger::Model>, StoreError> {
        let query = trigger::Entity::find().order_by_asc(trigger::Column::Name).order_by_asc(trigger::Column::Node);
        self.readable(&self.db, query.build(self.backend()), "sexton_trigger", "name").await
    }

    /// Forgets the triggers of nodes that have been away for longer than `age` milliseconds back.
    pub(super) async fn prune_triggers(&self, age: Value) -> Result<(), StoreError> {
        let before = self.dialect.now_plus_millis("?");
        let old = format!("DELETE FROM sexton_trigger WHERE seen_at < {before}");
        let pace = format!("DELETE FROM sexton_trigger_pace WHERE until_at < {before}");
        self.with_retries(async || {
            let transaction = self.begin().await?;
            if self.run(&transaction, &old, [age.clone()]).await? > 0 {
                self.drop_unregistered(&transaction, "").await?;
            }
            self.run(&transaction, &pace, [age.clone()]).await?;
            self.commit(transaction).await
        })
        .await
    }
}

/// Its patterns as the database keeps them.
fn patterns(trigger: &Trigger) -> String {
    serde_json::json!(trigger.on.iter().map(ToString::to_string).collect::<Vec<_>>()).to_string()
}

/// Its files as the database keeps them.
fn watches(trigger: &Trigger) -> Option<String> {
    trigger.watch.as_ref().map(|watch| {
        let paths: Vec<String> = watch.paths.iter().map(ToString::to_string).collect();
        let settings = serde_json::json!({
            "on_path": paths, "path_event": watch.moment.as_str(), "settle": duration::text(watch.settle),
            "shared": watch.is_shared,
        });
        settings.to_string()
    })
}

fn read_patterns(text: &str) -> Result<Vec<NamePattern>, String> {
    let words: Vec<String> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    words.iter().map(|word| word.parse()).collect()
}
