//! JSON that every supported database can store. The text is surveyed, not parsed: so depth costs no stack, and numbers
//! are not rounded.

use serde::{Deserialize as _, Deserializer, de::Error as _};
use serde_json::{Value, value::RawValue};
use sexton_entities::json_text::JsonText;

/// The deepest nesting of a value. MariaDB allows 32 levels; one or two are Sexton's own.
pub const MAX_DEPTH: usize = 30;
/// The longest number: digits before the point, and after it. PostgreSQL has no longer ones.
const MAX_DIGITS: (i64, i64) = (131_072, 16_383);

/// Why a database does not keep a JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadJson {
    /// PostgreSQL's JSON cannot store the character.
    #[error("it contains the character NUL (\\u0000), which databases cannot store: encode it")]
    Nul,
    /// Half of a character is no text.
    #[error("it contains half a character (an unpaired \\ud800 to \\udfff), which databases cannot store")]
    HalfCharacter,
    /// MariaDB allows no more.
    #[error("it is nested more than {MAX_DEPTH} levels deep, which databases do not keep")]
    TooDeep,
    /// PostgreSQL allows no more.
    #[error(
        "it contains a number with more than {} digits before the point or {} after it, which databases do not keep",
        MAX_DIGITS.0, MAX_DIGITS.1
    )]
    LongNumber,
}

/// Checks that every supported database keeps a value. The syntax of `text` must be valid.
///
/// # Errors
/// If one of them does not.
pub fn check(text: &str) -> Result<(), BadJson> {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at += 1 + check_string(&bytes[at + 1..])?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'-' | b'0'..=b'9' => {
                let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-');
                let length = bytes[at..].iter().take_while(|byte| is_part(byte)).count();
                check_number(&text[at..at + length])?;
                at += length;
                continue;
            }
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(BadJson::TooDeep);
        }
        at += 1;
    }
    Ok(())
}

/// The number of bytes without the spaces between values, which the databases keep, add or remove.
pub fn compact_size(text: &str) -> usize {
    let (mut size, mut is_text, mut is_escaped) = (0, false, false);
    for byte in text.bytes() {
        size += usize::from(is_text || !byte.is_ascii_whitespace());
        if byte == b'"' && !is_escaped {
            is_text = !is_text;
        }
        is_escaped = is_text && byte == b'\\' && !is_escaped;
    }
    size
}

/// Checks a string behind its opening quote. Returns its length with the closing one.
fn check_string(bytes: &[u8]) -> Result<usize, BadJson> {
    let (mut at, mut is_high) = (0, false);
    loop {
        let unit = match (bytes.get(at), bytes.get(at + 1)) {
            (Some(b'\\'), Some(b'u')) => unit(&bytes[at..]),
            _ => None,
        };
        let is_low = unit.is_some_and(|unit| (0xDC00..0xE000).contains(&unit));
        if is_low != is_high {
            return Err(BadJson::HalfCharacter);
        }
        is_high = unit.is_some_and(|unit| (0xD800..0xDC00).contains(&unit));
        match bytes.get(at) {
            Some(b'\\') if unit == Some(0) => return Err(BadJson::Nul),
            Some(b'\\') if unit.is_some() => at += 6,
            Some(b'\\') => at += 2,
            Some(b'"') => return Ok(at + 1),
            Some(_) => at += 1,
            None => return Ok(at),
        }
    }
}

/// The code unit of an escape such as `\u0041`.
fn unit(escape: &[u8]) -> Option<u16> {
    let digits = std::str::from_utf8(escape.get(2..6)?).ok()?;
    u16::from_str_radix(digits, 16).ok()
}

fn check_number(number: &str) -> Result<(), BadJson> {
    let (digits, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (before, after) = digits.split_once('.').unwrap_or((digits, ""));
    // What does not fit is far too much, or far too little.
    let exponent = exponent.parse::<i64>().unwrap_or(i64::MAX / 4);
    let (before, after) = (before.len() as i64, after.len() as i64);
    let is_long = before.saturating_add(exponent) > MAX_DIGITS.0 || after.saturating_sub(exponent) > MAX_DIGITS.1;
    if is_long { Err(BadJson::LongNumber) } else { Ok(()) }
}

/// Where a parser stopped in a document, as `orders[1].price`; empty for the document itself. Lines and columns count
/// from 1, and columns are bytes.
pub fn path_at(text: &str, line: usize, column: usize) -> String {
    let before = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum::<usize>();
    let bytes = &text.as_bytes()[..(before + column).min(text.len())];
    // Of each open object the last key, and of each open list the number of values before.
    let mut open: Vec<Result<Option<String>, usize>> = Vec::new();
    let (mut at, mut latest) = (0, None);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                let length = bytes[at + 1..].iter().enumerate().scan(false, |is_escaped, (index, byte)| {
                    let is_end = *byte == b'"' && !*is_escaped;
                    *is_escaped = *byte == b'\\' && !*is_escaped;
                    Some((index, is_end))
                });
                let end = length.filter(|(_, is_end)| *is_end).map(|(index, _)| at + 2 + index).next();
                let end = end.unwrap_or(bytes.len());
                latest = serde_json::from_slice::<String>(&bytes[at..end]).ok();
                at = end;
                continue;
            }
            b':' => {
                if let Some(Ok(key)) = open.last_mut() {
                    *key = latest.take();
                }
            }
            b'{' => open.push(Ok(None)),
            b'[' => open.push(Err(0)),
            b'}' | b']' => {
                open.pop();
            }
            b',' => match open.last_mut() {
                Some(Ok(key)) => *key = None,
                Some(Err(index)) => *index += 1,
                None => {}
            },
            _ => {}
        }
        at += 1;
    }
    let mut path = String::new();
    for step in open {
        match step {
            Ok(Some(key)) if path.is_empty() => path = key,
            Ok(Some(key)) => path += &format!(".{key}"),
            Ok(None) => {}
            Err(index) => path += &format!("[{index}]"),
        }
    }
    path
}

/// Reads a value inside a larger document as deep as if it stood alone: the parser counts the levels around it otherwise,
/// and refuses the whole document.
///
/// # Errors
/// If the value is no JSON, or is nested more deeply than the parser allows.
pub fn nested<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    let text = Option::<Box<RawValue>>::deserialize(deserializer)?;
    text.map(|text| serde_json::from_str(text.get()).map_err(D::Error::custom)).transpose()
}

/// The value with each NUL replaced by `\\ufffd`.
pub fn json_without_nul(json: JsonText) -> JsonText {
    let text = json.get();
    if !text.contains("\\u0000") {
        return json;
    }
    let (mut kept, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        kept.push_str(before);
        // `\\` is a backslash, and what follows it no escape.
        let length = if escape.starts_with("\\u") { 6 } else { 2 }.min(escape.len());
        kept.push_str(if &escape[..length] == "\\u0000" { "\\ufffd" } else { &escape[..length] });
        rest = &escape[length..];
    }
    kept.push_str(rest);
    kept.parse().unwrap_or(json)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check_value(value: Value) -> Result<(), BadJson> {
        check(&value.to_string())
    }

    #[test]
    fn depth_is_counted() {
        let nested = |levels: usize| (0..levels).fold(json!([{}, "[[[["]), |inner, _| json!([inner]));
        assert_eq!(check_value(nested(MAX_DEPTH - 2)), Ok(()));
        assert_eq!(check_value(nested(MAX_DEPTH - 1)), Err(BadJson::TooDeep));
        assert_eq!(check(&"[".repeat(1_000_000)), Err(BadJson::TooDeep));
    }

    #[test]
    fn nul_is_found_and_replaced() {
        let value = json!({"a\0": ["b\0", "\\u0000", "\\\0", "é\u{1F600}"]});
        assert_eq!(check(&value.to_string()), Err(BadJson::Nul));
        let without = json_without_nul(value.into());
        assert_eq!(without, json!({"a\u{fffd}": ["b\u{fffd}", "\\u0000", "\\\u{fffd}", "é\u{1F600}"]}));
        assert_eq!(check(without.get()), Ok(()));
    }

    #[test]
    fn only_spaces_between_values_do_not_count() {
        let value = json!({"a b": [1, "\\\" \" ", {"c": "\\"}], " ": null});
        let pretty = serde_json::to_string_pretty(&value).expect("JSON");
        assert_eq!(compact_size(&pretty), value.to_string().len(), "{pretty}");
    }

    #[test]
    fn half_characters_are_found() {
        assert_eq!(check(r#"{"a": "\ud83d\ude00 \\ud83d"}"#), Ok(()));
        for bad in [r#""\ud83d""#, r#""\ude00""#, r#""\ud83dx\ude00""#, r#""\ud83d\ud83d\ude00""#] {
            assert_eq!(check(bad), Err(BadJson::HalfCharacter), "{bad}");
        }
    }

    #[test]
    fn numbers_may_be_long_and_not_endless() {
        let digits = "9".repeat(100_000);
        let long = "[123456789012345678901234567890, 0.1000000000000000055511151231257827, -1.5e-300, 1E400, 1e131071]";
        assert_eq!((check(long), check(&digits)), (Ok(()), Ok(())));
        for bad in
            ["1e131072", "12e131071", "1e-16384", "0.01e-16382", "1e99999999999999999999", "1e-99999999999999999999"]
        {
            assert_eq!(check(&format!("{{\"n\":{bad}}}")), Err(BadJson::LongNumber), "{bad}");
        }
    }
}
