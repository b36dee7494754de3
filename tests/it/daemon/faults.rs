//! Every daemon module panics, fails and hangs, in turn and under load: it comes back, and no task is lost.

use std::{
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use sexton::{
    DaemonModule, ModuleContext, NewTask, Next, SummaryTable,
    daemon::{Components, GAVE_UP, ModuleSpec, WakeReason},
    domain::identity::ModuleName,
};

use super::{completed, count};
use crate::support::{Inside, add_module, blueprint, change_modules, eventually, on_each_database};

/// What is to happen in a module's next round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Panic,
    Error,
    /// Its thread does not come back.
    Block,
    /// Its round never ends.
    Wait,
}

/// The fault that waits for a module; taken by the round that it strikes.
type Plan = Arc<Mutex<Option<(String, Fault)>>>;

/// A module that does what the real one does, until a fault strikes it.
struct Faulty {
    name: String,
    inner: Box<dyn DaemonModule>,
    plan: Plan,
}

#[async_trait(?Send)]
impl DaemonModule for Faulty {
    async fn pre_run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        self.inner.pre_run(context).await
    }

    async fn run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let struck = self.plan.lock().unwrap().take_if(|(name, _)| *name == self.name);
        match struck.map(|(_, fault)| fault) {
            Some(Fault::Panic) => panic!("a planned panic in {}", self.name),
            Some(Fault::Error) => anyhow::bail!("a planned error in {}", self.name),
            Some(Fault::Block) => block(),
            Some(Fault::Wait) => std::future::pending().await,
            None => {}
        }
        self.inner.run(context).await
    }

    async fn post_run(&mut self, context: &ModuleContext) -> anyhow::Result<Next> {
        self.inner.post_run(context).await
    }

    fn summary(&self) -> Vec<SummaryTable> {
        self.inner.summary()
    }
}

#[expect(clippy::disallowed_methods, reason = "the fault is a thread that does not come back")]
fn block() {
    std::thread::sleep(Duration::from_secs(20));
}

fn faulty(spec: ModuleSpec, plan: &Plan) -> ModuleSpec {
    let (name, plan, factory) = (spec.name.to_string(), plan.clone(), spec.factory.clone());
    ModuleSpec {
        factory: Arc::new(move || Box::new(Faulty { name: name.clone(), inner: factory(), plan: plan.clone() })),
        ..spec
    }
}

on_each_database! {
    async fn every_module_comes_back_and_no_task_is_lost(database: Database) {
        let store = database.store().await;
        let plan = Plan::default();
        let mut blueprint = blueprint(&database);
        let modules = ModuleName::BUILT_IN;
        let faults = plan.clone();
        change_modules(&mut blueprint, move |modules| modules.into_iter().map(|spec| faulty(spec, &faults)).collect());
        blueprint.config.supervisor.ping_interval = Duration::from_millis(50);
        blueprint.config.supervisor.hang_timeout = Duration::from_millis(1_500);
        blueprint.config.supervisor.restart.restart_delay = Duration::from_millis(10);
        blueprint.config.supervisor.restart.max_restart_delay = Duration::from_millis(100);
        blueprint.config.daemon.heartbeat = Duration::from_millis(200);
        blueprint.config.daemon.lease = Duration::from_secs(10);
        let inside = Inside::start(blueprint);
        let mut enqueued = 0;
        for fault in [Fault::Panic, Fault::Error, Fault::Block, Fault::Wait] {
            for module in &modules {
                let failures = |daemon: &Components| daemon.modules.get(module).map_or(0, |status| status.failures);
                let before = failures(&inside.daemon);
                *plan.lock().unwrap() = Some((module.to_string(), fault));
                // Under load, and rung for: some modules rest for long otherwise.
                eventually(&format!("{module} falls by {fault:?}"), async || {
                    // No more than the slowest database can finish, or a round of the recorder would not end.
                    if count(&store, "COUNT(*) FROM sexton_task").await < 500 {
                        let tasks = (0..50).map(|_| NewTask::new("nothing")).collect();
                        enqueued += inside.daemon.client.enqueue_all(tasks).await.unwrap() as i64;
                    }
                    inside.daemon.wakers.wake(module, WakeReason::Requested);
                    failures(&inside.daemon) > before
                })
                .await;
                eventually(&format!("{module} works again"), async || {
                    inside.daemon.wakers.wake(module, WakeReason::Requested);
                    inside.daemon.modules.get(module).is_some_and(|status| status.rounds > 0)
                })
                .await;
            }
        }
        let end = std::time::Instant::now() + crate::support::PATIENCE;
        while count(&store, "COUNT(*) FROM sexton_task").await > 0 {
            if std::time::Instant::now() > end {
                let left = store.tasks(&sexton::store::TaskFilter { limit: 3, ..Default::default() }).await.unwrap();
                let (hand, board) = (&inside.daemon.in_flight, inside.daemon.modules.all());
                panic!("not all tasks are done: {left:#?}, {:?}, {:?}, {board:#?}", hand.counts(), hand.workers());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for module in &modules {
            let status = inside.daemon.modules.get(module).unwrap();
            assert_eq!(status.failures, 4, "{module}");
            assert!(status.last_error.is_some(), "{module}");
        }
        assert_eq!(inside.stop(), 0);
        assert_eq!(completed(&store).await, enqueued);
        assert_eq!(count(&store, "COUNT(DISTINCT task_id) FROM sexton_history WHERE verdict = 'completed'").await, enqueued);
    }
}

/// A module that cannot live.
struct Doomed;

#[async_trait(?Send)]
impl DaemonModule for Doomed {
    async fn run(&mut self, _: &ModuleContext) -> anyhow::Result<()> {
        anyhow::bail!("doomed")
    }
}

#[test]
fn too_many_falls_end_the_process_with_its_exit_code() {
    crate::support::block_on(async {
        let database = crate::support::Database::new(crate::support::Kind::Sqlite).await;
        let mut blueprint = blueprint(&database);
        blueprint.config.supervisor.restart.restart_delay = Duration::from_millis(1);
        blueprint.config.supervisor.restart.max_restart_delay = Duration::from_millis(1);
        add_module(&mut blueprint, ModuleSpec::new("doomed", sexton::daemon::Stage::Intake, || Doomed));
        assert_eq!(Inside::start(blueprint).wait(), GAVE_UP);
    });
}

/// A module that wishes to be replaced after each round.
struct Fleeting;

#[async_trait(?Send)]
impl DaemonModule for Fleeting {
    async fn run(&mut self, _: &ModuleContext) -> anyhow::Result<()> {
        Ok(())
    }

    async fn post_run(&mut self, _: &ModuleContext) -> anyhow::Result<Next> {
        Ok(Next::Recycle)
    }
}

#[test]
fn a_discarded_module_is_replaced_without_a_fall() {
    crate::support::block_on(async {
        let database = crate::support::Database::new(crate::support::Kind::Sqlite).await;
        let mut blueprint = blueprint(&database);
        blueprint.config.supervisor.restart.max_restarts = 0;
        add_module(&mut blueprint, ModuleSpec::new("fleeting", sexton::daemon::Stage::Intake, || Fleeting));
        let inside = Inside::start(blueprint);
        let status = || inside.daemon.modules.get("fleeting").unwrap_or_default();
        eventually("it was replaced a hundred times", async || status().recycled >= 100).await;
        assert_eq!(status().failures, 0);
        assert_eq!(inside.stop(), 0);
    });
}

#[test]
fn modules_are_replaced_when_their_time_is_over() {
    crate::support::block_on(async {
        let database = crate::support::Database::new(crate::support::Kind::Sqlite).await;
        let mut blueprint = blueprint(&database);
        blueprint.config.supervisor.recycle_after = Duration::from_millis(50);
        let inside = Inside::start(blueprint);
        let mut enqueued = 0;
        eventually("every module was replaced several times, under load", async || {
            enqueued += inside.daemon.client.enqueue_all(vec![NewTask::new("nothing"); 20]).await.unwrap() as i64;
            let board = inside.daemon.modules.all();
            for status in &board {
                inside.daemon.wakers.wake(&status.name.as_str().into(), WakeReason::Requested);
            }
            board.len() > 8 && board.iter().all(|status| status.recycled >= 3)
        })
        .await;
        let store = database.bare_store();
        eventually("all tasks are done", async || count(&store, "COUNT(*) FROM sexton_task").await == 0).await;
        assert!(inside.daemon.modules.all().iter().all(|status| status.failures == 0));
        assert_eq!(inside.stop(), 0);
        assert_eq!(completed(&store).await, enqueued);
    });
}

/// A module whose thread hangs in each round, until the test lets it go.
struct Stuck {
    begun: Arc<AtomicUsize>,
    gate: Arc<(Mutex<bool>, Condvar)>,
}

#[async_trait(?Send)]
impl DaemonModule for Stuck {
    async fn run(&mut self, _: &ModuleContext) -> anyhow::Result<()> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let (is_open, opened) = &*self.gate;
        drop(opened.wait_while(is_open.lock().unwrap(), |is_open| !*is_open).unwrap());
        Ok(())
    }
}

#[test]
fn threads_that_hang_are_not_replaced_without_end() {
    crate::support::block_on(async {
        let database = crate::support::Database::new(crate::support::Kind::Sqlite).await;
        let mut blueprint = blueprint(&database);
        blueprint.config.supervisor.ping_interval = Duration::from_millis(20);
        blueprint.config.supervisor.hang_timeout = Duration::from_millis(200);
        blueprint.config.supervisor.restart.restart_delay = Duration::from_millis(1);
        blueprint.config.supervisor.restart.max_restart_delay = Duration::from_millis(1);
        let (begun, gate) = (Arc::<AtomicUsize>::default(), Arc::<(Mutex<bool>, Condvar)>::default());
        let parts = (begun.clone(), gate.clone());
        add_module(
            &mut blueprint,
            ModuleSpec::new("stuck", sexton::daemon::Stage::Intake, move || Stuck {
                begun: parts.0.clone(),
                gate: parts.1.clone(),
            }),
        );
        let inside = Inside::start(blueprint);
        let status = || inside.daemon.modules.get("stuck").unwrap_or_default();
        let says_why = || status().last_error.is_some_and(|error| error.contains("3 of its threads hang"));
        eventually("three threads hang, and it says so", async || says_why()).await;
        // Ten more hangs would have been noticed meanwhile.
        let rounds = || inside.daemon.modules.get(&ModuleName::NODE).unwrap().rounds;
        let before = rounds();
        eventually("the daemon goes on", async || {
            inside.daemon.wakers.wake(&ModuleName::NODE, WakeReason::Requested);
            rounds() > before + 10
        })
        .await;
        assert_eq!((begun.load(Ordering::SeqCst), status().failures), (3, 3));
        *gate.0.lock().unwrap() = true;
        gate.1.notify_all();
        eventually("it works again", async || status().rounds > 0).await;
        assert_eq!(inside.stop(), 0);
    });
}
