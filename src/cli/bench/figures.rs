//! The results of a benchmark.

use std::time::Duration;

use serde::Serialize;

/// The results of one benchmark.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Figures {
    /// Kind of database.
    pub(super) database: String,
    /// Workers of the daemon.
    pub(super) workers: usize,
    /// Tasks per second, enqueued one after the other.
    pub(super) enqueue_single_per_second: f64,
    /// Tasks per second, enqueued one by one by eight concurrent callers.
    pub(super) enqueue_eight_per_second: f64,
    /// Tasks per second, enqueued in batches of a thousand.
    pub(super) enqueue_batch_per_second: f64,
    /// Tasks per second that do nothing, from claim to history.
    pub(super) drain_per_second: f64,
    /// Processor time of this program for each drained task, in microseconds.
    pub(super) drain_client_cpu_us: f64,
    /// Processor time of the server for each drained task, in microseconds; absent if it is on another machine, or unknown.
    pub(super) drain_server_cpu_us: Option<f64>,
    /// Bytes of the server's log for each drained task; absent if unknown.
    pub(super) drain_log_bytes: Option<f64>,
    /// Time of an enqueue on another connection at the pace of the pick-ups: median, in milliseconds.
    pub(super) enqueue_paced_p50_ms: f64,
    /// Time from the return of such an enqueue to the start of the handler: median, in milliseconds.
    pub(super) pickup_p50_ms: f64,
    /// As above: 99th percentile.
    pub(super) pickup_p99_ms: f64,
    /// Time from an enqueue inside the daemon to the start of the handler: median, in milliseconds.
    pub(super) pickup_inside_p50_ms: f64,
    /// As above: 99th percentile.
    pub(super) pickup_inside_p99_ms: f64,
    /// Statements per minute that an idle daemon sends.
    pub(super) idle_statements_per_minute: f64,
    /// Processor time of an idle daemon, in percent of one core.
    pub(super) idle_cpu_percent: f64,
}

impl Figures {
    /// The rows of the table.
    pub(super) fn rows(&self) -> Vec<Vec<String>> {
        let rate = |value: f64| format!("{value:.0}");
        let millis = |value: f64| format!("{value:.2}");
        let known = |value: Option<f64>| value.map_or("-".to_owned(), rate);
        let rows = [
            ("enqueue, one at a time", rate(self.enqueue_single_per_second), "tasks/s"),
            ("enqueue, eight at a time", rate(self.enqueue_eight_per_second), "tasks/s"),
            ("enqueue, batches of 1000", rate(self.enqueue_batch_per_second), "tasks/s"),
            ("drain, history kept", rate(self.drain_per_second), "tasks/s"),
            ("drain, CPU of this program", rate(self.drain_client_cpu_us), "µs/task"),
            ("drain, CPU of the server", known(self.drain_server_cpu_us), "µs/task"),
            ("drain, log of the server", known(self.drain_log_bytes), "bytes/task"),
            ("enqueue, at the pace of the pick-ups, p50", millis(self.enqueue_paced_p50_ms), "ms"),
            ("pick-up from another connection, p50", millis(self.pickup_p50_ms), "ms"),
            ("pick-up from another connection, p99", millis(self.pickup_p99_ms), "ms"),
            ("pick-up from inside the daemon, p50", millis(self.pickup_inside_p50_ms), "ms"),
            ("pick-up from inside the daemon, p99", millis(self.pickup_inside_p99_ms), "ms"),
            ("idle", rate(self.idle_statements_per_minute), "statements/min"),
            ("idle, CPU of this program", millis(self.idle_cpu_percent), "% of a core"),
        ];
        rows.into_iter().map(|(what, figure, unit)| vec![what.to_owned(), figure, unit.to_owned()]).collect()
    }
}

/// The rate of `count` in the time `took`.
pub(super) fn per_second(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64().max(1e-9)
}

/// A percentile of some durations, in milliseconds.
pub(super) fn percentile(lengths: &mut [Duration], percent: usize) -> f64 {
    lengths.sort_unstable();
    let index = (lengths.len() * percent / 100).min(lengths.len().saturating_sub(1));
    lengths.get(index).map_or(f64::NAN, |length| length.as_secs_f64() * 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_sorted_list() {
        let mut lengths: Vec<Duration> = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(percentile(&mut lengths, 50), 51.0);
        assert_eq!(percentile(&mut lengths, 99), 100.0);
        assert!(percentile(&mut [], 50).is_nan());
    }
}
