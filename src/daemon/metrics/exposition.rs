//! Metrics as text: in the format of OpenMetrics, and in the older one that the textfile collector reads.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text},
    metrics::MetricType,
    registry::Registry,
};

use crate::daemon::state::attempt_counts::HistogramValue;

/// Names and values of the labels of one sample.
pub(super) type Labels = Vec<(&'static str, String)>;

/// The format of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::daemon) enum TextFormat {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus's text format 0.0.4.
    Plain,
}

impl TextFormat {
    /// The format for a reader with this header `Accept`.
    pub(super) fn accepted(accept: Option<&str>) -> Self {
        match accept {
            Some(accept) if accept.contains("text/plain") && !accept.contains("openmetrics") => Self::Plain,
            _ => Self::OpenMetrics,
        }
    }

    /// The header `Content-Type`.
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Plain => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// One metric with its samples.
#[derive(Debug)]
struct Family {
    name: &'static str,
    help: &'static str,
    samples: Samples,
}

#[derive(Debug)]
enum Samples {
    Gauges(Vec<(Labels, f64)>),
    Counters(Vec<(Labels, u64)>),
    Sums(Vec<(Labels, f64)>),
    Histograms(Vec<(Labels, HistogramValue)>),
}

/// Metrics as they were at one moment.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    families: Vec<Family>,
}

impl Snapshot {
    /// Adds a number that rises and falls, without labels.
    pub(super) fn gauge(&mut self, name: &'static str, help: &'static str, value: f64) {
        self.gauges(name, help, [(Labels::new(), value)]);
    }

    /// Adds numbers that rise and fall.
    pub(super) fn gauges(
        &mut self,
        name: &'static str,
        help: &'static str,
        samples: impl IntoIterator<Item = (Labels, f64)>,
    ) {
        self.add(name, help, Samples::Gauges(samples.into_iter().collect()));
    }

    /// Adds a count since the daemon's start, without labels. The name goes without `_total`.
    pub(super) fn counter(&mut self, name: &'static str, help: &'static str, value: u64) {
        self.counters(name, help, [(Labels::new(), value)]);
    }

    /// Adds counts since the daemon's start.
    pub(super) fn counters(
        &mut self,
        name: &'static str,
        help: &'static str,
        samples: impl IntoIterator<Item = (Labels, u64)>,
    ) {
        self.add(name, help, Samples::Counters(samples.into_iter().collect()));
    }

    /// Adds sums that only rise, such as seconds.
    pub(super) fn sums(
        &mut self,
        name: &'static str,
        help: &'static str,
        samples: impl IntoIterator<Item = (Labels, f64)>,
    ) {
        self.add(name, help, Samples::Sums(samples.into_iter().collect()));
    }

    /// Adds durations or sizes.
    pub(super) fn histograms(
        &mut self,
        name: &'static str,
        help: &'static str,
        samples: impl IntoIterator<Item = (Labels, HistogramValue)>,
    ) {
        self.add(name, help, Samples::Histograms(samples.into_iter().collect()));
    }

    fn add(&mut self, name: &'static str, help: &'static str, samples: Samples) {
        self.families.push(Family { name, help, samples });
    }

    /// The text.
    pub(super) fn text(self, format: TextFormat) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut written = String::new();
        // A text takes all that is written to it.
        if let Err(error) = text::encode(&mut written, &registry) {
            tracing::error!("cannot write the metrics: {error}");
        }
        match format {
            TextFormat::OpenMetrics => written,
            TextFormat::Plain => plain(&written),
        }
    }
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for Family { name, help, samples } in &self.families {
            let kind = match samples {
                Samples::Gauges(_) => MetricType::Gauge,
                Samples::Counters(_) | Samples::Sums(_) => MetricType::Counter,
                Samples::Histograms(_) => MetricType::Histogram,
            };
            let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
            match samples {
                Samples::Gauges(samples) => {
                    each(&mut metric, samples, &|sample, value| sample.encode_gauge(value))?;
                }
                Samples::Counters(samples) => each(&mut metric, samples, &|sample, value| {
                    sample.encode_counter::<NoLabelSet, _, u64>(value, None)
                })?,
                Samples::Sums(samples) => each(&mut metric, samples, &|sample, value| {
                    sample.encode_counter::<NoLabelSet, _, u64>(value, None)
                })?,
                Samples::Histograms(samples) => each(&mut metric, samples, &encode_histogram)?,
            }
        }
        Ok(())
    }
}

/// Writes each sample with its labels.
fn each<T>(
    metric: &mut MetricEncoder<'_>,
    samples: &[(Labels, T)],
    encode: &dyn Fn(&mut MetricEncoder<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    for (labels, value) in samples {
        match labels.is_empty() {
            true => encode(metric, value)?,
            false => encode(&mut metric.encode_family(labels)?, value)?,
        }
    }
    Ok(())
}

fn encode_histogram(sample: &mut MetricEncoder<'_>, value: &HistogramValue) -> fmt::Result {
    let bounds = value.bounds.iter().copied().chain([f64::INFINITY]);
    let buckets: Vec<(f64, u64)> = bounds.zip(value.buckets.iter().copied()).collect();
    sample.encode_histogram::<NoLabelSet>(value.sum, value.buckets.iter().sum(), &buckets, None)
}

/// OpenMetrics in the older format: there, a counter is described by the name that its samples have.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let is_counter = |name: &str| text.contains(&format!("# TYPE {name} counter\n"));
    for line in text.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some(what @ ("HELP" | "TYPE")), Some(name), Some(rest)) => {
                let suffix = if is_counter(name) { "_total" } else { "" };
                plain.push_str(&format!("# {what} {name}{suffix} {rest}\n"));
            }
            (Some("#"), ..) => {}
            _ => plain.push_str(&format!("{line}\n")),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::state::attempt_counts::BOUNDS;

    fn sample() -> Snapshot {
        let mut snapshot = Snapshot::default();
        snapshot.gauge("up", "Whether it is up.", 1.0);
        snapshot.counters("claims", "Claims.", [(vec![("task", "a\"b\\c\n".to_owned())], 7)]);
        let buckets = (0..=BOUNDS.len() as u64).collect();
        let value = HistogramValue { bounds: &BOUNDS, buckets, sum: 2.5 };
        snapshot.histograms("duration_seconds", "Durations.", [(vec![("task", "x".to_owned())], value)]);
        snapshot
    }

    #[test]
    fn both_formats_say_the_same() {
        let open = sample().text(TextFormat::OpenMetrics);
        assert!(open.contains("# TYPE claims counter\n") && open.ends_with("# EOF\n"), "{open}");
        assert!(open.contains("\nclaims_total{task=\"a\\\"b\\\\c\\n\"} 7\n"), "{open}");
        assert!(open.contains("\nduration_seconds_bucket{le=\"+Inf\",task=\"x\"} 105\n"), "{open}");
        let plain = sample().text(TextFormat::Plain);
        assert!(plain.contains("# TYPE claims_total counter\n") && !plain.contains("EOF"), "{plain}");
        let values =
            |text: &str| text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(values(&open), values(&plain));
    }

    #[test]
    fn a_reader_gets_the_format_that_it_accepts() {
        assert_eq!(TextFormat::accepted(None), TextFormat::OpenMetrics);
        assert_eq!(TextFormat::accepted(Some("text/plain;version=0.0.4")), TextFormat::Plain);
        let prometheus = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(TextFormat::accepted(Some(prometheus)), TextFormat::OpenMetrics);
    }
}
