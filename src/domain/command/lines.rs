//! Splits a stream of bytes into lines of bounded length, for a log.

/// Splits bytes into lines, and cuts the lines that are too long.
#[derive(Clone, Debug)]
pub struct Lines {
    partial: Vec<u8>,
    max: usize,
    left_out: usize,
}

impl Lines {
    /// Lines of at most `max` bytes.
    pub fn new(max: usize) -> Self {
        Self { partial: Vec::new(), max, left_out: 0 }
    }

    /// Adds bytes. Returns the lines that they complete.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, is_whole) = part.strip_suffix(b"\n").map_or((part, false), |text| (text, true));
            let fits = text.len().min(self.max.saturating_sub(self.partial.len()));
            self.partial.extend_from_slice(&text[..fits]);
            self.left_out += text.len() - fits;
            if is_whole {
                lines.extend(self.end());
            }
        }
        lines
    }

    /// Completes the current line; none if it is empty.
    pub fn end(&mut self) -> Option<String> {
        let partial = std::mem::take(&mut self.partial);
        let left_out = std::mem::take(&mut self.left_out);
        let mut line = String::from_utf8_lossy(&partial).trim_end().to_owned();
        if left_out > 0 {
            line.push_str(&format!(" [… {left_out} bytes left out …]"));
        }
        (!line.is_empty()).then_some(line)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_are_whole_and_bounded() {
        let mut lines = Lines::new(5);
        assert_eq!(lines.push(b"ab"), Vec::<String>::new());
        assert_eq!(lines.push(b"c\r\n\nlonger than that\nx"), ["abc", "longe [… 11 bytes left out …]"]);
        assert_eq!(lines.end().as_deref(), Some("x"));
        assert_eq!(lines.end(), None);
    }

    proptest! {
        #[test]
        fn however_it_is_cut_the_lines_are_the_same(text in "[a-c\n]{0,200}", cut in 1_usize..20) {
            let mut lines = Lines::new(1_000);
            let mut found: Vec<String> = text.as_bytes().chunks(cut).flat_map(|part| lines.push(part)).collect();
            found.extend(lines.end());
            let expected: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
