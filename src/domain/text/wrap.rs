//! Text in lines of a limited width. Words stay whole.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Behind these letters, a word that is too long for a line may go on in the next one.
const JOINTS: [char; 6] = ['/', ',', ';', '=', ':', '?'];

/// The number of columns that a text takes on a terminal.
pub fn width(text: &str) -> usize {
    text.width()
}

/// The width of the longest piece of a text that is never divided.
pub fn longest_piece(text: &str) -> usize {
    pieces(text).map(|(piece, _)| width(piece)).max().unwrap_or(0)
}

/// The lines of a text, each at most `most` wide. A piece that is wider than a line loses its end, for which stands `…`.
pub fn wrapped(text: &str, most: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for (piece, begins_word) in pieces(text) {
        let current = lines.last().map_or(0, |line| width(line));
        let gap = if begins_word && current > 0 { " " } else { "" };
        let piece = elided(piece, most);
        match lines.last_mut() {
            Some(line) if current + gap.len() + width(&piece) <= most => {
                line.push_str(gap);
                line.push_str(&piece);
            }
            _ => lines.push(piece),
        }
    }
    lines
}

/// The text, cut to a width of `most`; the last column is then `…`.
pub fn elided(text: &str, most: usize) -> String {
    if width(text) <= most {
        return text.to_owned();
    }
    let mut taken = 0;
    let fits = |letter: &char| {
        taken += letter.width().unwrap_or(0);
        taken < most
    };
    text.chars().take_while(fits).chain(['…']).collect()
}

/// The pieces that stay whole, and whether each of them begins a word.
fn pieces(text: &str) -> impl Iterator<Item = (&str, bool)> {
    text.split_whitespace().flat_map(|word| {
        let mut rest = word;
        std::iter::from_fn(move || {
            let begins_word = rest.len() == word.len();
            let (piece, behind) = rest.split_at(piece_end(rest));
            rest = behind;
            (!piece.is_empty()).then_some((piece, begins_word))
        })
    })
}

/// Where the first piece of a word ends: behind its joints, which follow at least one other letter.
fn piece_end(word: &str) -> usize {
    let is_joint = |letter: char| JOINTS.contains(&letter);
    let begin = word.find(|letter| !is_joint(letter)).unwrap_or(word.len());
    let joint = word[begin..].find(is_joint).map_or(word.len(), |place| begin + place);
    word[joint..].find(|letter| !is_joint(letter)).map_or(word.len(), |place| joint + place)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_stay_whole() {
        assert_eq!(wrapped("exit code 255: it was discarded", 9), ["exit code", "255: it", "was", "discarded"]);
        assert_eq!(wrapped("cannot start /usr/lib/php/run.php", 16), ["cannot start", "/usr/lib/php/", "run.php"]);
        assert_eq!(wrapped("see https://example.com/a?b=c", 14), ["see https://", "example.com/a?", "b=c"]);
        assert_eq!(wrapped("Donaudampfschiff", 8), ["Donauda…"]);
        assert_eq!(wrapped("数数数", 5), ["数数…"]);
        assert_eq!(wrapped("", 5), [""]);
        assert_eq!(longest_piece("a /usr/lib discarded"), 9);
    }

    proptest! {
        #[test]
        fn no_line_is_too_wide_and_no_short_word_is_lost(text in "([a-zäö数]{1,9}[ /]){0,12}", most in 1_usize..30) {
            let lines = wrapped(&text, most);
            prop_assert!(lines.iter().all(|line| width(line) <= most), "{lines:?}");
            for word in text.split([' ', '/']).filter(|word| !word.is_empty() && width(word) < most) {
                prop_assert!(lines.iter().any(|line| line.contains(word)), "{word} is not whole in {lines:?}");
            }
        }
    }
}
