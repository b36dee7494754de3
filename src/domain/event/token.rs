//! The words of a condition, each with its place.

use super::path::PayloadPath;

/// A word of a condition.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Path(PayloadPath),
    Text(String),
    Number(serde_json::Number),
    /// `true`, `in`, `has`, `startsWith` …
    Word(String),
    /// `==`, `&&`, `(` …
    Sign(&'static str),
}

/// A word with the bytes that it takes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Placed {
    pub(super) token: Token,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// The signs; of those that begin alike, the longer ones first.
const SIGNS: [&str; 15] = ["&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "(", ")", "[", "]", ",", "."];

/// Reads all words.
///
/// # Errors
/// The first mistake: its byte, and what is wrong there.
pub(super) fn tokens(text: &str) -> Result<Vec<Placed>, (usize, String)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(letter) = text[at..].chars().next() {
        if letter.is_whitespace() {
            at += letter.len_utf8();
            continue;
        }
        let (token, length) = token(&text[at..], letter).map_err(|(offset, problem)| (at + offset, problem))?;
        found.push(Placed { token, start: at, end: at + length });
        at += length;
    }
    Ok(found)
}

fn token(rest: &str, first: char) -> Result<(Token, usize), (usize, String)> {
    if first == '$' {
        let (path, length) = path(rest)?;
        return Ok((Token::Path(path), length));
    }
    if matches!(first, '"' | '\'') {
        return text(rest, first);
    }
    if first.is_ascii_digit() || first == '-' {
        let is_part = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '+');
        let length = rest.find(|letter| !is_part(letter)).unwrap_or(rest.len());
        let number = rest[..length].parse().map_err(|_| (0, format!("`{}` is not a number", &rest[..length])))?;
        return Ok((Token::Number(number), length));
    }
    if first.is_alphabetic() || first == '_' {
        let length = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(rest.len());
        return Ok((Token::Word(rest[..length].to_owned()), length));
    }
    match SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
        Some(sign) => Ok((Token::Sign(sign), sign.len())),
        None if first == '=' => Err((0, "a single `=`: write `==` to compare".to_owned())),
        None if matches!(first, '&' | '|') => Err((0, format!("a single `{first}`: write `{first}{first}`"))),
        None => Err((0, format!("unexpected `{first}`"))),
    }
}

/// A path, without a test behind it: `$.name.startsWith("x")` asks for `$.name`.
fn path(rest: &str) -> Result<(PayloadPath, usize), (usize, String)> {
    let (path, length) = PayloadPath::beginning_of(rest)?;
    if !rest[length..].starts_with('(') {
        return Ok((path, length));
    }
    match rest[..length].rfind('.') {
        Some(dot) => PayloadPath::beginning_of(&rest[..dot]),
        None => Ok((path, length)),
    }
}

/// A text in quotes. A backslash takes the next letter as it is, except `\n` and `\t`.
fn text(rest: &str, quote: char) -> Result<(Token, usize), (usize, String)> {
    let mut read = String::new();
    let mut letters = rest.char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some((_, 'n')) => read.push('\n'),
                Some((_, 't')) => read.push('\t'),
                Some((_, other)) => read.push(other),
                None => break,
            },
            letter if letter == quote => return Ok((Token::Text(read), at + 1)),
            letter => read.push(letter),
        }
    }
    Err((0, "the text is not closed".to_owned()))
}
