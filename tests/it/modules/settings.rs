//! What the configuration says of modules, and how a running daemon changes them.

use std::{
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use sexton::{
    DaemonModule, ModuleContext, Next,
    config::ModuleConfig,
    daemon::{Blueprint, Components, ModuleSpec, ModuleState, ModuleStatus, Request, Stage},
    domain::command::{CommandSpec, service::ProcessSpec},
    principal::Principal,
};
use sexton_entities::states::Via;

use super::{pid_of, runs};
use crate::{
    commands::unusual,
    support::{Database, Inside, Kind, add_module, block_on, blueprint, eventually},
};

/// A module that would rest for long.
#[derive(Default)]
struct Sleepy;

#[async_trait(?Send)]
impl DaemonModule for Sleepy {
    async fn run(&mut self, _: &ModuleContext) -> anyhow::Result<()> {
        Ok(())
    }

    async fn post_run(&mut self, _: &ModuleContext) -> anyhow::Result<Next> {
        Ok(Next::After(Duration::from_secs(3_600)))
    }
}

fn with(blueprint: &mut Blueprint, name: &str, settings: ModuleConfig) {
    blueprint.config.modules.insert(name.to_owned(), settings);
}

fn of(inside: &Inside, name: &str) -> ModuleStatus {
    inside.daemon.modules.get(name).unwrap_or_default()
}

#[test]
fn an_interval_and_a_discard_of_its_own() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let mut blueprint = blueprint(&database);
        add_module(&mut blueprint, ModuleSpec::new("often", Stage::Intake, Sleepy::default));
        add_module(&mut blueprint, ModuleSpec::new("fresh", Stage::Intake, Sleepy::default));
        let tick = Some(Duration::from_millis(20));
        with(&mut blueprint, "often", ModuleConfig { interval: tick, ..ModuleConfig::default() });
        with(&mut blueprint, "fresh", ModuleConfig { interval: tick, recycle_after: tick, ..ModuleConfig::default() });
        let inside = Inside::start(blueprint);
        eventually("it has had many rounds", async || of(&inside, "often").rounds > 20).await;
        eventually("it was replaced often", async || of(&inside, "fresh").recycled > 5).await;
        assert_eq!((of(&inside, "often").recycled, of(&inside, "fresh").failures), (0, 0));
        assert_eq!(inside.stop(), 0);
    });
}

#[test]
fn a_disabled_module_is_never_made_and_holds_nobody_up() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let mut blueprint = blueprint(&database);
        let off = ModuleConfig { enabled: false, ..ModuleConfig::default() };
        add_module(&mut blueprint, ModuleSpec::new("off", Stage::Work, || -> Sleepy { panic!("it is disabled") }));
        with(&mut blueprint, "off", off.clone());
        with(&mut blueprint, "pruner", off.clone());
        let reloaded = Arc::new(AtomicBool::new(false));
        let (config, seen) = (blueprint.config.clone(), reloaded.clone());
        blueprint.loader = Box::new(move |_| {
            let mut config = config.clone();
            config.modules.remove("pruner");
            config.modules.insert("cron".to_owned(), off.clone());
            seen.store(true, Ordering::Release);
            Ok(config)
        });
        let inside = Inside::start(blueprint);
        eventually("they are off", async || of(&inside, "off").state == ModuleState::Disabled).await;
        eventually("it is off", async || of(&inside, "pruner").state == ModuleState::Disabled).await;
        inside.request(Request::Reload { reply: None, by: Principal::unknown(Via::Signal) });
        eventually("it is on", async || of(&inside, "pruner").rounds > 0).await;
        eventually("it is off by now", async || of(&inside, "cron").state == ModuleState::Disabled).await;
        assert!(reloaded.load(Ordering::Acquire));
        let begun = std::time::Instant::now();
        assert_eq!(inside.stop(), 0);
        assert!(begun.elapsed() < Duration::from_secs(5), "nobody waited for them");
    });
}

/// A module with long rounds, which it brings to their end.
struct Slow {
    finished: Arc<AtomicU64>,
    /// Whether it ignores that it is to end.
    is_deaf: Arc<AtomicBool>,
    is_deaf_by_now: Arc<AtomicBool>,
}

#[async_trait(?Send)]
impl DaemonModule for Slow {
    async fn run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        loop {
            let is_deaf = self.is_deaf.load(Ordering::Acquire);
            self.is_deaf_by_now.store(is_deaf, Ordering::Release);
            tokio::select! {
                () = context.stopping().cancelled(), if !is_deaf => break,
                () = tokio::time::sleep(Duration::from_millis(20)) => context.progress(),
            }
        }
        self.finished.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }
}

#[test]
fn a_module_is_restarted_on_request() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let mut blueprint = blueprint(&database);
        let (finished, is_deaf, by_now) = (Arc::new(AtomicU64::new(0)), Arc::<AtomicBool>::default(), Arc::default());
        let (its, deaf, told) = (finished.clone(), is_deaf.clone(), Arc::<AtomicBool>::clone(&by_now));
        let slow = move || Slow { finished: its.clone(), is_deaf: deaf.clone(), is_deaf_by_now: told.clone() };
        add_module(&mut blueprint, ModuleSpec::new("slow", Stage::Intake, slow));
        blueprint.config.supervisor.ping_interval = Duration::from_millis(50);
        blueprint.config.supervisor.hang_timeout = Duration::from_millis(1_000);
        with(&mut blueprint, "pruner", ModuleConfig { enabled: false, ..ModuleConfig::default() });
        let inside = Inside::start(blueprint);
        eventually("it is up", async || of(&inside, "slow").started_at.is_some()).await;
        let unknown = inside.daemon.supervisor().unwrap().restart_module("slwo").await.unwrap_err().to_string();
        assert!(
            unknown.starts_with("there is no daemon module `slwo`; known: adopter, config_sync, cron, "),
            "{unknown}"
        );
        let disabled = inside.daemon.supervisor().unwrap().restart_module("pruner").await.unwrap_err().to_string();
        assert!(disabled.contains("is disabled in the configuration"), "{disabled}");
        for restarts in 1..=3 {
            inside.daemon.supervisor().unwrap().restart_module("slow").await.unwrap();
            eventually("the round was brought to its end, and another one has begun", async || {
                finished.load(Ordering::Acquire) == restarts && of(&inside, "slow").recycled == restarts
            })
            .await;
        }
        assert_eq!(of(&inside, "slow").failures, 0);
        // One that does not end is replaced all the same.
        is_deaf.store(true, Ordering::Release);
        eventually("it does not hear any more", async || by_now.load(Ordering::Acquire)).await;
        inside.daemon.supervisor().unwrap().restart_module("slow").await.unwrap();
        eventually("it is replaced as a hung one", async || of(&inside, "slow").failures == 1).await;
        is_deaf.store(false, Ordering::Release);
        eventually("it runs again", async || of(&inside, "slow").state == ModuleState::Running).await;
        assert_eq!(inside.stop(), 0);
    });
}

/// A dispatcher whose thread does not come back for a while; it looks at the liveness meanwhile.
struct Blocked {
    shared: Arc<OnceLock<Arc<Components>>>,
    seen: Arc<Mutex<Vec<u64>>>,
}

#[async_trait(?Send)]
impl DaemonModule for Blocked {
    #[expect(clippy::disallowed_methods, reason = "the fault is a thread that does not come back")]
    async fn run(&mut self, _: &ModuleContext) -> anyhow::Result<()> {
        let Some(shared) = self.shared.get().filter(|shared| shared.liveness.beats() > 3) else { return Ok(()) };
        let mut seen = self.seen.lock().unwrap();
        if seen.is_empty() {
            // What was answered before counts once more.
            std::thread::sleep(Duration::from_millis(300));
            seen.push(shared.liveness.beats());
            std::thread::sleep(Duration::from_millis(500));
            seen.push(shared.liveness.beats());
        }
        Ok(())
    }

    async fn post_run(&mut self, _: &ModuleContext) -> anyhow::Result<Next> {
        Ok(Next::After(Duration::from_millis(20)))
    }
}

#[test]
fn liveness_rises_while_the_vital_modules_answer() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let mut blueprint = blueprint(&database);
        let (shared, seen) = (Arc::new(OnceLock::new()), Arc::new(Mutex::new(Vec::new())));
        let (its, saw) = (shared.clone(), seen.clone());
        let blocked = move || Blocked { shared: its.clone(), seen: saw.clone() };
        add_module(&mut blueprint, ModuleSpec::new("dispatcher", Stage::Intake, blocked));
        blueprint.config.supervisor.ping_interval = Duration::from_millis(20);
        let inside = Inside::start(blueprint);
        assert!(shared.set(inside.daemon.clone()).is_ok());
        assert_eq!(inside.daemon.liveness.wanted(), Duration::from_millis(20));
        eventually("it has stood still", async || seen.try_lock().is_ok_and(|seen| seen.len() == 2)).await;
        let seen = seen.lock().unwrap().clone();
        let (before, after) = (seen[0], seen[1]);
        assert_eq!(before, after, "it stands still with the dispatcher");
        eventually("it beats again", async || inside.daemon.liveness.beats() > after + 3).await;
        assert_eq!(inside.stop(), 0);
    });
}

#[test]
fn a_program_is_restarted_on_request() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let mut blueprint = blueprint(&database);
        let sleep = unusual();
        let process = ProcessSpec::new(CommandSpec::new(vec!["sleep".to_owned(), sleep.clone()]));
        with(&mut blueprint, "it", ModuleConfig { process: Some(process), ..ModuleConfig::default() });
        let inside = Inside::start(blueprint);
        let first = runs(&sleep).await;
        inside.daemon.supervisor().unwrap().restart_module("it").await.unwrap();
        eventually("another one runs", async || pid_of(&sleep).is_some_and(|pid| pid != first)).await;
        eventually("it is on the board", async || of(&inside, "it").state == ModuleState::Running).await;
        let status = of(&inside, "it");
        assert_eq!((status.failures, status.recycled), (0, 1));
        assert_eq!(inside.stop(), 0);
        assert_eq!(pid_of(&sleep), None);
    });
}

/// A module that cannot end in good order.
struct Clumsy;

#[async_trait(?Send)]
impl DaemonModule for Clumsy {
    async fn run(&mut self, _: &ModuleContext) -> anyhow::Result<()> {
        Ok(())
    }

    async fn end(&mut self, _: &ModuleContext) -> anyhow::Result<()> {
        anyhow::bail!("it cannot end")
    }
}

#[test]
fn a_failed_end_is_an_end_when_the_daemon_stops() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let mut blueprint = blueprint(&database);
        blueprint.config.supervisor.restart.max_restarts = 0;
        blueprint.config.supervisor.restart.restart_delay = Duration::from_secs(3_600);
        blueprint.config.supervisor.restart.max_restart_delay = Duration::from_secs(3_600);
        add_module(&mut blueprint, ModuleSpec::new("clumsy", Stage::Intake, || Clumsy));
        let inside = Inside::start(blueprint);
        eventually("it is at work", async || of(&inside, "clumsy").rounds > 0).await;
        assert_eq!(of(&inside, "clumsy").state, ModuleState::Running);
        assert_eq!(inside.stop(), 0, "nothing is given up");
    });
}
