//! AttemptSpans of attempts, for a collector of traces. The exporter is a part of the program only with the cargo feature `otlp`.

use std::time::Duration;

use sexton_entities::states::Outcome;

use super::attempt_span::AttemptSpan;
use crate::domain::task::{FinishedAttempt, trace::AttemptTrace};

/// How often the end of the export is checked.
#[cfg(feature = "otlp")]
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Takes the spans of attempts. Clones share it. It never waits for the collector: spans that are too many are dropped.
#[derive(Clone, Default)]
pub struct AttemptSpans {
    #[cfg(feature = "otlp")]
    exporter: Option<super::otlp::Exporter>,
}

impl AttemptSpans {
    /// Exports spans to this address. `tell` gets the reason why that does not work, or none once it works.
    pub fn new(endpoint: Option<&str>, node: &str, tell: impl Fn(Option<String>) + Send + 'static) -> Self {
        #[cfg(feature = "otlp")]
        return Self { exporter: endpoint.and_then(|endpoint| super::otlp::Exporter::start(endpoint, node, tell)) };
        #[cfg(not(feature = "otlp"))]
        {
            // The configuration refuses an address.
            let _ = (endpoint, node, tell);
            Self::default()
        }
    }

    /// Whether spans are exported.
    pub fn is_on(&self) -> bool {
        #[cfg(feature = "otlp")]
        return self.exporter.is_some();
        #[cfg(not(feature = "otlp"))]
        false
    }

    /// Takes the span of an attempt that has ended.
    pub fn push(&self, trace: &AttemptTrace, finished: &FinishedAttempt) {
        let Some(own) = trace.passed_on.filter(|own| self.is_on() && own.is_sampled()) else { return };
        let span = AttemptSpan {
            own,
            parent: trace.parent,
            state: trace.state.clone(),
            task_id: finished.claim.task_id,
            name: finished.name.clone(),
            queue: finished.queue.to_string(),
            schedule: finished.schedule.clone(),
            node: finished.node.to_string(),
            attempt: finished.attempt,
            outcome: finished.outcome.as_str(),
            is_failure: matches!(finished.outcome, Outcome::Failed | Outcome::TimedOut | Outcome::Crashed),
            began: finished.started_at.into(),
            ended: finished.finished_at.max(finished.started_at).into(),
        };
        #[cfg(feature = "otlp")]
        if let Some(exporter) = &self.exporter {
            exporter.push(span);
        }
        #[cfg(not(feature = "otlp"))]
        drop(span);
    }

    /// Waits until all spans are exported or dropped, at most that long.
    pub async fn flush(&self, limit: Duration) {
        #[cfg(feature = "otlp")]
        if let Some(exporter) = &self.exporter {
            let done = async {
                while exporter.waiting() > 0 {
                    tokio::time::sleep(POLL_INTERVAL).await;
                }
            };
            let _ = tokio::time::timeout(limit, done).await;
        }
        #[cfg(not(feature = "otlp"))]
        let _ = limit;
    }
}
