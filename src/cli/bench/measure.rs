//! The steps of a benchmark.

use std::time::{Duration, Instant};

use futures::future::try_join_all;
use sexton_client::client::Client;

use super::{
    args::{BenchArgs, NOOP_TASK, QUEUE, STAMP_TASK},
    figures::{Figures, per_second, percentile},
    load::{Load, own_seconds},
    node::{BenchNode, Stamps},
};
use crate::{
    domain::task::NewTask,
    store::{ConnectOptions, Store, TaskFilter},
};

/// Tasks per batch.
const BATCH: usize = 1_000;
/// Interval between two looks for tasks that have not been picked up.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
/// For so long a daemon polls more often after its last task.
const QUIET: Duration = Duration::from_secs(40);
/// A task that has not started after this time was lost.
const PICKUP_TIMEOUT: Duration = Duration::from_secs(30);

/// A benchmark in progress.
pub(super) struct Measure<'a> {
    url: &'a str,
    args: &'a BenchArgs,
    store: Store,
    stamps: Stamps,
    figures: Figures,
}

impl<'a> Measure<'a> {
    /// Opens the database.
    ///
    /// # Errors
    /// If the database is not available, or has tasks of another benchmark.
    pub(super) async fn new(url: &'a str, args: &'a BenchArgs) -> anyhow::Result<Self> {
        let options = ConnectOptions::new(url);
        let store = Store::connect(&options)?;
        Store::probe(&options).await?;
        store.migrate(&options).await?;
        let filter = TaskFilter { queue: Some(QUEUE.into()), limit: 1, ..TaskFilter::default() };
        anyhow::ensure!(
            store.tasks(&filter).await?.is_empty(),
            "queue {QUEUE} has tasks: is another benchmark running, or was one interrupted? \
             Delete them with: DELETE FROM sexton_task WHERE queue = '{QUEUE}'"
        );
        let figures = Figures { database: store.database().to_owned(), ..Figures::default() };
        Ok(Self { url, args, store, stamps: Stamps::default(), figures })
    }

    /// Measures everything, and deletes its own rows.
    pub(super) async fn all(mut self) -> anyhow::Result<Figures> {
        self.enqueue().await?;
        let node = self.drain().await?;
        self.pick_up(&node).await?;
        self.idle(&node).await?;
        node.stop()?;
        for name in [NOOP_TASK, STAMP_TASK] {
            self.store.erase(name).await?;
        }
        Ok(self.figures)
    }

    /// Enqueues one by one, by eight concurrent callers, and in batches up to the number of tasks to drain.
    async fn enqueue(&mut self) -> anyhow::Result<()> {
        let client = Client::new(self.store.clone());
        let new = || NewTask::new(NOOP_TASK).queue(QUEUE).payload(1);
        let singles = self.args.singles;
        let begun = Instant::now();
        for _ in 0..singles {
            client.enqueue(new()).await?;
        }
        self.figures.enqueue_single_per_second = per_second(singles, begun.elapsed());
        let begun = Instant::now();
        let caller = async || {
            for _ in 0..singles / 2 {
                client.enqueue(new()).await?;
            }
            anyhow::Ok(())
        };
        try_join_all((0..8).map(|_| caller())).await?;
        self.figures.enqueue_eight_per_second = per_second(singles / 2 * 8, begun.elapsed());
        let batches = self.args.tasks.saturating_sub(singles * 5).div_ceil(BATCH).max(1);
        let begun = Instant::now();
        for _ in 0..batches {
            client.enqueue_all((0..BATCH).map(|_| new()).collect()).await?;
        }
        self.figures.enqueue_batch_per_second = per_second(batches * BATCH, begun.elapsed());
        Ok(())
    }

    /// Measures the time from the daemon's start to an empty queue.
    async fn drain(&mut self) -> anyhow::Result<BenchNode> {
        let count =
            self.store.queues(&[]).await?.iter().find(|queue| queue.name == QUEUE).map_or(0, |queue| queue.available);
        let node = BenchNode::start(self.url, self.args.workers, &self.stamps).await?;
        self.figures.workers = node.daemon.in_flight.workers().first().map_or(0, |queue| queue.workers);
        let load = Load::now(&self.store).await?;
        let begun = Instant::now();
        while !self.store.peek(&[QUEUE.into()]).await?.queues.is_empty() || !node.daemon.in_flight.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.figures.drain_per_second = per_second(count as usize, begun.elapsed());
        let costs = load.since(&self.store, count as usize).await?;
        self.figures.drain_client_cpu_us = costs.client_cpu_us;
        (self.figures.drain_server_cpu_us, self.figures.drain_log_bytes) = (costs.server_cpu_us, costs.log_bytes);
        Ok(node)
    }

    /// Measures pick-up from a connection that has no contact to the daemon, and from inside the daemon.
    async fn pick_up(&mut self, node: &BenchNode) -> anyhow::Result<()> {
        let outside = Client::new(Store::connect(&ConnectOptions::new(self.url))?);
        let (mut enqueues, mut lengths) = self.pick_up_by(&outside, 0).await?;
        self.figures.enqueue_paced_p50_ms = percentile(&mut enqueues, 50);
        self.figures.pickup_p50_ms = percentile(&mut lengths, 50);
        self.figures.pickup_p99_ms = percentile(&mut lengths, 99);
        let (_, mut lengths) = self.pick_up_by(&node.daemon.client, 1_000_000).await?;
        self.figures.pickup_inside_p50_ms = percentile(&mut lengths, 50);
        self.figures.pickup_inside_p99_ms = percentile(&mut lengths, 99);
        Ok(())
    }

    /// Returns how long each enqueue took, and how long after its return each task began.
    async fn pick_up_by(&self, client: &Client, first: i64) -> anyhow::Result<(Vec<Duration>, Vec<Duration>)> {
        let mut enqueuing = Vec::new();
        let mut pace = tokio::time::interval(self.args.pace.max(Duration::from_micros(1)));
        for number in first..first + self.args.pickups as i64 {
            pace.tick().await;
            let client = client.clone();
            // The pace stays the same if an enqueue takes longer.
            enqueuing.push(tokio::spawn(async move {
                let begun = Instant::now();
                client.enqueue(NewTask::new(STAMP_TASK).queue(QUEUE).payload(number)).await?;
                anyhow::Ok((number, begun, Instant::now()))
            }));
        }
        let (mut enqueues, mut enqueued) = (Vec::new(), Vec::new());
        for enqueue in enqueuing {
            let (number, begun, ended) = enqueue.await??;
            enqueues.push(ended - begun);
            enqueued.push((number, ended));
        }
        let end = Instant::now() + PICKUP_TIMEOUT;
        let mut lengths = Vec::new();
        for (number, at) in enqueued {
            let begun = loop {
                if let Some(begun) = self.stamps.take(number) {
                    break begun;
                }
                anyhow::ensure!(
                    Instant::now() < end,
                    "task number {number} was not picked up within {PICKUP_TIMEOUT:?}"
                );
                tokio::time::sleep(LOOK_INTERVAL).await;
            };
            lengths.push(begun.saturating_duration_since(at));
        }
        Ok((enqueues, lengths))
    }

    /// Counts the statements of an idle daemon.
    async fn idle(&mut self, node: &BenchNode) -> anyhow::Result<()> {
        // After its last task the daemon polls more often for a while.
        tokio::time::sleep(QUIET.min(self.args.idle * 2)).await;
        let (before, begun, used) = (node.daemon.store.statements(), Instant::now(), own_seconds()?);
        tokio::time::sleep(self.args.idle).await;
        let sent = node.daemon.store.statements() - before;
        self.figures.idle_statements_per_minute = per_second(sent as usize * 60, begun.elapsed());
        self.figures.idle_cpu_percent = (own_seconds()? - used) / begun.elapsed().as_secs_f64() * 100.0;
        Ok(())
    }
}
