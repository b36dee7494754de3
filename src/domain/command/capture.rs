//! Bounded capture: the head and the tail of a stream of any length, and when its lines arrived.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// The maximum number of time stamps, in the head and in the tail each.
const STAMPS: usize = 4_096;

/// Keeps the first and the last bytes that are written to it, in constant memory.
#[derive(Clone, Debug)]
pub struct Capture {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    limits: CaptureLimits,
    /// Pairs of an offset in the stream, and the time from which the bytes there arrived, in milliseconds from the
    /// start.
    head_stamps: Vec<(u64, u64)>,
    tail_stamps: VecDeque<(u64, u64)>,
    written: u64,
}

/// How many bytes are kept of each end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureLimits {
    /// From the beginning.
    pub head: usize,
    /// From the end, of the bytes behind the head.
    pub tail: usize,
}

/// The captured part of a stream, as text that any database accepts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The text. Bytes that are not UTF-8, and NUL, are U+FFFD. A line says where bytes were left out.
    pub text: String,
    /// Whether bytes were left out.
    pub truncated: bool,
    /// Where something was left out, and how much. Unknown in what earlier versions wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub omission: Option<Omission>,
    /// Pairs of a line number (from 0), and the time from which lines arrived, in milliseconds from the start.
    pub stamps: Vec<(usize, u64)>,
    /// The number of bytes in the stream, which the text does not show exactly. Earlier versions did not write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<u64>,
}

/// The line in a text that says how much was left out. It is only for people: these values say the same to programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Omission {
    /// Byte of the text at which the line begins: the end of the head.
    pub start: usize,
    /// Byte of the text after the line: the start of the tail.
    pub end: usize,
    /// Number of bytes of the stream that were left out.
    pub bytes: u64,
}

impl Capture {
    /// An empty capture with these limits.
    pub fn new(limits: CaptureLimits) -> Self {
        Self {
            head: Vec::new(),
            tail: VecDeque::new(),
            limits,
            head_stamps: Vec::new(),
            tail_stamps: VecDeque::new(),
            written: 0,
        }
    }

    /// Adds bytes that were read `at` milliseconds after the start. Returns the part that belongs to the head.
    pub fn write<'b>(&mut self, bytes: &'b [u8], at: u64) -> &'b [u8] {
        let (first, rest) = bytes.split_at(bytes.len().min(self.limits.head - self.head.len()));
        if !first.is_empty() && self.head_stamps.len() < STAMPS && self.head_stamps.last().is_none_or(|s| s.1 != at) {
            self.head_stamps.push((self.written, at));
        }
        self.head.extend_from_slice(first);
        self.written += first.len() as u64;
        if !rest.is_empty() {
            self.write_tail(rest, at);
        }
        first
    }

    fn write_tail(&mut self, bytes: &[u8], at: u64) {
        if self.tail_stamps.back().is_none_or(|stamp| stamp.1 != at) {
            self.tail_stamps.push_back((self.written, at));
        }
        self.written += bytes.len() as u64;
        self.tail.extend(&bytes[bytes.len().saturating_sub(self.limits.tail)..]);
        let surplus = self.tail.len().saturating_sub(self.limits.tail);
        self.tail.drain(..surplus);
        let begin = self.tail_begin();
        while self.tail_stamps.len() > STAMPS || self.tail_stamps.get(1).is_some_and(|stamp| stamp.0 <= begin) {
            self.tail_stamps.pop_front();
        }
    }

    /// The number of bytes in the stream, kept or not.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// The offset of the tail in the stream.
    pub fn tail_begin(&self) -> u64 {
        self.written - self.tail.len() as u64
    }

    /// The head so far.
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// The tail so far, from that offset in the stream on.
    pub fn tail_from(&self, from: u64) -> Vec<u8> {
        let skipped = from.saturating_sub(self.tail_begin()) as usize;
        self.tail.iter().skip(skipped).copied().collect()
    }

    fn left_out(&self) -> u64 {
        self.written - (self.head.len() + self.tail.len()) as u64
    }

    /// The captured text.
    pub fn into_kept(self) -> Kept {
        let left_out = self.left_out();
        let begin = self.tail_begin();
        let tail: Vec<u8> = self.tail.into();
        let stamps: Vec<(u64, u64)> = self.head_stamps.into_iter().chain(self.tail_stamps).collect();
        let mut kept = Kept { truncated: left_out > 0, written: Some(self.written), ..Kept::default() };
        if left_out == 0 {
            let whole = [self.head, tail].concat();
            kept.take(&whole, 0, &stamps);
        } else {
            kept.take(&self.head, 0, &stamps);
            kept.text = without_nul(kept.text);
            let start = kept.text.len();
            kept.text.push_str(&gap(left_out));
            kept.omission = Some(Omission { start, end: kept.text.len(), bytes: left_out });
            kept.take(&tail, begin, &stamps);
        }
        kept.text = without_nul(kept.text);
        kept
    }
}

impl Kept {
    /// Appends a part of the stream from offset `begin`, and notes when its lines arrived.
    fn take(&mut self, bytes: &[u8], begin: u64, stamps: &[(u64, u64)]) {
        let first_line = self.text.matches('\n').count();
        let starts =
            std::iter::once(0).chain(bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| i + 1));
        for (line, start) in starts.enumerate().filter(|(_, start)| *start < bytes.len()) {
            let at = begin + start as u64;
            let known = stamps.partition_point(|(from, _)| *from <= at);
            let Some((_, time)) = known.checked_sub(1).and_then(|index| stamps.get(index)) else { continue };
            if self.stamps.last().is_none_or(|(_, last)| last != time) {
                self.stamps.push((first_line + line, *time));
            }
        }
        self.text.push_str(&String::from_utf8_lossy(bytes));
    }

    /// Appends a line of Sexton's own.
    pub fn add_line(&mut self, line: &str) {
        let before = self.text.len();
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push('\n');
        }
        self.text.push_str(line);
        self.text.push('\n');
        let added = (self.text.len() - before) as u64;
        self.written = self.written.map(|written| written + added);
    }

    /// Appends another text.
    pub fn join(&mut self, other: Self) {
        let (lines, length) = (self.text.matches('\n').count(), self.text.len());
        let moved = |omission: Omission| Omission {
            start: omission.start + length,
            end: omission.end + length,
            bytes: omission.bytes + self.omission.map_or(0, |own| own.bytes),
        };
        self.omission = other.omission.map(moved).or(self.omission);
        self.stamps.extend(other.stamps.into_iter().map(|(line, at)| (line + lines, at)));
        self.text.push_str(&other.text);
        self.truncated |= other.truncated;
        self.written = self.written.zip(other.written).map(|(own, others)| own + others);
    }

    /// The lines of the text, each with its arrival in milliseconds from the start, where known.
    pub fn lines(&self) -> impl Iterator<Item = (Option<u64>, &str)> {
        self.text.lines().enumerate().map(|(number, line)| {
            let known = self.stamps.partition_point(|(from, _)| *from <= number);
            (known.checked_sub(1).map(|index| self.stamps[index].1), line)
        })
    }
}

/// The end of a stream in what was kept of it. `missing` is the number of bytes that are wanted, as a function of the
/// stream's length. Returns how many of them were not kept, and the text of the others. A byte that was not UTF-8 is one
/// U+FFFD in the text.
pub fn end_of(kept: &Kept, missing: impl FnOnce(u64) -> u64) -> (u64, &str) {
    let in_stream = |letter: char| if letter == char::REPLACEMENT_CHARACTER { 1 } else { letter.len_utf8() as u64 };
    let length = |text: &str| text.chars().map(in_stream).sum::<u64>();
    let parts =
        |omission: Omission| Some((kept.text.get(..omission.start)?, omission.bytes, kept.text.get(omission.end..)?));
    let parts = kept.omission.and_then(parts);
    let (before, end) =
        parts.map_or((0, kept.text.as_str()), |(head, left_out, end)| (length(head).saturating_add(left_out), end));
    let missing = missing(kept.written.unwrap_or_else(|| before.saturating_add(length(end))));
    let (mut found, mut begin) = (0, end.len());
    for (at, letter) in end.char_indices().rev() {
        if found + in_stream(letter) > missing {
            break;
        }
        found += in_stream(letter);
        begin = at;
    }
    (missing - found, &end[begin..])
}

/// A line that says how many bytes were left out.
pub fn gap(left_out: u64) -> String {
    format!("\n[… {left_out} bytes left out …]\n")
}

/// Replaces NUL by U+FFFD, because PostgreSQL's text cannot contain it.
pub fn without_nul(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn capture(head: usize, tail: usize) -> Capture {
        Capture::new(CaptureLimits { head, tail })
    }

    #[test]
    fn short_output_is_kept_whole() {
        let mut capture = capture(50, 50);
        capture.write(b"one\n", 3);
        capture.write(b"two\n", 90);
        let kept = capture.into_kept();
        assert!(!kept.truncated);
        assert_eq!(kept.text, "one\ntwo\n");
        assert_eq!(kept.lines().collect::<Vec<_>>(), [(Some(3), "one"), (Some(90), "two")]);
    }

    #[test]
    fn what_is_no_text_stays_readable() {
        let mut capture = capture(100, 0);
        capture.write(b"a\0b\xffc", 0);
        assert_eq!(capture.into_kept().text, "a\u{fffd}b\u{fffd}c");
    }

    #[test]
    fn a_line_has_the_time_of_its_first_byte() {
        let mut capture = capture(8, 8);
        for (at, text) in [(1, "a"), (2, "b\nc"), (3, "d\n"), (4, "e\nf\n"), (5, "xxxxxxxx\ng"), (6, "h\n")] {
            capture.write(text.as_bytes(), at);
        }
        let kept = capture.into_kept();
        assert_eq!(kept.text, "ab\ncd\ne\n\n[… 6 bytes left out …]\nxxxx\ngh\n");
        let times: Vec<_> = kept.lines().map(|(time, line)| (time.unwrap_or_default(), line)).collect();
        assert_eq!((times[0], times[1], times[2]), ((1, "ab"), (2, "cd"), (4, "e")));
        assert_eq!((times[5], times[6]), ((5, "xxxx"), (5, "gh")));
    }

    #[test]
    fn the_end_of_a_stream_is_found_in_what_was_kept() {
        let whole = |text: &str| Kept { text: text.to_owned(), ..Kept::default() };
        let after = |kept: &Kept, shown| {
            let (left_out, text) = end_of(kept, |written: u64| written.saturating_sub(shown));
            (left_out, text.to_owned())
        };
        let end = |left_out, text: &str| (left_out, text.to_owned());
        assert_eq!(after(&whole("one\ntwo\n"), 4), end(0, "two\n"));
        let mut cut = capture(4, 3);
        cut.write(b"ab\0d", 0);
        cut.write(&[b'.'; 100], 0);
        cut.write(b"xyz", 0);
        let known = cut.into_kept();
        let unknown = Kept { written: None, ..known.clone() };
        assert_eq!(after(&unknown, 104), end(0, "xyz"));
        assert_eq!(after(&known, 105), end(0, "yz"));
        assert_eq!(after(&unknown, 4), end(100, "xyz"));
        let mut joined = whole("before ");
        joined.join(unknown);
        assert_eq!(after(&joined, 11), end(100, "xyz"));
        assert_eq!(after(&whole("a\u{fffd}b\n"), 2), end(0, "b\n"), "a byte that was not text is three in the text");
        assert_eq!(after(&whole("xä and the end"), 2), end(1, " and the end"), "a letter is not cut");
        assert_eq!(after(&whole(""), 4), end(0, ""));
        // What looks like our line is the command's own text.
        let imitated = "abcd\n[… 100 bytes left out …]\nxyz";
        assert_eq!(after(&whole(imitated), 0), end(0, imitated));
    }

    proptest! {
        #[test]
        fn head_and_tail_are_exact(chunks in prop::collection::vec(prop::collection::vec(b'a'..=b'z', 0..50), 0..20)) {
            let mut capture = capture(10, 10);
            let mut head = Vec::new();
            for (at, chunk) in chunks.iter().enumerate() {
                head.extend_from_slice(capture.write(chunk, at as u64));
            }
            let all = chunks.concat();
            prop_assert_eq!(&head[..], &all[..all.len().min(10)]);
            prop_assert_eq!(capture.written(), all.len() as u64);
            let text = String::from_utf8(all.clone()).expect("letters");
            let expected = if all.len() <= 20 {
                text
            } else {
                format!("{}\n[… {} bytes left out …]\n{}", &text[..10], all.len() - 20, &text[all.len() - 10..])
            };
            let kept = capture.into_kept();
            prop_assert_eq!(kept.truncated, all.len() > 20);
            prop_assert_eq!(kept.text, expected);
        }

        #[test]
        fn memory_is_bounded(count in 0_usize..20_000) {
            let mut capture = capture(100, 100);
            for at in 0..count {
                capture.write(b"\n", at as u64);
            }
            prop_assert!(capture.tail.len() <= 100 && capture.tail_stamps.len() <= 101, "{}", capture.tail_stamps.len());
            prop_assert!(capture.head.len() <= 100 && capture.head_stamps.len() <= 100);
        }
    }
}
