//! Snoozes: an attempt asked to be made again later. That is no failure, and its attempt is not counted.

/// Why a further snooze counts as a failure; none if it may be granted. `snoozes` is the number of earlier ones.
pub fn refusal(snoozes: i32, max_snoozes: Option<i32>) -> Option<String> {
    let limit = max_snoozes.filter(|limit| snoozes >= *limit)?;
    Some(format!("it asked to be tried again once more, and max_snoozes is {limit}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snoozes_are_granted_up_to_the_limit() {
        assert_eq!(refusal(1_000_000, None), None);
        assert_eq!(refusal(1, Some(2)), None);
        let why = refusal(2, Some(2)).unwrap_or_default();
        assert_eq!(why, "it asked to be tried again once more, and max_snoozes is 2");
        assert!(refusal(0, Some(0)).is_some(), "none at all");
    }
}
