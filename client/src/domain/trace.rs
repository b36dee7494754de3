//! Trace context as the W3C defines it (<https://www.w3.org/TR/trace-context/>): to which trace a task belongs.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// How many characters of a `traceparent` the database keeps: more than any that is valid now.
const MAX_TRACEPARENT: usize = 255;
/// How many characters of a `tracestate` the database keeps. Those who pass one on must keep as many.
const MAX_TRACESTATE: usize = 512;
/// The number of entries that a `tracestate` may have.
const MAX_ENTRIES: usize = 32;
/// The length of a `traceparent` of version 00.
const LENGTH: usize = 55;

/// The `traceparent` of a task: the trace, and the span that caused the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TraceParent {
    /// The number of the trace; never 0.
    pub trace_id: u128,
    /// The number of the span that caused the task; never 0.
    pub parent_id: u64,
    /// The flags. The lowest says whether the trace is recorded.
    pub flags: u8,
}

/// Why a `traceparent` or a `tracestate` is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTrace {
    /// The form differs.
    #[error("a traceparent has the form 00-<32 hexadecimal digits>-<16 hexadecimal digits>-<2 hexadecimal digits>")]
    Form,
    /// No version may have this number.
    #[error("version ff is not allowed")]
    Version,
    /// The trace has no number.
    #[error("the trace-id is 0")]
    NoTrace,
    /// The span has no number.
    #[error("the parent-id is 0")]
    NoParent,
    /// The entries of a tracestate differ from their form.
    #[error("a tracestate has at most 32 entries, each of the form key=value in printable ASCII")]
    Entries,
}

impl TraceParent {
    /// The number of the trace in hexadecimal digits, as tracing tools show it.
    pub fn trace_id_text(&self) -> String {
        format!("{:032x}", self.trace_id)
    }

    /// Whether those who caused the task record the trace.
    pub const fn is_sampled(&self) -> bool {
        self.flags & 1 == 1
    }
}

impl FromStr for TraceParent {
    type Err = BadTrace;

    fn from_str(text: &str) -> Result<Self, BadTrace> {
        let bytes = text.as_bytes();
        let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let version = bytes.get(..2).filter(|version| version.iter().all(is_digit)).ok_or(BadTrace::Form)?;
        if version == b"ff" {
            return Err(BadTrace::Version);
        }
        // A later version may add fields at the end.
        let has_its_length = match version {
            b"00" => bytes.len() == LENGTH,
            _ => bytes.len() >= LENGTH && bytes.get(LENGTH).is_none_or(|next| *next == b'-'),
        };
        let dashes = [2, 35, 52];
        let field = |from: usize, to: usize| {
            bytes.get(from..to).filter(|field| field.iter().all(is_digit)).and_then(|_| text.get(from..to))
        };
        let (Some(trace), Some(parent), Some(flags)) = (field(3, 35), field(36, 52), field(53, LENGTH)) else {
            return Err(BadTrace::Form);
        };
        if !has_its_length || dashes.iter().any(|at| bytes.get(*at) != Some(&b'-')) {
            return Err(BadTrace::Form);
        }
        let trace_id = u128::from_str_radix(trace, 16).map_err(|_| BadTrace::Form)?;
        let parent_id = u64::from_str_radix(parent, 16).map_err(|_| BadTrace::Form)?;
        let flags = u8::from_str_radix(flags, 16).map_err(|_| BadTrace::Form)?;
        match (trace_id, parent_id) {
            (0, _) => Err(BadTrace::NoTrace),
            (_, 0) => Err(BadTrace::NoParent),
            _ => Ok(Self { trace_id, parent_id, flags }),
        }
    }
}

impl fmt::Display for TraceParent {
    /// In version 00, which everybody reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.parent_id, self.flags)
    }
}

impl TryFrom<String> for TraceParent {
    type Error = BadTrace;

    fn try_from(text: String) -> Result<Self, BadTrace> {
        text.parse()
    }
}

impl From<TraceParent> for String {
    fn from(parent: TraceParent) -> Self {
        parent.to_string()
    }
}

/// Checks a `tracestate`, which belongs to those who wrote it, and is passed on as it is.
///
/// # Errors
/// If it has not the form of one.
pub fn check_tracestate(text: &str) -> Result<(), BadTrace> {
    let entries: Vec<&str> = text.split(',').map(str::trim).filter(|entry| !entry.is_empty()).collect();
    let is_entry =
        |entry: &&str| entry.split_once('=').is_some_and(|(key, value)| !key.is_empty() && !value.is_empty());
    let is_printable = text.bytes().all(|byte| byte == b'\t' || matches!(byte, b' '..=b'~'));
    match is_printable && entries.len() <= MAX_ENTRIES && entries.iter().all(is_entry) {
        true => Ok(()),
        false => Err(BadTrace::Entries),
    }
}

/// What the database keeps of a `traceparent`, valid or not: the daemon says what is wrong with it. None if it is empty.
pub fn kept_traceparent(text: &str) -> Option<String> {
    let kept: String = text.trim().chars().filter(|c| !c.is_control()).take(MAX_TRACEPARENT).collect();
    Some(kept).filter(|kept| !kept.is_empty())
}

/// What the database keeps of a `tracestate`: as many whole entries, from the first, as fit. None if it is empty.
pub fn kept_tracestate(text: &str) -> Option<String> {
    let mut kept: String = text.trim().chars().filter(|c| !c.is_control()).collect();
    while kept.chars().count() > MAX_TRACESTATE {
        kept.truncate(kept.rfind(',').unwrap_or(0));
    }
    Some(kept).filter(|kept| !kept.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_is_valid_is_read_and_written() {
        let parent: TraceParent = VALID.parse().unwrap();
        assert_eq!(parent.to_string(), VALID);
        assert_eq!(parent.trace_id_text(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(parent.is_sampled());
        // A later version is read as far as it is known, and passed on in version 00.
        assert_eq!(VALID.replacen("00", "cc", 1).parse(), Ok(parent));
        assert_eq!(format!("{}-what-comes", VALID.replacen("00", "cc", 1)).parse(), Ok(parent));
    }

    #[test]
    fn what_is_not_valid_says_why() {
        let why = |text: &str| text.parse::<TraceParent>().unwrap_err();
        for text in [
            "",
            "00",
            "ä",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01more",
            "00-4bf92f3577b34da6a3ce929d0e0e473--00f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(why(text), BadTrace::Form, "{text}");
        }
        assert_eq!(why(&VALID.replacen("00", "ff", 1)), BadTrace::Version);
        assert_eq!(why("00-00000000000000000000000000000000-00f067aa0ba902b7-01"), BadTrace::NoTrace);
        assert_eq!(why("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"), BadTrace::NoParent);
    }

    #[test]
    fn a_state_is_checked_roughly() {
        assert_eq!(check_tracestate("rojo=00f067aa0ba902b7, congo=t61rcWkgMzE"), Ok(()));
        assert_eq!(check_tracestate("rojo"), Err(BadTrace::Entries));
        assert_eq!(check_tracestate("rojo=ä"), Err(BadTrace::Entries));
        assert_eq!(check_tracestate(&["a=1"; 33].join(",")), Err(BadTrace::Entries));
    }

    #[test]
    fn the_database_never_refuses_what_is_kept() {
        assert_eq!(kept_traceparent(" \n"), None);
        assert_eq!(kept_traceparent("a\0b").as_deref(), Some("ab"));
        assert_eq!(kept_traceparent(&"ä".repeat(400)).unwrap().chars().count(), MAX_TRACEPARENT);
        assert_eq!(kept_tracestate(""), None);
        let long = (0..100).map(|n| format!("key{n}=value{n}")).collect::<Vec<_>>().join(",");
        let kept = kept_tracestate(&long).unwrap();
        assert!(kept.chars().count() <= MAX_TRACESTATE && long.starts_with(&format!("{kept},")), "{kept}");
        assert_eq!(kept_tracestate(&"x".repeat(600)), None, "no entry of it fits");
    }
}
