//! Bounded capture: the head and the tail of a stream, however long it is.

use std::collections::VecDeque;

/// Keeps the first and the last bytes of what is written to it, in constant memory.
#[derive(Clone, Debug)]
pub struct Capture {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    each: usize,
    left_out: u64,
}

impl Capture {
    /// Keeps at most `limit` bytes: one half from the beginning, one from the end.
    pub fn new(limit: usize) -> Self {
        Self { head: Vec::new(), tail: VecDeque::new(), each: limit / 2, left_out: 0 }
    }

    /// Takes in what was read.
    pub fn write(&mut self, bytes: &[u8]) {
        let (first, rest) = bytes.split_at(bytes.len().min(self.each - self.head.len()));
        self.head.extend_from_slice(first);
        let rest = &rest[rest.len().saturating_sub(self.each)..];
        let skipped = bytes.len() - first.len() - rest.len();
        self.tail.extend(rest);
        let surplus = self.tail.len().saturating_sub(self.each);
        self.tail.drain(..surplus);
        self.left_out += (surplus + skipped) as u64;
    }

    /// Whether anything was left out.
    pub fn is_truncated(&self) -> bool {
        self.left_out > 0
    }

    /// What was kept, as text that any database takes: bytes that are not UTF-8 become U+FFFD, and so does NUL.
    pub fn into_text(self) -> String {
        let gap = (self.left_out > 0).then(|| format!("\n[… {} bytes left out …]\n", self.left_out));
        let tail: Vec<u8> = self.tail.into();
        let whole = match gap {
            None => String::from_utf8_lossy(&[self.head, tail].concat()).into_owned(),
            Some(gap) => [String::from_utf8_lossy(&self.head), gap.into(), String::from_utf8_lossy(&tail)].concat(),
        };
        without_nul(whole)
    }
}

/// PostgreSQL's text holds no NUL; it is shown as U+FFFD.
pub fn without_nul(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop, prop_assert_eq, proptest};

    use super::*;

    #[test]
    fn short_output_is_kept_whole() {
        let mut capture = Capture::new(100);
        capture.write(b"one\n");
        capture.write(b"two\n");
        assert!(!capture.is_truncated());
        assert_eq!(capture.into_text(), "one\ntwo\n");
    }

    #[test]
    fn what_is_no_text_stays_readable() {
        let mut capture = Capture::new(100);
        capture.write(b"a\0b\xffc");
        assert_eq!(capture.into_text(), "a\u{fffd}b\u{fffd}c");
    }

    proptest! {
        #[test]
        fn head_and_tail_are_exact(chunks in prop::collection::vec(prop::collection::vec(b'a'..=b'z', 0..50), 0..20)) {
            let mut capture = Capture::new(20);
            for chunk in &chunks {
                capture.write(chunk);
            }
            let all = chunks.concat();
            let text = String::from_utf8(all.clone()).expect("letters");
            let expected = if all.len() <= 20 {
                text
            } else {
                format!("{}\n[… {} bytes left out …]\n{}", &text[..10], all.len() - 20, &text[all.len() - 10..])
            };
            prop_assert_eq!(capture.is_truncated(), all.len() > 20);
            prop_assert_eq!(capture.into_text(), expected);
        }
    }
}
