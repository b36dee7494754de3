//! Deeds: what somebody did is recorded in the transaction in which it was done.

use sea_orm::ConnectionTrait;
use serde_json::Value as Json;
use sexton_entities::states::{AuditAction, AuditTarget, Via};

use super::{StoreError, TaskStore, dialect::Kind, rows::Rows};
use crate::principal::Principal;

/// Maximum number of characters of an account and of a host.
const MAX_ACCOUNT: usize = 100;
const MAX_HOST: usize = 255;
/// Maximum number of characters of the name of what it was done to.
const MAX_NAME: usize = 255;

/// One deed, without who did it.
#[derive(Clone, Debug, PartialEq)]
pub struct Deed {
    /// What was done.
    pub action: AuditAction,
    /// What kind of thing it was done to.
    pub target: AuditTarget,
    /// The name of that thing; of a task, that of its definition.
    pub name: Option<String>,
    /// The number of the task.
    pub task_id: Option<i64>,
    /// What it was like before.
    pub before: Option<Json>,
    /// What it was like afterwards.
    pub after: Option<Json>,
}

/// The columns of a deed.
const DEED: [(&str, Kind); 6] = [
    ("action", Kind::Text),
    ("target", Kind::Text),
    ("name", Kind::Text),
    ("task_id", Kind::Integer),
    ("value_before", Kind::Text),
    ("value_after", Kind::Text),
];
/// The columns of who did it.
const BY: [(&str, Kind); 5] =
    [("via", Kind::Text), ("account", Kind::Text), ("login", Kind::Text), ("host", Kind::Text), ("reason", Kind::Text)];

impl Deed {
    /// Something that was done to a thing with a name.
    pub fn new(action: AuditAction, target: AuditTarget, name: impl Into<String>) -> Self {
        Self { action, target, name: Some(name.into()), task_id: None, before: None, after: None }
    }

    /// Something that was done to the whole cluster.
    pub fn to_all(action: AuditAction) -> Self {
        Self { action, target: AuditTarget::Cluster, name: None, task_id: None, before: None, after: None }
    }

    /// The same, of this task.
    #[must_use]
    pub fn of_task(self, id: i64) -> Self {
        Self { task_id: Some(id), ..self }
    }

    /// The same, with what it was like before and afterwards.
    #[must_use]
    pub fn from_to(self, before: impl Into<Option<Json>>, after: impl Into<Option<Json>>) -> Self {
        Self { before: before.into(), after: after.into(), ..self }
    }
}

/// Who paused or cancelled something, as the other tables keep it.
#[derive(Default)]
pub struct Signature {
    /// The person, as far as it is known.
    pub by: Option<String>,
    /// The host.
    pub host: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

impl TaskStore {
    /// The same store, in the name of `principal`. Without one, deeds are those of the application that runs this
    /// process.
    #[must_use]
    pub fn acting(&self, principal: Principal) -> Self {
        Self { principal: Some(principal.into()), ..self.clone() }
    }

    /// In whose name it acts.
    pub fn principal(&self) -> Principal {
        self.principal.as_deref().cloned().unwrap_or_else(|| Principal::of_this_process(Via::Client))
    }

    /// Who acts, in the form of the other tables.
    pub fn signature(&self) -> Signature {
        let principal = self.principal();
        Signature {
            by: fitting(principal.person(), MAX_ACCOUNT),
            host: fitting(principal.host.as_deref(), MAX_HOST),
            reason: fitting(principal.reason.as_deref(), usize::MAX),
        }
    }

    /// Records a deed outside the database.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn audit(&self, deed: &Deed) -> Result<(), StoreError> {
        self.record_deeds(&self.db, std::slice::from_ref(deed)).await
    }

    /// Records deeds, in the transaction in which they are done.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn record_deeds<C: ConnectionTrait>(&self, connection: &C, deeds: &[Deed]) -> Result<(), StoreError> {
        if deeds.is_empty() {
            return Ok(());
        }
        let principal = self.principal();
        let columns = [&DEED[..], &BY].concat();
        let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        let values: Vec<String> = names
            .iter()
            .map(|name| match *name {
                "value_before" | "value_after" => self.dialect.json(&format!("d.{name}")),
                name => format!("d.{name}"),
            })
            .collect();
        let sql = format!(
            "INSERT INTO sexton_audit ({}) SELECT {} FROM {}",
            names.join(", "),
            values.join(", "),
            self.dialect.rows("d", &columns)
        );
        let mut rows = Rows::new(self.dialect);
        for deed in deeds {
            rows.push(|row| {
                row.set("action", deed.action.as_str())
                    .set("target", deed.target.as_str())
                    .set("name", fitting(deed.name.as_deref(), MAX_NAME))
                    .set("task_id", deed.task_id)
                    .json("value_before", deed.before.as_ref())
                    .json("value_after", deed.after.as_ref())
                    .set("via", principal.via.as_str())
                    .set("account", fitting(principal.account.as_deref(), MAX_ACCOUNT))
                    .set("login", fitting(principal.login.as_deref(), MAX_ACCOUNT))
                    .set("host", fitting(principal.host.as_deref(), MAX_HOST))
                    .set("reason", fitting(principal.reason.as_deref(), usize::MAX));
            });
        }
        self.run(connection, &sql, [rows.into_value()]).await.map(|_| ())
    }
}

/// A text that every database accepts in a column of `most` characters.
pub fn fitting(text: Option<&str>, most: usize) -> Option<String> {
    text.map(|text| text.chars().filter(|letter| *letter != '\0').take(most).collect())
}
