//! The rescue: running tasks that nobody runs are released, and the attempts are on record as interrupted.
//!
//! Only the claims travel. What the tasks contain stays in the database, so that neither its size nor a value that
//! cannot be read is in the way.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use sea_orm::QueryResult;
use sexton_entities::states::{Outcome, ProblemKind, Verdict};

use super::{
    Operation, Store, StoreError,
    connection::DatabaseTransaction,
    dialect::Kind,
    finish::{CLEARED, RELEASED_ATTEMPT},
    portions::in_portions,
    row_decoding::{column, instant},
    rows::{Rows, claim_of},
};
use crate::domain::{
    identity::NodeId,
    problem::{Sighting, fingerprint::fingerprint, one_each},
    task::{
        claim::{Claim, ClaimIdentity},
        pickups::crash_reason,
    },
};

/// The maximum number of tasks in one transaction.
const PORTION: usize = 500;
/// The maximum number of claims that one query returns.
const LIMIT: usize = 10_000;

/// A running task according to the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningClaim {
    /// The claim.
    pub claim: Claim,
    /// The name of the task.
    pub name: String,
    /// The node that runs it; none if the row names none.
    pub node: Option<NodeId>,
    /// The number of attempts in a row before this one during which their node died.
    pub pickups: i32,
    /// When the task was enqueued; none if that cannot be read.
    pub enqueued_at: Option<DateTime<Utc>>,
    /// How long it has been running, in milliseconds.
    pub running_ms: i64,
}

impl RunningClaim {
    /// The identity of the claim, if it can be read.
    pub fn identity(&self) -> Option<ClaimIdentity> {
        self.enqueued_at.map(|enqueued_at| ClaimIdentity { claim: self.claim, enqueued_at, claimed_at: None })
    }
}

/// What became of the tasks of a rescue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rescue {
    /// The number of tasks that were released.
    pub released: usize,
    /// The tasks that were discarded, because they took down one node after the other: with their names, and why.
    pub discarded: Vec<(Claim, String, String)>,
    /// The tasks that the database refuses to release, with its answers.
    pub refused: Vec<(Claim, String)>,
}

const COLUMNS: [(&str, Kind); 7] = [
    ("id", Kind::Integer),
    ("fence", Kind::Integer),
    ("node", Kind::Text),
    ("duration_ms", Kind::Integer),
    ("outcome", Kind::Text),
    ("verdict", Kind::Text),
    ("error", Kind::Text),
];
/// The claim still holds, at the same node: another one may have adopted it meanwhile.
const CLAIM_HOLDS: &str =
    "t.id = d.id AND t.fence = d.fence AND t.state = 'running' AND COALESCE(t.node, '') = COALESCE(d.node, '')";

/// A claim, and what becomes of its task.
#[derive(Clone, Debug)]
struct JudgedClaim {
    running: RunningClaim,
    /// Why the task is discarded; none if it is released.
    crash: Option<String>,
    why: String,
}

impl JudgedClaim {
    /// The problem that its task is discarded.
    fn problem(&self) -> Option<Sighting> {
        let (running, why) = (&self.running, self.crash.as_ref()?);
        Some(Sighting {
            outcome: Some(Outcome::Crashed),
            fingerprint: fingerprint(why),
            discarded: 1,
            task: Some(running.name.clone()),
            node: running.node.as_ref().map(ToString::to_string),
            task_id: Some(running.claim.task_id),
            fence: Some(running.claim.fence),
            ..Sighting::now(ProblemKind::Task, running.name.clone(), why.clone())
        })
    }
}

impl Rescue {
    fn count(&mut self, ended: Vec<JudgedClaim>) {
        for JudgedClaim { running, crash, .. } in ended {
            match crash {
                None => self.released += 1,
                Some(why) => self.discarded.push((running.claim, running.name, why)),
            }
        }
    }
}

/// What a row of history takes from its task.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Taken {
    Everything,
    /// What every database accepts in every case.
    Least,
}

impl Store {
    /// The claims of other nodes that are dead or not registered, and of tasks that run without a node. The node's own
    /// claims are not among them, even after its lease has ended: what it has finished meanwhile is recorded first.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn orphans(&self, own: &NodeId) -> Result<Vec<RunningClaim>, StoreError> {
        let of = format!(
            "(t.node IS NULL OR (t.node <> ? AND NOT EXISTS \
             (SELECT 1 FROM sexton_node n WHERE n.id = t.node AND n.lease_expires_at > {})))",
            self.dialect.now()
        );
        self.running_claims(&of, own).await
    }

    /// The claims of the node according to the database.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn running_of(&self, node: &NodeId) -> Result<Vec<RunningClaim>, StoreError> {
        self.running_claims("t.node = ?", node).await
    }

    async fn running_claims(&self, condition: &str, node: &NodeId) -> Result<Vec<RunningClaim>, StoreError> {
        let sql = format!(
            "SELECT t.id, t.fence, t.name, t.node, t.pickups, t.enqueued_at, t.started_at, {} AS at FROM sexton_task t \
             WHERE t.state = 'running' AND {condition} ORDER BY t.id LIMIT {LIMIT}",
            self.dialect.now()
        );
        let claim = |row: &QueryResult| {
            let at: DateTime<Utc> = row.try_get("", "at")?;
            let started_at = instant(row, "started_at").ok().flatten().unwrap_or(at);
            let node: Option<String> = row.try_get("", "node")?;
            let running_ms = (at - started_at).num_milliseconds().max(0);
            Ok(RunningClaim {
                claim: claim_of(row)?,
                name: column(row, "name").unwrap_or_default(),
                node: node.map(NodeId::from),
                pickups: column(row, "pickups").unwrap_or_default(),
                enqueued_at: instant(row, "enqueued_at").ok().flatten(),
                running_ms,
            })
        };
        self.all(&self.db, &sql, [node.as_str().into()]).await?.iter().map(claim).collect()
    }

    /// Releases tasks whose claims still hold: they are available at once, and the attempt does not count. It is on
    /// record as interrupted, with `why`. A task whose nodes died `max_pickups` times in a row is discarded instead. A
    /// task that the database refuses to release does not keep the others back.
    ///
    /// # Errors
    /// If the database is unavailable, or gave the transaction up too often.
    pub async fn rescue(
        &self,
        claims: &[RunningClaim],
        why: &str,
        max_pickups: impl Fn(&str) -> i32,
    ) -> Result<Rescue, StoreError> {
        let judge = |running: &RunningClaim| {
            let crash = crash_reason(why, running.pickups, max_pickups(&running.name));
            JudgedClaim { running: running.clone(), crash, why: why.to_owned() }
        };
        let judged: Vec<JudgedClaim> = claims.iter().map(judge).collect();
        let work = async |portion: &[JudgedClaim]| {
            self.timed(Operation::Rescue, self.end_running(portion, Taken::Everything)).await
        };
        let results = in_portions(judged.chunks(PORTION), work).await?;
        let mut rescue = Rescue::default();
        results.done.into_iter().for_each(|ended| rescue.count(ended));
        for (judged, _) in results.refused {
            match self.end_running(std::slice::from_ref(judged), Taken::Least).await {
                Ok(ended) => rescue.count(ended),
                Err(StoreError::Refused(answer)) => rescue.refused.push((judged.running.claim, answer)),
                Err(error) => return Err(error),
            }
        }
        for running in claims {
            self.isolated().forget(format_args!("task {} cannot be released", running.claim.task_id));
        }
        for (claim, answer) in &rescue.refused {
            let task = claim.task_id;
            self.isolated()
                .note(format_args!("task {task} cannot be released"), format_args!("{answer} (claim {claim})"));
        }
        Ok(rescue)
    }

    /// Ends these attempts. Returns those whose claims still held.
    async fn end_running(&self, portion: &[JudgedClaim], taken: Taken) -> Result<Vec<JudgedClaim>, StoreError> {
        self.with_retries(async || {
            let transaction = self.begin().await?;
            let held = self.lock_running(&transaction, portion).await?;
            if held.is_empty() {
                return Ok(Vec::new());
            }
            let rows = self.running_rows(held.iter().copied());
            let table = self.dialect.rows("d", &COLUMNS);
            self.record_interrupted(&transaction, &rows, taken).await?;
            let released = [("state", "'available'"), ("attempt", RELEASED_ATTEMPT), ("pickups", "t.pickups + 1")];
            let sets: Vec<(&str, &str)> = released.into_iter().chain(CLEARED).collect();
            let (release, discard) = (
                format!("{CLAIM_HOLDS} AND d.verdict = 'released'"),
                format!("{CLAIM_HOLDS} AND d.verdict = 'discarded'"),
            );
            let update = self.dialect.update_joined("sexton_task", &sets, &table, &release);
            let delete = self.dialect.delete_joined("sexton_task", "id", &table, &discard);
            self.run(&transaction, &update, [rows.clone()]).await?;
            if held.iter().any(|judged| judged.crash.is_some()) {
                self.run(&transaction, &delete, [rows]).await?;
                let discarded = held.iter().filter(|judged| judged.crash.is_some());
                let discarded: Vec<i64> = discarded.map(|judged| judged.running.claim.task_id).collect();
                self.settle_followers(&transaction, &discarded).await?;
                let crashes: Vec<Sighting> = held.iter().filter_map(|judged| judged.problem()).collect();
                self.count_problems(&transaction, &one_each(crashes)).await?;
            }
            self.commit(transaction).await?;
            Ok(held.into_iter().cloned().collect())
        })
        .await
    }

    /// Those of the claims that still hold, with their rows locked: of two rescuers, the second one finds none.
    async fn lock_running<'a>(
        &self,
        transaction: &DatabaseTransaction,
        portion: &'a [JudgedClaim],
    ) -> Result<Vec<&'a JudgedClaim>, StoreError> {
        let sql = format!(
            "SELECT t.id AS id, t.fence AS fence FROM {} JOIN sexton_task t ON {CLAIM_HOLDS} {}",
            self.dialect.rows_beside_locks("d", &COLUMNS),
            self.dialect.for_update(),
        );
        let rows = self.all(transaction, &sql, [self.running_rows(portion)]).await?;
        let held = rows.iter().map(claim_of).collect::<Result<HashSet<Claim>, StoreError>>()?;
        Ok(portion.iter().filter(|judged| held.contains(&judged.running.claim)).collect())
    }

    /// Writes the attempts into history. A row that is there already, from an earlier claim of the same fence, stays.
    async fn record_interrupted(
        &self,
        transaction: &DatabaseTransaction,
        rows: &sea_orm::Value,
        taken: Taken,
    ) -> Result<(), StoreError> {
        let extra = match taken {
            Taken::Everything => {
                ", t.schedule, t.due_at, t.enqueued_at, t.started_at, t.started_at, d.duration_ms, t.payload, t.traceparent, t.group_name"
            }
            Taken::Least => ", NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, t.group_name",
        };
        let attempt = "CASE WHEN t.attempt BETWEEN 0 AND 2147483647 THEN t.attempt ELSE 0 END";
        let sql = self.dialect.insert_new(
            "sexton_history (task_id, name, queue, finished_at, node, attempt, outcome, verdict, error, fence, \
             schedule, due_at, enqueued_at, claimed_at, started_at, duration_ms, payload, traceparent, group_name)",
            &format!(
                "SELECT t.id, t.name, t.queue, {now}, t.node, {attempt}, d.outcome, d.verdict, d.error, t.fence{extra} \
                 FROM {table} JOIN sexton_task t ON {CLAIM_HOLDS}",
                now = self.dialect.now(),
                table = self.dialect.rows("d", &COLUMNS),
            ),
        );
        self.run(transaction, &sql, [rows.clone()]).await?;
        Ok(())
    }

    fn running_rows<'a>(&self, claims: impl IntoIterator<Item = &'a JudgedClaim>) -> sea_orm::Value {
        let mut rows = Rows::new(self.dialect);
        for JudgedClaim { running, crash, why } in claims {
            let (outcome, verdict) = match crash {
                None => (Outcome::Interrupted, Verdict::Released),
                Some(_) => (Outcome::Crashed, Verdict::Discarded),
            };
            rows.push(|row| {
                row.set("id", running.claim.task_id)
                    .set("fence", running.claim.fence)
                    .set("node", running.node.as_deref())
                    .set("duration_ms", running.running_ms)
                    .set("outcome", outcome.as_str())
                    .set("verdict", verdict.as_str())
                    .set("error", crash.as_deref().unwrap_or(why));
            });
        }
        rows.into_value()
    }
}
