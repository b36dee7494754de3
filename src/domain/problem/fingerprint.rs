//! The fingerprint of an error: its words without what differs from one occurrence to the next.

/// The words are cut to this number of characters.
const MAX_LENGTH: usize = 200;
/// A longer word is an id or a digest.
const MAX_WORD: usize = 40;
/// A word of hexadecimal digits of at least this length is an id.
const MIN_HEX: usize = 8;
/// Stands for a number, an id or a time.
const NUMBER: &str = "#";
/// Stands for a path or an address.
const PATH: &str = "/";
/// Words of dates that are written without digits.
const CALENDAR: [&str; 26] = [
    "mon", "tue", "wed", "thu", "fri", "sat", "sun", "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "oct",
    "nov", "dec", "am", "pm", "utc", "gmt", "cet", "cest", "z", "may",
];

/// The error without numbers, ids, paths and times. Two occurrences of one error have the same fingerprint.
pub fn fingerprint(error: &str) -> String {
    let mut short = String::new();
    let mut last = "";
    for word in error.split(is_separator).filter_map(kept) {
        let word = class_of(word);
        if word == last && (word == NUMBER || word == PATH) {
            continue;
        }
        if short.chars().count() + 1 + word.chars().count() > MAX_LENGTH {
            break;
        }
        if !short.is_empty() {
            short.push(' ');
        }
        short.push_str(word);
        last = word;
    }
    short
}

fn is_separator(letter: char) -> bool {
    letter.is_whitespace() || letter.is_control() || ",;=()[]{}\"'`<>|".contains(letter)
}

/// The word without the punctuation around it; none if nothing is left.
fn kept(word: &str) -> Option<&str> {
    let word = word.trim_matches(|letter: char| ".:!?".contains(letter));
    (!word.is_empty()).then_some(word)
}

fn class_of(word: &str) -> &str {
    let is_hex = word.len() >= MIN_HEX && word.chars().all(|letter| letter.is_ascii_hexdigit() || letter == '-');
    if word.contains(['/', '\\']) {
        PATH
    } else if word.chars().any(char::is_numeric)
        || is_hex
        || word.chars().count() > MAX_WORD
        || CALENDAR.iter().any(|known| word.eq_ignore_ascii_case(known))
    {
        NUMBER
    } else {
        word
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_differs_is_taken_out() {
        let same = [
            "exit code 3: cannot open /var/a/17.csv: order 4711 at 2026-11-22T04:05:06Z",
            "exit code 12: cannot open /srv/b.csv: order 99 at Nov 22 04:05:06",
        ];
        assert_eq!(fingerprint(same[0]), "exit code # cannot open / order # at #");
        assert_eq!(fingerprint(same[0]), fingerprint(same[1]));
        assert_eq!(fingerprint("no 550e8400-e29b-41d4-a716-446655440000"), "no #");
        assert_eq!(fingerprint("object deadbeef of [shop]"), "object # of shop");
        assert_ne!(fingerprint("connection refused"), fingerprint("disk full"));
        assert_eq!(fingerprint(""), "");
    }

    proptest! {
        #[test]
        fn it_is_short_and_its_own_fingerprint(error in ".{0,400}") {
            let once = fingerprint(&error);
            prop_assert!(once.chars().count() <= MAX_LENGTH);
            prop_assert!(!once.chars().any(char::is_numeric), "{once}");
            prop_assert_eq!(fingerprint(&once), once);
        }

        #[test]
        fn numbers_and_paths_do_not_matter(
            words in prop::collection::vec("[g-z]{2,9}", 1..6),
            one in any::<u32>(),
            other in any::<u64>(),
            path in "/[a-z0-9]{1,9}(/[a-z0-9._-]{1,9}){0,3}",
        ) {
            let text = words.join(" ");
            let first = format!("{text} {one} /tmp/x: {text}");
            let second = format!("{text} {other} {path}: {text}");
            prop_assert_eq!(fingerprint(&first), fingerprint(&second));
        }
    }
}
