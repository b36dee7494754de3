//! What a part of the benchmark costs: processor time of this process and of the server, and bytes of the server's log.

use std::collections::HashMap;

use crate::store::Store;

/// The name of the processes of PostgreSQL.
const SERVER: &str = "postgres";

/// What was used up to an instant.
pub(super) struct Load {
    client_seconds: f64,
    /// Processor seconds by the number of the process.
    server_seconds: HashMap<i32, f64>,
    log_bytes: Option<u64>,
}

/// The costs of one task.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TaskCosts {
    /// Processor time of this process, in microseconds.
    pub(super) client_cpu_us: f64,
    /// Processor time of the server, in microseconds; none if it is on another machine, or unknown.
    pub(super) server_cpu_us: Option<f64>,
    /// Bytes of the server's log; none if unknown.
    pub(super) log_bytes: Option<f64>,
}

impl Load {
    /// What was used up to now.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub(super) async fn now(store: &Store) -> anyhow::Result<Self> {
        // A server may not tell its log to everyone.
        let log_bytes = store.log_bytes().await.ok().flatten();
        let processes = store.server_processes().await.unwrap_or_default();
        let server_seconds = processes.into_iter().filter_map(|pid| Some((pid, seconds_of(pid)?))).collect();
        Ok(Self { client_seconds: own_seconds()?, server_seconds, log_bytes })
    }

    /// What was used since then, divided by the number of tasks.
    ///
    /// # Errors
    /// As [`Load::now`].
    pub(super) async fn since(self, store: &Store, tasks: usize) -> anyhow::Result<TaskCosts> {
        let now = Self::now(store).await?;
        let each = |used: f64| used / tasks.max(1) as f64;
        let server: f64 = now
            .server_seconds
            .iter()
            .map(|(pid, seconds)| seconds - self.server_seconds.get(pid).copied().unwrap_or_default())
            .sum();
        let is_here = !now.server_seconds.is_empty();
        let log = now.log_bytes.zip(self.log_bytes).map(|(now, then)| now.saturating_sub(then));
        Ok(TaskCosts {
            client_cpu_us: each((now.client_seconds - self.client_seconds) * 1e6),
            server_cpu_us: is_here.then(|| each(server * 1e6)),
            log_bytes: log.map(|bytes| each(bytes as f64)),
        })
    }
}

/// The processor seconds that this process has used.
///
/// # Errors
/// If the system does not tell.
pub(super) fn own_seconds() -> anyhow::Result<f64> {
    Ok(seconds(&procfs::process::Process::myself()?.stat()?))
}

/// The processor seconds of a process of the server, if it is on this machine.
fn seconds_of(pid: i32) -> Option<f64> {
    let stat = procfs::process::Process::new(pid).ok()?.stat().ok()?;
    (stat.comm == SERVER).then(|| seconds(&stat))
}

fn seconds(stat: &procfs::process::Stat) -> f64 {
    (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64
}
