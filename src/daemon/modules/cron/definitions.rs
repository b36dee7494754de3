//! Schedules that nodes define differently: of each, the definition that a node entered last is in force. The others are
//! silent until no node with that definition runs any more.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use crate::{
    daemon::{module::ModuleContext, state::this_node::NodeIdentity},
    domain::schedule::definitions::DefinitionFault,
    store::{ScheduleComparison, ScheduleRow, Store, StoreError},
};

/// What the database may refuse.
pub(super) const PUBLISHED: &str = "how this node defines its schedules";
/// How often a node looks whether definitions that are not in force are so now.
const INTERVAL: Duration = Duration::from_secs(10);

/// The same until the log has been told.
const UNTOLD_INTERVAL: Duration = Duration::from_secs(2);

/// After this number of looks, a node of an earlier version has the other definition, and says nothing.
const MOST_UNTOLD: u32 = 10;

/// The schedules of this node, and what it knows of the other nodes.
pub(super) struct Definitions {
    identity: NodeIdentity,
    schedules: Vec<ScheduleRow>,
    overruled: BTreeSet<String>,
    is_published: bool,
    looked_at: Option<Instant>,
    /// How often the log could not be told which nodes have another definition.
    untold: u32,
    /// What the log has been told, by schedule.
    told: BTreeMap<String, String>,
}

impl Definitions {
    pub(super) fn new(identity: NodeIdentity) -> Self {
        Self {
            identity,
            schedules: Vec::new(),
            overruled: BTreeSet::new(),
            is_published: false,
            looked_at: None,
            untold: 0,
            told: BTreeMap::new(),
        }
    }

    /// Whether another definition of a schedule is in force.
    pub(super) fn is_overruled(&self, schedule: &str) -> bool {
        self.overruled.contains(schedule)
    }

    /// Whether the other nodes know the schedules of this one, and the log what is different there.
    pub(super) fn are_known(&self) -> bool {
        self.is_published && self.overruled.iter().all(|name| self.told.contains_key(name)) || self.untold > MOST_UNTOLD
    }

    /// The schedules of this node whose definition is in force, or is from now on.
    pub(super) fn in_force(&self) -> Vec<ScheduleRow> {
        self.schedules.iter().filter(|row| !self.is_overruled(&row.name)).cloned().collect()
    }

    /// Takes the schedules of this node, and compares them with those in force.
    pub(super) async fn compare(
        &mut self,
        store: &Store,
        schedules: Vec<ScheduleRow>,
    ) -> Result<ScheduleComparison, StoreError> {
        let compared = store.compare_schedules(&self.identity.id, &self.identity.name, &schedules).await?;
        self.schedules = schedules;
        self.untold = 0;
        self.overruled = compared.overruled.iter().cloned().collect();
        self.is_published = false;
        self.looked_at = Some(Instant::now());
        Ok(compared)
    }

    /// Tells the other nodes how this one defines its schedules.
    pub(super) async fn publish(&mut self, store: &Store) -> Result<(), StoreError> {
        let NodeIdentity { id, name, .. } = &self.identity;
        // Without a row, the node is about to register: the next round publishes.
        self.is_published = store.publish_schedules(id, name, &self.schedules).await?;
        self.tell(store).await
    }

    /// Tells the log which schedules are defined differently.
    async fn tell(&mut self, store: &Store) -> Result<(), StoreError> {
        let is_own = |name: &str| self.schedules.iter().any(|row| row.name == name);
        let faults = store.definition_faults().await?.into_iter();
        let differing: BTreeMap<String, String> = faults
            .filter(|(name, fault)| is_own(name) && matches!(fault, DefinitionFault::Differs { .. }))
            .map(|(name, fault)| (name.clone(), fault.sentence(&name)))
            .collect();
        for (name, sentence) in &differing {
            if self.told.get(name) != Some(sentence) {
                tracing::warn!("{sentence}: give these nodes the same configuration");
            }
        }
        for name in self.told.keys().filter(|name| !differing.contains_key(*name)) {
            tracing::info!("all nodes with schedule {name} define it in the same way again");
        }
        self.told = differing;
        Ok(())
    }

    /// Whether the schedules must be loaded again, because a definition is in force by now that was not.
    pub(super) async fn have_changed(&mut self, context: &ModuleContext) -> Result<bool, StoreError> {
        if !self.is_published {
            let published = self.publish(context.store()).await;
            context.store().isolated().part(PUBLISHED, published)?;
        }
        // A node that has just started has not said yet how it defines them.
        let interval = if self.are_known() { INTERVAL } else { UNTOLD_INTERVAL };
        if self.overruled.is_empty() || self.looked_at.is_some_and(|at| at.elapsed() < interval) {
            return Ok(false);
        }
        self.looked_at = Some(Instant::now());
        self.tell(context.store()).await?;
        self.untold += 1;
        if self.untold == MOST_UNTOLD {
            for name in self.overruled.iter().filter(|name| !self.told.contains_key(*name)) {
                tracing::warn!("schedule {name} is silent here: a node of an earlier version has another definition");
            }
        }
        let NodeIdentity { id, name, .. } = &self.identity;
        let compared = context.store().compare_schedules(id, name, &self.schedules).await?;
        Ok(compared.overruled.len() < self.overruled.len())
    }
}
