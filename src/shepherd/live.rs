//! The output of a running command as it grows on disk, for whoever looks on.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::PathBuf,
};

use super::folder::Folder;
use crate::domain::capture::without_nul;

/// So much is read at once.
const CHUNK: usize = 64 * 1024;

/// A stream that is being written.
pub struct Live {
    path: PathBuf,
    head: Option<File>,
    head_length: u64,
    /// How much of the stream has been shown, or left out.
    shown: u64,
    /// Which tail was read last: each one is a file of its own.
    tail: Option<(u64, i64, i64)>,
}

/// The next piece of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// What was written.
    Bytes(&'a [u8]),
    /// So many bytes came faster than they could be kept.
    LeftOut(u64),
}

/// Where the pieces go.
pub type Sink<'a> = dyn FnMut(Piece<'_>) -> io::Result<()> + 'a;

impl Live {
    /// One of [`super::LIVE_STREAMS`] of that attempt.
    pub fn new(folder: &Folder, name: &str) -> Self {
        Self { path: folder.path().join(name), head: None, head_length: 0, shown: 0, tail: None }
    }

    /// Shows what is new on disk. The head can be read to its end even after it was removed.
    ///
    /// # Errors
    /// If the files cannot be read, or what the sink says.
    pub fn read(&mut self, sink: &mut Sink<'_>) -> io::Result<()> {
        if self.head.is_none() {
            self.head = File::open(&self.path).ok();
        }
        if let Some(head) = &self.head {
            let mut bytes = vec![0; CHUNK];
            loop {
                let count = head.read_at(&mut bytes, self.head_length)?;
                if count == 0 {
                    break;
                }
                sink(Piece::Bytes(&bytes[..count]))?;
                self.head_length += count as u64;
                self.shown = self.shown.max(self.head_length);
            }
        }
        let path = self.path.with_extension("tail");
        let Ok(metadata) = fs::metadata(&path) else { return Ok(()) };
        let which = (metadata.ino(), metadata.mtime(), metadata.mtime_nsec());
        if self.tail == Some(which) {
            return Ok(());
        }
        let mut tail = Vec::new();
        if File::open(path).and_then(|mut file| file.read_to_end(&mut tail)).is_ok()
            && let Some(end) = tail.iter().position(|byte| *byte == b'\n')
            && let Ok(begin) = String::from_utf8_lossy(&tail[..end]).parse::<u64>()
        {
            self.tail = Some(which);
            self.show_from(begin, &tail[end + 1..], sink)?;
        }
        Ok(())
    }

    /// Shows the part of a stretch of the stream that was not yet shown.
    fn show_from(&mut self, begin: u64, bytes: &[u8], sink: &mut Sink<'_>) -> io::Result<()> {
        let end = begin + bytes.len() as u64;
        if end <= self.shown {
            return Ok(());
        }
        if begin > self.shown {
            sink(Piece::LeftOut(begin - self.shown))?;
        }
        let skipped = self.shown.saturating_sub(begin) as usize;
        sink(Piece::Bytes(&bytes[skipped..]))?;
        self.shown = end;
        Ok(())
    }

    /// Shows the rest of what was kept in the end.
    ///
    /// # Errors
    /// If the files cannot be read, or what the sink says.
    pub fn finish(&mut self, text: &str, sink: &mut Sink<'_>) -> io::Result<()> {
        self.read(sink)?;
        let mut head = vec![0; self.head_length as usize];
        if let Some(file) = &self.head {
            file.read_exact_at(&mut head, 0)?;
        }
        // What was kept is text, in which some bytes have become longer.
        let as_text = without_nul(String::from_utf8_lossy(&head).into_owned());
        let (begin, rest) = end_of(text, as_text.len(), self.head_length);
        self.show_from(begin, rest.as_bytes(), sink)
    }
}

/// What a kept text says of the stream beyond its head, which has so many bytes in the text and in the stream: from
/// which byte of the stream on, and its text.
fn end_of(text: &str, in_text: usize, in_stream: u64) -> (u64, &str) {
    let rest = text.get(in_text..).unwrap_or_default();
    let note = rest.strip_prefix("\n[… ").and_then(|rest| rest.split_once(" bytes left out …]\n"));
    match note.and_then(|(count, rest)| Some((count.parse::<u64>().ok()?, rest))) {
        Some((left_out, rest)) => (in_stream + left_out, rest),
        None => (in_stream, rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_stream_is_found_in_what_was_kept() {
        assert_eq!(end_of("one\ntwo\n", 4, 4), (4, "two\n"));
        assert_eq!(end_of("abcd\n[… 100 bytes left out …]\nxyz", 4, 4), (104, "xyz"));
        assert_eq!(end_of("a\u{fffd}b\n", 4, 2), (2, "b\n"), "a byte that was no text is three in the text");
        assert_eq!(end_of("", 4, 4), (4, ""));
    }

    #[test]
    fn what_was_overwritten_between_two_looks_is_counted() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut live = Live::new(&Folder::at(folder.path().to_owned()), "stdout");
        let mut seen = Vec::new();
        let mut look = |live: &mut Live| {
            let mut text = String::new();
            let sink: &mut Sink<'_> = &mut |piece| {
                match piece {
                    Piece::Bytes(bytes) => text.push_str(&String::from_utf8_lossy(bytes)),
                    Piece::LeftOut(count) => text.push_str(&format!("<{count}>")),
                }
                Ok(())
            };
            live.read(sink).expect("it is read");
            seen.push(text);
        };
        look(&mut live);
        fs::write(folder.path().join("stdout"), "head").expect("written");
        look(&mut live);
        for tail in ["4\nabc", "5\nbcde", "5\nbcde", "20\nxyz"] {
            fs::write(folder.path().join("new"), tail).expect("written");
            fs::rename(folder.path().join("new"), folder.path().join("stdout.tail")).expect("renamed");
            look(&mut live);
        }
        assert_eq!(seen, ["", "head", "abc", "de", "", "<11>xyz"]);
    }
}
