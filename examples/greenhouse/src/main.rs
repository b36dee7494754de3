//! A custom daemon: Sexton with a task handler and two daemon modules.
//!
//! The handler waters a bed. One module is a thermometer that enqueues a watering when it gets hot; the other is the
//! classic test daemon, which prints the time. Try it:
//!
//! ```text
//! cargo run -p greenhouse -- --config examples/greenhouse/greenhouse.toml run
//! ```

use std::{
    process::ExitCode,
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use sexton::{
    DaemonModule, ModuleContext, Next, RetryPolicy, Sexton, SummaryTable, Task, TaskContext, TaskDefinition, TaskError,
    TypedHandler, anyhow, async_trait,
};

/// The water that is left, in litres; shared by the handler and the thermometer.
struct Tank(AtomicI64);

/// The task: waters a bed.
struct Water;

impl Task for Water {
    const NAME: &'static str = "water";
    type Payload = Watering;
}

/// The payload of a watering.
#[derive(Deserialize, Serialize)]
struct Watering {
    bed: String,
    litres: i64,
}

/// Executes the task.
struct WateringCan;

impl TypedHandler for WateringCan {
    type Task = Water;

    async fn run(&self, watering: Watering, context: &TaskContext) -> Result<(), TaskError> {
        if watering.litres <= 0 {
            return Err(TaskError::discard(format!("{} litres are no watering", watering.litres)));
        }
        let tank = context.app_data::<Tank>().ok_or_else(|| TaskError::new("there is no tank"))?;
        let left = tank.0.fetch_sub(watering.litres, Ordering::SeqCst) - watering.litres;
        if left < 0 {
            tank.0.fetch_add(watering.litres, Ordering::SeqCst);
            return Err(TaskError::retry_after(Duration::from_millis(200), "the tank is empty"));
        }
        context.log(format!(
            "{} got {} litres in attempt {}, {left} are left",
            watering.bed,
            watering.litres,
            context.attempt()
        ));
        Ok(())
    }

    fn definition() -> TaskDefinition {
        TaskDefinition {
            max_attempts: 50,
            queue: "garden".into(),
            retry: RetryPolicy { delay: Duration::from_secs(1), ..RetryPolicy::default() },
            ..TaskDefinition::new(Water::NAME, Water::NAME)
        }
    }
}

/// Reads the temperature at intervals, and refills the tank when it rains.
#[derive(Default)]
struct Thermometer {
    readings: u64,
    degrees: i64,
}

#[async_trait(?Send)]
impl DaemonModule for Thermometer {
    async fn pre_run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        anyhow::ensure!(context.app_data::<Tank>().is_some(), "there is no tank");
        Ok(())
    }

    async fn run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        self.readings += 1;
        self.degrees = 18 + (self.readings as i64 * 5) % 17;
        if self.degrees > 28 {
            // The unique key limits this to one waiting task.
            let task = Water::task(Watering { bed: "tomatoes".to_owned(), litres: 2 });
            context.client().enqueue(task.unique_key("tomatoes")).await?;
        }
        if let Some(tank) = context.app_data::<Tank>().filter(|_| self.degrees < 20) {
            tank.0.store(10, Ordering::SeqCst);
        }
        Ok(())
    }

    async fn post_run(&mut self, _: &ModuleContext) -> anyhow::Result<Next> {
        Ok(Next::After(Duration::from_millis(200)))
    }

    fn summary(&self) -> Vec<SummaryTable> {
        let mut table = SummaryTable::new("Thermometer", &["Readings", "Degrees"], "No readings yet.");
        table.row([self.readings.to_string(), self.degrees.to_string()]);
        vec![table]
    }
}

/// The classic first daemon module: prints the time every two seconds. By default the daemon recycles it after an hour;
/// the configuration can change both.
#[derive(Default)]
struct TestDaemon {
    printed: u64,
}

#[async_trait(?Send)]
impl DaemonModule for TestDaemon {
    async fn run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        self.printed += 1;
        println!("{}: it is {}", context.name(), context.clock().now().format("%T"));
        Ok(())
    }

    async fn post_run(&mut self, _: &ModuleContext) -> anyhow::Result<Next> {
        Ok(Next::After(Duration::from_secs(2)))
    }

    fn summary(&self) -> Vec<SummaryTable> {
        let mut table = SummaryTable::new("Test daemon", &["Printed"], "Nothing was printed yet.");
        table.row([self.printed.to_string()]);
        vec![table]
    }
}

fn main() -> ExitCode {
    Sexton::new()
        .typed_handler(WateringCan)
        .module("thermometer", Thermometer::default)
        .module("test-daemon", TestDaemon::default)
        .app_data(Tank(AtomicI64::new(10)))
        .run_cli()
}
