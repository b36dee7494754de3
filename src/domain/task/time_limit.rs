//! The time limit of an attempt: its definition's, or else its queue's, or else the daemon's.

use std::{str::FromStr, time::Duration};

use crate::domain::text::duration;

/// A setting `timeout`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeLimit {
    /// No limit, whatever the default is.
    Unlimited,
    /// The attempt is stopped after this time.
    After(Duration),
}

/// The word for no limit.
pub const NONE: &str = "none";

impl TimeLimit {
    /// The limit that counts: the first one that is set. None means no limit.
    pub fn first(settings: impl IntoIterator<Item = Option<Self>>) -> Option<Duration> {
        match settings.into_iter().flatten().next() {
            Some(Self::After(limit)) => Some(limit),
            Some(Self::Unlimited) | None => None,
        }
    }

    /// The setting as it is written.
    pub fn text(self) -> String {
        match self {
            Self::Unlimited => NONE.to_owned(),
            Self::After(limit) => duration::text(limit),
        }
    }
}

impl FromStr for TimeLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == NONE {
            return Ok(Self::Unlimited);
        }
        match duration::parse(text) {
            Ok(limit) if limit >= Duration::from_millis(1) => Ok(Self::After(limit)),
            Ok(_) => Err(format!("{text} is too short: the minimum is 1ms; \"{NONE}\" means no limit")),
            Err(problem) => Err(format!("{problem}, or \"{NONE}\"")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_setting_counts() {
        let (short, long) = (TimeLimit::After(Duration::from_secs(1)), TimeLimit::After(Duration::from_secs(9)));
        assert_eq!(TimeLimit::first([None, Some(short), Some(long)]), Some(Duration::from_secs(1)));
        assert_eq!(TimeLimit::first([Some(TimeLimit::Unlimited), Some(short)]), None);
        assert_eq!(TimeLimit::first([None, None]), None);
    }

    #[test]
    fn a_limit_is_a_duration_or_none() {
        assert_eq!("90s".parse(), Ok(TimeLimit::After(Duration::from_secs(90))));
        assert_eq!("none".parse(), Ok(TimeLimit::Unlimited));
        assert!("0s".parse::<TimeLimit>().is_err_and(|problem| problem.contains("\"none\" means no limit")));
        assert!("6".parse::<TimeLimit>().is_err_and(|problem| problem.contains("a number and a unit")));
    }
}
