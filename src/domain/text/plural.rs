//! Numbers with the right form of their noun.

/// `1 queue`, `2 queues`, `0 entries`: a number with its noun, which is given in the singular.
pub fn counted<N: TryInto<u64>>(number: N, noun: &str) -> String {
    match number.try_into().unwrap_or(u64::MAX) {
        1 => format!("1 {noun}"),
        number => format!("{number} {}", plural(noun)),
    }
}

/// `once`, `twice`, `3 times`.
pub fn times<N: TryInto<u64>>(number: N) -> String {
    match number.try_into().unwrap_or(u64::MAX) {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        number => format!("{number} times"),
    }
}

/// The regular plural of the last word.
fn plural(noun: &str) -> String {
    let before_y = noun.strip_suffix('y').filter(|stem| !stem.ends_with(['a', 'e', 'o', 'u']));
    match before_y {
        Some(stem) => format!("{stem}ies"),
        None if ["s", "x", "ch", "sh"].iter().any(|ending| noun.ends_with(ending)) => format!("{noun}es"),
        None => format!("{noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nouns_follow_their_number() {
        assert_eq!(counted(1, "queue"), "1 queue");
        assert_eq!(counted(0, "queue"), "0 queues");
        assert_eq!(counted(2_u64, "entry"), "2 entries");
        assert_eq!(counted(2_usize, "day"), "2 days");
        assert_eq!(counted(3_i64, "process"), "3 processes");
        assert_eq!([1, 2, 7].map(times), ["once", "twice", "7 times"]);
    }
}
