//! Pings: who watches from outside hears that a schedule runs, and that the daemon lives.

use sexton_entities::states::Verdict;

/// What a ping says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PingSignal {
    /// A run begins.
    Start,
    /// A run succeeded, or the daemon is well.
    Success,
    /// A run failed for good.
    Failure,
}

impl PingSignal {
    /// What the end of an attempt says; none if a further attempt follows, or if somebody cancelled the task.
    pub fn of_end(verdict: Option<Verdict>) -> Option<Self> {
        match verdict? {
            Verdict::Completed => Some(Self::Success),
            Verdict::Discarded => Some(Self::Failure),
            Verdict::Retry | Verdict::Cancelled | Verdict::Released => None,
        }
    }

    /// The address for this signal: the URL itself for a success, `URL/start` and `URL/fail` otherwise. A query stays at
    /// the end.
    pub fn address(self, url: &str) -> String {
        let suffix = match self {
            Self::Start => "/start",
            Self::Success => return url.to_owned(),
            Self::Failure => "/fail",
        };
        let end = url.find(['?', '#']).unwrap_or(url.len());
        let (path, rest) = url.split_at(end);
        format!("{}{suffix}{rest}", path.trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_signal_has_its_address() {
        let of = |url| [PingSignal::Start, PingSignal::Success, PingSignal::Failure].map(|signal| signal.address(url));
        let plain = ["https://h.example/a/start", "https://h.example/a", "https://h.example/a/fail"];
        assert_eq!(of("https://h.example/a"), plain);
        assert_eq!(of("https://h.example/a/")[2], "https://h.example/a/fail");
        assert_eq!(of("https://h.example/a?k=1/2")[0], "https://h.example/a/start?k=1/2");
    }

    #[test]
    fn only_the_end_of_the_task_is_an_end() {
        assert_eq!(PingSignal::of_end(Some(Verdict::Completed)), Some(PingSignal::Success));
        assert_eq!(PingSignal::of_end(Some(Verdict::Discarded)), Some(PingSignal::Failure));
        for verdict in [None, Some(Verdict::Retry), Some(Verdict::Cancelled), Some(Verdict::Released)] {
            assert_eq!(PingSignal::of_end(verdict), None);
        }
    }
}
