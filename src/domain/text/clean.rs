//! Text without what could control a terminal: escape sequences, other control characters, and marks that reorder the
//! line. Names, payloads, errors and output come from outside. They must not move the cursor, imitate another line or
//! answer for the reader.

/// The text on one line: everything that is no plain letter is written as an escape, such as `\n` or `\u{1b}`.
pub fn one_line(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for letter in without_colours(text) {
        push(&mut clean, letter);
    }
    clean
}

/// As [`one_line`], but line breaks and tabs remain. A carriage return counts as a line break.
pub fn lines(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut letters = without_colours(text).peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\n' | '\t' => clean.push(letter),
            '\r' if letters.peek() == Some(&'\n') => {}
            '\r' => clean.push('\n'),
            letter => push(&mut clean, letter),
        }
    }
    clean
}

/// JSON in which texts have escapes for everything that [`one_line`] escapes. It means the same.
pub fn json(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            // The serializer has escaped the line breaks of texts: these are its own.
            '\n' => clean.push('\n'),
            letter if is_harmful(letter) => clean.push_str(&format!("\\u{:04x}", u32::from(letter))),
            letter => clean.push(letter),
        }
    }
    clean
}

/// The line of standard error that says why a program failed, of at most `most` characters. `None` if no line has text.
///
/// That is the last one, but for what languages and databases write below their message: stack traces, positions, details.
pub fn telling_line(text: &str, most: usize) -> Option<String> {
    let clean = lines(text);
    let said = || clean.lines().filter(|line| !line.trim().is_empty());
    let panic = said().find(|line| line.starts_with("panic: "));
    let line = panic.or_else(|| said().rfind(|line| !is_below_message(line))).or_else(|| said().next_back())?;
    Some(shortened(&one_line(line.trim()), most))
}

/// Whether a line belongs to what stands below the message of PHP, Node.js, Java, Ruby, Rust or PostgreSQL.
fn is_below_message(line: &str) -> bool {
    const BEGINNINGS: [&str; 8] = [
        "thrown in ",
        "Stack trace:",
        "Node.js v",
        "DETAIL:",
        "HINT:",
        "CONTEXT:",
        "note: run with `RUST_BACKTRACE",
        "exit status ",
    ];
    const INDENTED_BEGINNINGS: [&str; 3] = ["at ", "from ", "... "];
    let text = line.trim();
    let begins = |beginnings: &[&str]| beginnings.iter().any(|beginning| text.starts_with(beginning));
    let is_numbered = |beginning: &str| {
        text.strip_prefix(beginning).is_some_and(|rest| rest.starts_with(|letter: char| letter.is_ascii_digit()))
    };
    let is_indented = line.starts_with([' ', '\t']);
    begins(&BEGINNINGS)
        || is_numbered("#")
        || is_numbered("LINE ")
        || text.chars().all(|letter| matches!(letter, '^' | '~' | '{' | '}'))
        || (is_indented && (begins(&INDENTED_BEGINNINGS) || text.ends_with(',')))
}

/// The text, cut to `most` characters, of which the last one is then `…`.
pub fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// Cleans a stream that arrives in pieces, as [`lines`] does. A letter or line break may be spread over two pieces.
#[derive(Clone, Debug, Default)]
pub struct Cleaner {
    pending: Vec<u8>,
}

impl Cleaner {
    /// The clean text of a further piece.
    pub fn push(&mut self, piece: &[u8]) -> String {
        self.pending.extend_from_slice(piece);
        let last = self.pending.utf8_chunks().last();
        let cut = last.map_or(&[][..], |chunk| chunk.invalid());
        let is_cut = std::str::from_utf8(cut).is_err_and(|error| error.error_len().is_none());
        let held = if is_cut { cut.len() } else { usize::from(self.pending.ends_with(b"\r")) };
        let rest = self.pending.split_off(self.pending.len() - held);
        let piece = std::mem::replace(&mut self.pending, rest);
        lines(&String::from_utf8_lossy(&piece))
    }
}

fn push(clean: &mut String, letter: char) {
    if is_harmful(letter) {
        clean.extend(letter.escape_default());
    } else {
        clean.push(letter);
    }
}

/// Whether a letter is a control character, a mark that changes the direction of text, or an unusual line break.
fn is_harmful(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// The letters of a text without the sequences that only set colours: they say nothing.
fn without_colours(text: &str) -> impl Iterator<Item = char> {
    let mut rest = text;
    std::iter::from_fn(move || {
        while let Some(behind) = colour(rest) {
            rest = behind;
        }
        let letter = rest.chars().next()?;
        rest = &rest[letter.len_utf8()..];
        Some(letter)
    })
}

/// What is behind the sequence `ESC [ … m` with which a text begins.
fn colour(text: &str) -> Option<&str> {
    let codes = text.strip_prefix("\u{1b}[")?;
    codes.trim_start_matches(|letter: char| letter.is_ascii_digit() || matches!(letter, ';' | ':')).strip_prefix('m')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_controls_a_terminal_is_shown() {
        assert_eq!(one_line("a\u{1b}[2Jb\u{7}\n\tc"), "a\\u{1b}[2Jb\\u{7}\\n\\tc");
        assert_eq!(one_line("\u{9b}31m\u{7f}\u{202e}evil"), "\\u{9b}31m\\u{7f}\\u{202e}evil");
        assert_eq!(one_line("Größe 数 🌱"), "Größe 数 🌱");
        assert_eq!(one_line("\u{1b}[1;31mred\u{1b}[0m"), "red", "colours say nothing");
        assert_eq!(one_line("\u{1b}[31"), "\\u{1b}[31");
        assert_eq!(one_line("\u{1b}\u{1b}[m[2J"), "\\u{1b}[2J", "what remains is clean as well");
        assert_eq!(lines("a\r\nb\rc\td\u{1b}c"), "a\nb\nc\td\\u{1b}c");
    }

    #[test]
    fn json_means_the_same() {
        let value = serde_json::json!({ "a\u{9b}": "\u{1b}[2J\n\u{7f}\u{202e}" });
        let clean = json(&serde_json::to_string_pretty(&value).expect("written"));
        assert!(clean.contains("\\u009b") && clean.contains("\\u202e"), "{clean}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&clean).expect("JSON"), value);
    }

    #[test]
    fn the_last_line_says_why() {
        let text = "PHP Stack trace:\r\n  1. {main}\n\u{1b}[31mPHP Warning:  Undefined variable $x\u{1b}[0m  \n\n";
        assert_eq!(telling_line(text, 100).as_deref(), Some("PHP Warning:  Undefined variable $x"));
        assert_eq!(telling_line(text, 12).as_deref(), Some("PHP Warning…"));
        assert_eq!(telling_line(" \n\t\n", 12), None);
        assert_eq!(telling_line("begin\n  at last\n}\n", 12).as_deref(), Some("begin"));
        assert_eq!(telling_line("  at last\n}\n", 12).as_deref(), Some("}"), "there is nothing else");
    }

    #[test]
    fn the_message_stands_above_its_stack_trace() {
        for (stderr, message) in [
            (
                "PHP Fatal error:  Uncaught RuntimeException: SMTP 451 greylisted in /srv/a.php:3\nStack trace:\n#0 {main}\n  thrown in /srv/a.php on line 3\n",
                "PHP Fatal error:  Uncaught RuntimeException: SMTP 451 greylisted in /srv/a.php:3",
            ),
            (
                "Traceback (most recent call last):\n  File \"a.py\", line 1, in <module>\npsycopg2.errors.UniqueViolation: duplicate key value violates unique constraint \"k\"\nDETAIL:  Key (title)=(spring) already exists.\n\n",
                "psycopg2.errors.UniqueViolation: duplicate key value violates unique constraint \"k\"",
            ),
            (
                "psycopg2.errors.SyntaxError: syntax error at or near \"FORM\"\nLINE 1: SELECT 1 FORM x\n                 ^\n",
                "psycopg2.errors.SyntaxError: syntax error at or near \"FORM\"",
            ),
            (
                "/srv/a.js:1\nthrow new Error(\"no mail server\")\n^\n\nError: no mail server\n    at Object.<anonymous> (/srv/a.js:1:7) {\n  errno: -2,\n  code: 'ENOENT',\n}\n\nNode.js v20.20.2\n",
                "Error: no mail server",
            ),
            (
                "Exception in thread \"main\" java.lang.RuntimeException: a\n\tat Main.main(Main.java:3)\nCaused by: java.io.IOException: disk\n\t... 1 more\n",
                "Caused by: java.io.IOException: disk",
            ),
            ("a.rb:1:in `f': bad (RuntimeError)\n\tfrom a.rb:2:in `<main>'\n", "a.rb:1:in `f': bad (RuntimeError)"),
            (
                "panic: no database\n\ngoroutine 1 [running]:\nmain.main()\n\t/srv/a.go:4 +0x25\nexit status 2\n",
                "panic: no database",
            ),
            (
                "thread 'main' (7) panicked at src/main.rs:2:5:\nno key\nnote: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n",
                "no key",
            ),
        ] {
            assert_eq!(telling_line(stderr, 200).as_deref(), Some(message));
        }
    }

    proptest! {
        #[test]
        fn nothing_harmful_remains(text in "[\\x00-\\x7f\u{80}-\u{9f}äm\\[;0-9\u{1b}\u{202e}]{0,60}") {
            prop_assert!(!one_line(&text).contains(is_harmful));
            prop_assert!(!lines(&text).replace(['\n', '\t'], "").contains(is_harmful));
        }

        #[test]
        fn a_stream_is_cleaned_wherever_it_is_cut(text in "([a-cä数\u{7}\n]|\r\n){0,40}", cut in 1_usize..7) {
            let mut cleaner = Cleaner::default();
            let clean: String = text.as_bytes().chunks(cut).map(|piece| cleaner.push(piece)).collect();
            prop_assert_eq!(clean, lines(&text));
        }
    }
}
