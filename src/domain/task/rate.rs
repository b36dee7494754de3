//! How many attempts may begin in a length of time: a token bucket.
//!
//! A bucket is one instant: when it is full again. So it is refilled by the clock alone, and taking tokens moves the instant.

use std::{cmp::Ordering, fmt, str::FromStr, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::text::duration;

/// The most that a rate or a burst may say.
const MOST: u32 = 1_000_000;
/// The longest time of a rate.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// A setting `rate`: how many attempts begin in which time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    count: u32,
    per: Duration,
}

/// A rate, and how many may begin at once after a rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    rate: Rate,
    burst: u32,
}

/// What a bucket belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BucketName {
    /// All tasks of a queue.
    Queue(String),
    /// All tasks of a name.
    Task(String),
}

/// A rate that a live node sets, which counts instead of another one of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StricterRate {
    /// What it limits.
    pub bucket: BucketName,
    /// What this node's configuration says.
    pub own: RateLimit,
    /// What counts.
    pub limit: RateLimit,
    /// The name of the node that says so.
    pub node: String,
}

impl Rate {
    /// The number of attempts, and the time in which they may begin. None if it makes no sense.
    pub fn new(count: u32, per: Duration) -> Option<Self> {
        let is_sound = (1..=MOST).contains(&count) && (Duration::from_millis(1)..=LONGEST).contains(&per);
        is_sound.then_some(Self { count, per })
    }

    /// The number of attempts.
    pub fn count(self) -> u32 {
        self.count
    }

    /// The time in which that number may begin.
    pub fn per(self) -> Duration {
        self.per
    }

    /// The time in which `tokens` come, in microseconds, rounded up: the rate is never exceeded.
    fn span(self, tokens: u32) -> i64 {
        let micros = u128::from(tokens) * self.per.as_micros();
        i64::try_from(micros.div_ceil(u128::from(self.count))).unwrap_or(i64::MAX)
    }

    /// The number of tokens that come in that many microseconds.
    fn tokens_in(self, micros: i64) -> u32 {
        let tokens = u128::try_from(micros).unwrap_or_default() * u128::from(self.count) / self.per.as_micros();
        u32::try_from(tokens).unwrap_or(u32::MAX)
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = "write the number of tasks and a time, such as \"100/1m\"";
        let Some((count, per)) = text.split_once('/') else {
            let count = text.trim();
            let is_number = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
            let example = if is_number { count } else { "100" };
            return Err(format!("`{text}` has no time: write \"{example}/1m\" for {example} in each minute"));
        };
        let count: u32 =
            count.trim().parse().map_err(|_| format!("`{}` is no number of tasks: {form}", count.trim()))?;
        let per = per.trim();
        // `100/m` and `100/min` are what others write.
        let per =
            if per.starts_with(|first: char| first.is_ascii_digit()) { per.to_owned() } else { format!("1{per}") };
        let per = duration::parse(&per).map_err(|problem| format!("{problem}; {form}"))?;
        Self::new(count, per).ok_or_else(|| {
            format!("`{text}` is out of range, expected 1 to {MOST} tasks in 1ms to {}", duration::text(LONGEST))
        })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, duration::text(self.per))
    }
}

impl RateLimit {
    /// A rate and its burst; without one, as many as come in a second, and at least one.
    pub fn new(rate: Rate, burst: Option<u32>) -> Self {
        let in_a_second = rate.tokens_in(1_000_000);
        Self { rate, burst: burst.unwrap_or(in_a_second).clamp(1, MOST) }
    }

    /// The rate.
    pub fn rate(self) -> Rate {
        self.rate
    }

    /// The number of tokens in a full bucket.
    pub fn burst(self) -> u32 {
        self.burst
    }

    /// The microseconds until the bucket is full. An instant that is too far ahead, after a change of the clock or of the
    /// rate, counts as an empty bucket.
    fn missing(self, full_at: DateTime<Utc>, now: DateTime<Utc>) -> i64 {
        let missing = (full_at - now).num_microseconds().unwrap_or(i64::MAX);
        missing.clamp(0, self.rate.span(self.burst))
    }

    /// The number of tokens in a bucket that is full at `full_at`.
    pub fn tokens(self, full_at: DateTime<Utc>, now: DateTime<Utc>) -> usize {
        let tokens = self.rate.tokens_in(self.rate.span(self.burst) - self.missing(full_at, now));
        tokens.min(self.burst) as usize
    }

    /// When the bucket is full after `tokens` were taken.
    pub fn take(self, full_at: DateTime<Utc>, now: DateTime<Utc>, tokens: usize) -> DateTime<Utc> {
        let taken = self.rate.span(u32::try_from(tokens).unwrap_or(u32::MAX));
        now + TimeDelta::microseconds(self.missing(full_at, now).saturating_add(taken))
    }

    /// How long the bucket stays empty; zero if it has a token.
    pub fn until_token(self, full_at: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
        let wait = self.missing(full_at, now) + self.rate.span(1) - self.rate.span(self.burst);
        Duration::from_micros(u64::try_from(wait).unwrap_or_default())
    }

    /// Whether it lets fewer tasks begin than another one.
    pub fn is_stricter_than(self, other: Self) -> bool {
        let (own, theirs) = (self.rate, other.rate);
        // A longer time for one token is stricter.
        let by_rate =
            (own.per.as_micros() * u128::from(theirs.count)).cmp(&(theirs.per.as_micros() * u128::from(own.count)));
        by_rate.then(other.burst.cmp(&self.burst)) == Ordering::Greater
    }
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.rate)?;
        if *self == Self::new(self.rate, None) { Ok(()) } else { write!(f, " (burst {})", self.burst) }
    }
}

impl BucketName {
    /// The word for its kind.
    pub fn scope(&self) -> &'static str {
        match self {
            Self::Queue(_) => "queue",
            Self::Task(_) => "task",
        }
    }

    /// The name of the queue or the task.
    pub fn name(&self) -> &str {
        match self {
            Self::Queue(name) | Self::Task(name) => name,
        }
    }

    /// What these two words name.
    pub fn of(scope: &str, name: String) -> Option<Self> {
        match scope {
            "queue" => Some(Self::Queue(name)),
            "task" => Some(Self::Task(name)),
            _ => None,
        }
    }
}

impl fmt::Display for BucketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.scope(), self.name())
    }
}

impl fmt::Display for StricterRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bucket, own, limit, node } = self;
        write!(f, "nodes set different rates for {bucket}: {own} here, {limit} on {node}; the smaller one counts")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limit(rate: &str, burst: Option<u32>) -> RateLimit {
        RateLimit::new(rate.parse().expect("a rate"), burst)
    }

    fn at(millis: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(1_700_000_000_000 + millis).expect("an instant")
    }

    #[test]
    fn a_rate_reads_as_people_write_it() {
        assert_eq!("100/1m".parse::<Rate>().unwrap().to_string(), "100/1m");
        assert_eq!("5 / s".parse::<Rate>().unwrap().to_string(), "5/1s");
        let wrong = |text: &str| text.parse::<Rate>().unwrap_err();
        assert_eq!(wrong("100"), "`100` has no time: write \"100/1m\" for 100 in each minute");
        assert!(wrong("many/1m").starts_with("`many` is no number of tasks: write"), "{}", wrong("many/1m"));
        assert!(wrong("0/1m").contains("out of range"));
        assert!(wrong("5/fortnight").contains("such as \"100/1m\""), "{}", wrong("5/fortnight"));
    }

    #[test]
    fn a_bucket_is_refilled_by_the_clock() {
        let limit = limit("2/1s", Some(3));
        assert_eq!(limit.tokens(at(0), at(0)), 3);
        let full_at = limit.take(at(-9_999), at(0), 3);
        assert_eq!((full_at, limit.tokens(full_at, at(0))), (at(1_500), 0));
        assert_eq!(limit.until_token(full_at, at(100)), Duration::from_millis(400));
        assert_eq!((limit.tokens(full_at, at(499)), limit.tokens(full_at, at(500))), (0, 1));
        assert_eq!(limit.tokens(full_at, at(99_999)), 3, "it holds no more than its burst");
        assert_eq!(limit.until_token(at(9_999_999), at(0)), Duration::from_millis(500), "the clock was set back");
    }

    #[test]
    fn without_a_burst_a_second_is_one() {
        let burst = |rate| limit(rate, None).burst();
        assert_eq!([burst("100/1m"), burst("3/1h"), burst("500/1s"), burst("1000/100ms")], [1, 1, 500, 10_000]);
        assert_eq!(limit("100/1m", None).to_string(), "100/1m");
        assert_eq!(limit("100/1m", Some(20)).to_string(), "100/1m (burst 20)");
    }

    #[test]
    fn the_slower_rate_is_stricter() {
        assert!(limit("10/1m", None).is_stricter_than(limit("100/1m", None)));
        assert!(limit("60/1m", Some(1)).is_stricter_than(limit("1/1s", Some(2))), "of equal rates the smaller burst");
        assert!(!limit("60/1m", Some(1)).is_stricter_than(limit("1/1s", Some(1))));
    }

    proptest! {
        #[test]
        fn no_window_has_more_than_the_rate_and_the_burst(
            (count, per, burst) in (1..50_u32, 1..5_000_u64, 1..20_u32),
            asks in prop::collection::vec((0..2_000_i64, 0..30_usize), 1..60),
        ) {
            let rate = Rate::new(count, Duration::from_millis(per)).unwrap();
            let limit = RateLimit::new(rate, Some(burst));
            let (mut full_at, mut now, mut begins) = (at(0), at(0), Vec::new());
            for (pause, wanted) in asks {
                now += TimeDelta::milliseconds(pause);
                let taken = wanted.min(limit.tokens(full_at, now));
                full_at = limit.take(full_at, now, taken);
                begins.extend(std::iter::repeat_n(now, taken));
            }
            for (first, start) in begins.iter().enumerate() {
                for (last, end) in begins.iter().enumerate().skip(first) {
                    let length = u128::try_from((*end - *start).num_milliseconds()).unwrap();
                    let most = u128::from(burst) + length * u128::from(count) / u128::from(per);
                    prop_assert!((last - first + 1) as u128 <= most);
                }
            }
        }
    }
}
