//! How the nodes define their schedules. Every node says it in its row; one definition of each schedule is in force.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, Value};
use sexton_entities::states::Origin;

use super::{ScheduleRow, Store, StoreError, dialect::Kind, rows::Rows};
use crate::domain::{
    identity::NodeId,
    schedule::definitions::{DefinitionFault, NodeSchedules, is_overruled},
};

const DEFINED: [(&str, Kind); 2] = [("name", Kind::Text), ("spec", Kind::Text)];

/// What the schedules of a node are to the cluster.
#[derive(Clone, Debug, Default)]
pub struct ScheduleComparison {
    /// Those whose definition is not in force, because another node that runs has entered another one.
    pub overruled: Vec<String>,
    /// Those that this node edits, with the instant of the earlier definition that no node has entered although it has come.
    pub missed: Vec<(String, DateTime<Utc>)>,
    /// Those that this node had before its start, has not any more, and no other node that runs has.
    pub dropped: Vec<String>,
    /// What the nodes have said of their schedules.
    pub nodes: Vec<NodeSchedules>,
}

impl Store {
    /// What the nodes have said of their schedules.
    ///
    /// # Errors
    /// If the database is unavailable or refuses a statement.
    pub async fn node_schedules(&self) -> Result<Vec<NodeSchedules>, StoreError> {
        let now = self.now().await?;
        Ok(self.nodes().await?.iter().map(|row| NodeSchedules::of(row, now)).collect())
    }

    /// The schedules with whose definitions something is wrong.
    ///
    /// # Errors
    /// If the database is unavailable or refuses a statement.
    pub async fn definition_faults(&self) -> Result<Vec<(String, DefinitionFault)>, StoreError> {
        let nodes = self.node_schedules().await?;
        let mut faults = Vec::new();
        self.each_schedule(|row| {
            let fault = DefinitionFault::of(&row, &nodes);
            faults.extend(fault.map(|fault| (row.name, fault)));
        })
        .await?;
        Ok(faults)
    }

    /// Compares the schedules of a node with what is in force.
    ///
    /// # Errors
    /// If the database is unavailable or refuses a statement.
    pub async fn compare_schedules(
        &self,
        own: &NodeId,
        name: &str,
        schedules: &[ScheduleRow],
    ) -> Result<ScheduleComparison, StoreError> {
        let now = self.now().await?;
        let nodes = self.node_schedules().await?;
        let seen: HashMap<&str, &ScheduleRow> = schedules.iter().map(|row| (row.name.as_str(), row)).collect();
        let others: Vec<&NodeSchedules> = nodes.iter().filter(|node| node.is_live && node.name != name).collect();
        let mut compared = ScheduleComparison::default();
        self.each_schedule(|known| {
            // A schedule of a file goes before one of the database.
            if known.origin != Origin::Config {
                return;
            }
            let Some(seen) = seen.get(known.name.as_str()) else {
                let is_wanted = others.iter().any(|node| node.specs.is_none() || node.spec(&known.name).is_some());
                if known.left_on.as_deref() == Some(name) && !is_wanted {
                    compared.dropped.push(known.name);
                }
                return;
            };
            if known.spec == seen.spec {
                return;
            }
            if is_overruled(own.as_str(), &seen.name, &seen.spec, &known.spec, &nodes) {
                compared.overruled.push(known.name);
                return;
            }
            let missed = known.next_at.filter(|next| !known.paused && *next > known.last_at && *next <= now);
            compared.missed.extend(missed.map(|at| (known.name, at)));
        })
        .await?;
        compared.nodes = nodes;
        Ok(compared)
    }

    /// Publishes how a node defines its schedules, and whose definitions are in force. Returns false if the node is not
    /// registered.
    ///
    /// # Errors
    /// If the database is unavailable or refuses a statement.
    pub async fn publish_schedules(
        &self,
        own: &NodeId,
        name: &str,
        schedules: &[ScheduleRow],
    ) -> Result<bool, StoreError> {
        let json = self.dialect.json(self.dialect.text_parameter());
        let publish = format!("UPDATE sexton_node SET schedules = {json} WHERE id = ?");
        let specs: BTreeMap<&str, &str> = schedules.iter().map(|row| (&*row.name, &*row.spec)).collect();
        let values: [Value; 2] = [serde_json::json!(specs).to_string().into(), own.as_str().into()];
        let text = self.dialect.text_parameter();
        let sets = [("defined_on", text), ("defined_at", self.dialect.now())];
        let on = "t.name = d.name AND t.spec = d.spec AND t.defined_on IS NULL";
        let define = self.dialect.update_joined("sexton_schedule", &sets, &self.dialect.rows("d", &DEFINED), on);
        let rows = self.defined_rows(specs.iter().map(|(name, spec)| (*name, *spec)));
        self.with_retries(async || {
            let published = self.run(&self.db, &publish, values.clone()).await? > 0;
            self.run(&self.db, &define, self.dialect.joined_values([name.into()], rows.clone())).await?;
            Ok(published)
        })
        .await
    }

    /// Notes that a node is gone, in the schedules that it defined as they are in force. Nothing may depend on it.
    pub(super) async fn note_left<C: ConnectionTrait>(&self, connection: &C, id: &str) -> Result<(), StoreError> {
        let now = self.now().await?;
        let nodes = self.nodes().await?;
        let Some(node) = nodes.iter().map(|row| NodeSchedules::of(row, now)).find(|node| node.id == id) else {
            return Ok(());
        };
        let Some(specs) = node.specs.filter(|specs| !specs.is_empty()) else { return Ok(()) };
        let (text, instant) = (self.dialect.text_parameter(), self.dialect.instant_parameter());
        let sets = [("left_on", text), ("left_at", instant)];
        let on = "t.name = d.name AND t.spec = d.spec";
        let sql = self.dialect.update_joined("sexton_schedule", &sets, &self.dialect.rows("d", &DEFINED), on);
        let rows = self.defined_rows(specs.iter().map(|(name, spec)| (name.as_str(), spec.as_str())));
        let left_at = if node.is_live { now } else { node.heartbeat_at };
        let values = [node.name.into(), self.dialect.instant(left_at).into()];
        self.run(connection, &sql, self.dialect.joined_values(values, rows)).await.map(|_| ())
    }

    fn defined_rows<'a>(&self, specs: impl Iterator<Item = (&'a str, &'a str)>) -> Value {
        let mut rows = Rows::new(self.dialect);
        for (name, spec) in specs {
            rows.push(|row| {
                row.set("name", name).set("spec", spec);
            });
        }
        rows.into_value()
    }
}
