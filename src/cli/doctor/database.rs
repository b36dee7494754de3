//! The database.

use std::{cell::RefCell, time::Instant};

use sexton_entities::states::ProblemState;

use super::{
    super::{
        problem as problems,
        session::{OpenSession, Session, connect_options, with_advice},
    },
    looks::{Doctor, on_thread},
};
use crate::{
    clock::machine_time,
    config::{Config, Mistakes},
    domain::{
        doctor::{
            Area, Diagnosis,
            clock::diagnose_clock,
            cluster::{self, NodeFacts},
            mysql, postgres, rights,
            server::Demand,
            sqlite,
            tables::{self, SchemaState},
            transactions,
        },
        text::redact,
    },
    store::StoreError,
};

/// The right that shows transactions of other users.
const PROCESS: &str = "with the right PROCESS (GRANT PROCESS ON *.* TO the role) it is possible";

pub(super) async fn look(doctor: &Doctor, session: &Session, config: &Config) {
    let connect = connect_options(config);
    if let Some(file) = connect.sqlite_file() {
        let asked = file.clone();
        match tokio::time::timeout(doctor.limit, on_thread(move || asked.try_exists())).await {
            Ok(Ok(Ok(false))) => {}
            Ok(_) => return of_existing(doctor, session, config).await,
            Err(_) => return doctor.cannot_look(Area::Database, "the SQLite file", doctor.too_late()),
        }
        return doctor.add([Diagnosis::note(
            Area::Database,
            format!("The database {} does not exist yet.", file.display()),
            "The daemon creates it at its first start.",
            "Start the daemon, or run `sexton db migrate`. If it existed before, restore it first.",
        )]);
    }
    of_existing(doctor, session, config).await;
}

/// Looks at a database that exists, as far as is known.
async fn of_existing(doctor: &Doctor, session: &Session, config: &Config) {
    let name = redact::redacted(&config.database.url);
    let begun = Instant::now();
    let open = match tokio::time::timeout(doctor.limit, session.open()).await {
        Ok(Ok(open)) => open,
        Ok(Err(error)) => return unreachable(doctor, &name, &error),
        Err(_) => return unreachable(doctor, &name, &anyhow::anyhow!("it has not answered in time")),
    };
    let took = begun.elapsed().as_millis();
    doctor.add([Diagnosis::ok(Area::Database, format!("{name} has answered within {took} ms."))]);
    DatabaseLooks { open: &open, config, schema: RefCell::new(None) }.look(doctor).await;
}

fn unreachable(doctor: &Doctor, name: &str, error: &anyhow::Error) {
    if error.is::<Mistakes>() {
        let reason = "mistakes in the configuration may make it the wrong one".to_owned();
        return doctor.cannot_look(Area::Database, "the database", reason);
    }
    let is_refusal =
        error.chain().any(|cause| cause.downcast_ref::<StoreError>().is_some_and(StoreError::is_configuration));
    let remedy = match is_refusal {
        true => "Check database.url, the password, and the accounts of the server.",
        false => "Check that the server runs and that this machine reaches it: address, port, firewall, DNS.",
    };
    let text = error.root_cause().to_string();
    doctor.add([Diagnosis::error(
        Area::Database,
        format!("The database {name} cannot be used: {}.", text.trim_end_matches('.')),
        "Without it no task runs. The daemon waits for it.",
        remedy,
    )]);
}

/// What the looks share.
struct DatabaseLooks<'a> {
    open: &'a OpenSession,
    config: &'a Config,
    /// How far the schema is, once that is known.
    schema: RefCell<Option<SchemaState>>,
}

impl DatabaseLooks<'_> {
    async fn look(&self, doctor: &Doctor) {
        doctor.look(Area::Clock, "the clock", self.clock()).await;
        doctor.look(Area::Tables, "the tables", self.tables()).await;
        doctor.look(Area::Database, "the settings of the database", self.settings()).await;
        doctor.look(Area::Rights, "the rights of the role", self.rights()).await;
        doctor.look(Area::Transactions, "transactions", self.transactions()).await;
        if *self.schema.borrow() != Some(SchemaState::Empty) {
            doctor.look(Area::Nodes, "the nodes", self.nodes()).await;
            doctor.look(Area::Nodes, "open problems", self.problems()).await;
        }
    }

    async fn settings(&self) -> anyhow::Result<Vec<Diagnosis>> {
        let store = &self.open.store;
        let Some(server) = store.server_facts().await? else {
            return Ok(sqlite::diagnose(&store.sqlite_facts().await?));
        };
        let demand = Demand {
            pool: self.config.database.max_connections,
            nodes: self.live_nodes().await.map_or(1, |nodes| nodes.iter().filter(|node| node.is_alive).count()),
            statement: self.config.daemon.statement_timeout(),
            max_payload: self.config.daemon.max_payload,
        };
        let diagnose = if store.database() == "postgres" { postgres::diagnose } else { mysql::diagnose };
        Ok(diagnose(&server, &demand))
    }

    async fn clock(&self) -> anyhow::Result<Vec<Diagnosis>> {
        if self.open.store.database() == "sqlite" {
            return Ok(Vec::new());
        }
        let asked = machine_time();
        let now = self.open.store.now().await?;
        let round_trip = machine_time() - asked;
        Ok(vec![diagnose_clock((asked + round_trip / 2 - now).as_seconds_f64())])
    }

    async fn tables(&self) -> anyhow::Result<Vec<Diagnosis>> {
        let store = &self.open.store;
        let present = store.table_facts().await?;
        let state = store.schema_state().await?;
        let mut found = vec![tables::diagnose_schema(&state, self.config.database.migrate)];
        if state == SchemaState::Current {
            let facts = store.tables_facts(present, self.config.daemon.keep_history).await?;
            found.extend(tables::diagnose(&facts));
        }
        self.schema.replace(Some(state));
        Ok(found)
    }

    async fn rights(&self) -> anyhow::Result<Vec<Diagnosis>> {
        let store = &self.open.store;
        let is_pending = matches!(*self.schema.borrow(), Some(SchemaState::Empty | SchemaState::Pending(_)));
        // MariaDB and MySQL do not show the tables for which the role has no right.
        let only: Option<Vec<String>> = match is_pending {
            true => Some(store.table_facts().await?.into_iter().map(|table| table.name).collect()),
            false => None,
        };
        let Some(role) = store.role_facts(only.as_deref()).await? else { return Ok(Vec::new()) };
        Ok(rights::diagnose(&role, is_pending, self.config.database.migrate))
    }

    async fn transactions(&self) -> anyhow::Result<Vec<Diagnosis>> {
        match self.open.store.transaction_facts().await {
            Ok(facts) => Ok(facts.map(|facts| transactions::diagnose(&facts)).unwrap_or_default()),
            Err(StoreError::Refused(said)) if said.contains("PROCESS") => {
                anyhow::bail!("{said}; {PROCESS}")
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn live_nodes(&self) -> Result<Vec<NodeFacts>, StoreError> {
        let now = self.open.store.now().await?;
        let nodes = self.open.store.nodes().await?.into_iter();
        Ok(nodes
            .map(|node| NodeFacts { is_alive: node.lease_expires_at >= now, name: node.name, version: node.version })
            .collect())
    }

    async fn nodes(&self) -> anyhow::Result<Vec<Diagnosis>> {
        let nodes = self.live_nodes().await.map_err(with_advice)?;
        Ok(cluster::diagnose_nodes(&nodes, env!("CARGO_PKG_VERSION")))
    }

    async fn problems(&self) -> anyhow::Result<Vec<Diagnosis>> {
        let rows = problems::open(self.open).await?;
        let open: Vec<String> = rows
            .iter()
            .filter(|row| row.state == ProblemState::Open)
            .map(|row| format!("{} {}: {}", row.id, problems::of(row.kind, &row.name), row.what.trim_end_matches('.')))
            .collect();
        Ok(vec![cluster::diagnose_problems(&open)])
    }
}
