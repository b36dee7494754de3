//! "Did you mean …?": the known word that is nearest to a word that was written.
//!
//! Near is measured in edits: one edit inserts, removes or replaces a letter, or swaps two neighbours; capital letters
//! do not count. A word may differ from a known one by [`allowed_edits`] of its length. Two more words are near: a known
//! word that begins with what was written, if only one does, and a known word whose part after the last slash is near,
//! with one edit less (`Berlin` means `Europe/Berlin`).

/// A shorter word is not taken for the beginning of a longer one.
const MIN_BEGINNING: usize = 2;

/// How many edits may lie between a word of this length, in characters, and a known one.
pub fn allowed_edits(length: usize) -> usize {
    match length {
        0..=2 => 0,
        3..=5 => 1,
        6..=8 => 2,
        _ => 3,
    }
}

/// The known word that is nearest to `written`; none if none is near.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.to_lowercase();
    let known: Vec<(&str, String)> = known.into_iter().map(|word| (word, word.to_lowercase())).collect();
    let rated = known.iter().filter_map(|(word, lower)| Some((edits(&written, lower)?, lower, word)));
    let near = rated.min_by(|(edits, a, _), (more, b, _)| {
        // Of several words that are equally near, the one with the longer common beginning.
        let alike = |word: &str| strsim::jaro_winkler(&written, word);
        edits.cmp(more).then_with(|| alike(b).total_cmp(&alike(a)))
    });
    near.map(|(_, _, word)| *word).or_else(|| beginning(&written, &known))
}

/// `; did you mean WORD?`, or nothing if no known word is near.
pub fn hint<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(written, known).map(|word| format!("; did you mean `{word}`?")).unwrap_or_default()
}

/// As [`hint`], but lists all known words if none is near. For sets of words that fit on a line.
pub fn hint_or_list<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match hint(written, known.iter().copied()) {
        hint if hint.is_empty() && !known.is_empty() => format!("; known: {}", known.join(", ")),
        hint => hint,
    }
}

/// How many edits lie between two words in lower case; none if the known word is not near.
fn edits(written: &str, known: &str) -> Option<usize> {
    let allowed = allowed_edits(written.chars().count());
    let whole = Some(strsim::osa_distance(written, known)).filter(|edits| *edits <= allowed);
    let part = known.rsplit_once('/').filter(|_| !written.contains('/')).and_then(|(_, part)| {
        let edits = strsim::osa_distance(&written.replace([' ', '-'], "_"), part);
        (edits == 0 || edits < allowed).then_some(edits)
    });
    whole.into_iter().chain(part).min()
}

/// The only known word that begins with `written`; also the shortest of several that begin with one another.
fn beginning<'a>(written: &str, known: &[(&'a str, String)]) -> Option<&'a str> {
    let longer: Vec<_> = known.iter().filter(|(_, lower)| lower.starts_with(written)).collect();
    let (word, shortest) = longer.iter().min_by_key(|(_, lower)| lower.len())?;
    let is_only = longer.iter().all(|(_, lower)| lower.starts_with(shortest.as_str()));
    (written.chars().count() >= MIN_BEGINNING && is_only).then_some(*word)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

    fn zones() -> impl Iterator<Item = &'static str> {
        chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name())
    }

    #[test]
    fn the_nearest_word_is_suggested() {
        for (written, expected) in [
            ("mondya", Some("monday")),
            ("Wensday", Some("wednesday")),
            ("fri", Some("friday")),
            ("sundays", Some("sunday")),
            ("s", None),
            ("day", None),
            ("", None),
        ] {
            assert_eq!(nearest(written, DAYS), expected, "{written}");
        }
        assert_eq!(nearest("MO", ["MON", "MONDAY", "TUE"]), Some("MON"));
        assert_eq!(nearest("q", ["p"]), None);
        assert_eq!(nearest("tuesday", ["thursday", "tuesdays"]), Some("tuesdays"));
    }

    #[test]
    fn a_zone_is_found_by_its_part_after_the_slash() {
        for (written, expected) in [
            ("Berlin", Some("Europe/Berlin")),
            ("berln", None),
            ("Berlni", Some("Europe/Berlin")),
            ("Europe/Berln", Some("Europe/Berlin")),
            ("New York", Some("America/New_York")),
            ("Europe/New_York", None),
            ("nope", None),
            ("Europe", None),
        ] {
            assert_eq!(nearest(written, zones()), expected, "{written}");
        }
    }

    #[test]
    fn a_hint_may_list_what_is_known() {
        assert_eq!(hint("workres", ["workers", "lease"]), "; did you mean `workers`?");
        assert_eq!(hint_or_list("workres", ["workers", "lease"]), "; did you mean `workers`?");
        assert_eq!(hint_or_list("colour", ["workers", "lease"]), "; known: workers, lease");
        assert_eq!((hint("colour", ["workers"]), hint_or_list("colour", [])), (String::new(), String::new()));
    }

    /// The stated measure, written out once more.
    fn is_near(written: &str, known: &str) -> bool {
        let (written, known) = (written.to_lowercase(), known.to_lowercase());
        let allowed = allowed_edits(written.chars().count());
        let part = known.rsplit('/').next().unwrap_or_default();
        let to_part = strsim::osa_distance(&written.replace([' ', '-'], "_"), part);
        strsim::osa_distance(&written, &known) <= allowed
            || (!written.contains('/') && (to_part == 0 || to_part < allowed))
            || (written.chars().count() >= MIN_BEGINNING && known.starts_with(&written))
    }

    proptest! {
        #[test]
        fn nothing_far_is_suggested(written in "[a-zA-Z_/ -]{0,12}|\\PC{0,8}", known in proptest::collection::vec("[a-z]{1,8}(/[a-z]{1,8})?", 0..9)) {
            for word in nearest(&written, zones()).into_iter().chain(nearest(&written, known.iter().map(String::as_str))) {
                prop_assert!(is_near(&written, word), "{written} is not near {word}");
            }
        }

        #[test]
        fn one_slip_is_always_recognised(index in 0usize..7, place in 0usize..6, letter in "[a-z]") {
            let mut written = DAYS[index].to_owned();
            written.replace_range(place..=place, &letter);
            let found = nearest(&written, DAYS).unwrap_or_default();
            prop_assert!(strsim::osa_distance(&written, found) <= 1, "{written}: {found}");
        }
    }
}
