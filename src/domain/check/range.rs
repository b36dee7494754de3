//! Ranges of values in the notation of the Monitoring Plugins guidelines.

use std::{fmt, str::FromStr};

/// The values that raise an alert: those outside `start` to `end`, or with `@` those inside. Both ends are inside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    start: f64,
    end: f64,
    alerts_inside: bool,
}

impl Range {
    /// Alerts below 0 and above `end`.
    pub const fn to(end: f64) -> Self {
        Self { start: 0.0, end, alerts_inside: false }
    }

    /// Alerts below `start`.
    pub const fn at_least(start: f64) -> Self {
        Self { start, end: f64::INFINITY, alerts_inside: false }
    }

    /// Alerts outside these two values.
    pub const fn between(start: f64, end: f64) -> Self {
        Self { start, end, alerts_inside: false }
    }

    /// Whether a value raises an alert.
    pub fn alerts(&self, value: f64) -> bool {
        (self.start <= value && value <= self.end) == self.alerts_inside
    }
}

impl FromStr for Range {
    type Err = String;

    fn from_str(written: &str) -> Result<Self, String> {
        let (alerts_inside, range) = match written.strip_prefix('@') {
            Some(rest) => (true, rest),
            None => (false, written),
        };
        let (start, end) = range.split_once(':').unwrap_or(("0", range));
        let is_bare = !range.contains(':');
        let range = Self {
            start: match start {
                "~" => f64::NEG_INFINITY,
                start => number(start, written)?,
            },
            end: match end {
                "" if !is_bare => f64::INFINITY,
                end => number(end, written)?,
            },
            alerts_inside,
        };
        if range.start > range.end {
            return Err(format!("`{written}`: the start of a range must not be above its end"));
        }
        Ok(range)
    }
}

/// Reads a plain decimal number: no `inf`, no exponent.
fn number(text: &str, written: &str) -> Result<f64, String> {
    let is_plain = text.chars().all(|c| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'));
    text.parse().ok().filter(|_| is_plain).ok_or_else(|| {
        format!(
            "`{written}` is not a range: write 10 (0 to 10), 10: (10 or more), ~:10 (10 or less), 10:20, or @10:20 (not \
             10 to 20)"
        )
    })
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.alerts_inside {
            f.write_str("@")?;
        }
        match (self.start, self.end) {
            (0.0, end) if end.is_finite() => write!(f, "{end}"),
            (f64::NEG_INFINITY, end) if end.is_finite() => write!(f, "~:{end}"),
            (f64::NEG_INFINITY, _) => f.write_str("~:"),
            (start, end) if end.is_finite() => write!(f, "{start}:{end}"),
            (start, _) => write!(f, "{start}:"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn alerts(range: &str, values: &[f64]) -> Vec<bool> {
        let range: Range = range.parse().expect("a range");
        values.iter().map(|value| range.alerts(*value)).collect()
    }

    #[test]
    fn the_ranges_of_the_guidelines_mean_what_the_guidelines_say() {
        assert_eq!(alerts("10", &[-1.0, 0.0, 10.0, 10.1]), [true, false, false, true]);
        assert_eq!(alerts("10:", &[9.9, 10.0, 1e9]), [true, false, false]);
        assert_eq!(alerts("~:10", &[-1e9, 10.0, 10.1]), [false, false, true]);
        assert_eq!(alerts("10:20", &[9.0, 10.0, 20.0, 21.0]), [true, false, false, true]);
        assert_eq!(alerts("@10:20", &[9.0, 10.0, 20.0, 21.0]), [false, true, true, false]);
        assert_eq!(alerts("@1:5", &[0.0, 1.0, 5.0]), [false, true, true]);
        assert_eq!(alerts("~:3", &[-7.0, 3.0, 4.0]), [false, false, true]);
        assert_eq!(alerts("-5:-2.5", &[-6.0, -5.0, -2.5, 0.0]), [true, false, false, true]);
        assert_eq!(alerts("0", &[0.0, 1.0]), [false, true]);
        assert_eq!(alerts("~:", &[-1.0, 1.0]), [false, false], "nothing");
    }

    #[test]
    fn what_is_no_range_is_refused_with_the_notation() {
        for written in ["", "@", "x", "1:2:3", "1..2", "nan", "inf", "1e3", "~", "@~", "10 :20", "--1", ":5"] {
            let error = written.parse::<Range>().expect_err(written);
            assert!(error.contains("@10:20"), "{error}");
        }
        assert!("20:10".parse::<Range>().expect_err("backwards").contains("above its end"));
    }

    proptest! {
        #[test]
        fn a_range_reads_back(start in -1_000..1_000i32, length in 0..1_000i32, open in 0..4u8, alerts_inside: bool) {
            let (start, end) = (f64::from(start) / 4.0, f64::from(start + length) / 4.0);
            let range = Range {
                start: if open & 1 == 1 { f64::NEG_INFINITY } else { start },
                end: if open & 2 == 2 { f64::INFINITY } else { end },
                alerts_inside,
            };
            prop_assert_eq!(range.to_string().parse::<Range>(), Ok(range));
        }

        #[test]
        fn an_at_sign_reverses_a_range(start in -100..100i32, length in 0..100i32, value in -300..300i32) {
            let range = format!("{start}:{}", start + length);
            prop_assert_ne!(alerts(&range, &[f64::from(value)]), alerts(&format!("@{range}"), &[f64::from(value)]));
        }
    }
}
