//! The tail: follows the output of a running command in its attempt directory.

use std::{
    fs::File,
    io,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::PathBuf,
};

use super::attempt_dir::AttemptDir;
use crate::domain::command::capture::{Kept, end_of};

/// The size of one read.
const CHUNK_SIZE: usize = 64 * 1024;

/// The maximum length of the first line of a tail file.
const MAX_FIRST_LINE: usize = 24;

/// A reader that follows one stream.
pub struct Tail {
    path: PathBuf,
    head: Option<File>,
    head_length: u64,
    /// How many bytes of the stream were shown or left out.
    shown: u64,
    /// Inode, modification time and size of the tail file that was read last.
    tail: Option<(u64, i64, i64, u64)>,
}

/// A piece of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Bytes as the command wrote them.
    Bytes(&'a [u8]),
    /// The number of bytes that came faster than they could be kept.
    LeftOut(u64),
}

/// Receives the pieces.
pub type Sink<'a> = dyn FnMut(Piece<'_>) -> io::Result<()> + 'a;

impl Tail {
    /// Follows one of [`super::OUTPUT_STREAMS`] of that attempt.
    pub fn new(dir: &AttemptDir, name: &str) -> Self {
        Self { path: dir.path().join(name), head: None, head_length: 0, shown: 0, tail: None }
    }

    /// Shows what is new on disk. The head can be read to its end even after it was removed.
    ///
    /// # Errors
    /// If the files cannot be read, or an error of the sink.
    pub fn read(&mut self, sink: &mut Sink<'_>) -> io::Result<()> {
        // Opened first: once there is a tail file, the head is complete.
        let path = self.path.with_extension("tail");
        let tail = File::open(&path).ok();
        if self.head.is_none() {
            self.head = File::open(&self.path).ok();
        }
        if let Some(head) = &self.head {
            let mut bytes = vec![0; CHUNK_SIZE];
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
        let Some(tail) = tail else { return Ok(()) };
        let metadata = tail.metadata()?;
        let which = (metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), metadata.len());
        if self.tail == Some(which) {
            return Ok(());
        }
        let Some((line, begin)) = position_of(&tail)? else { return Ok(()) };
        if begin > self.shown
            && let Ok(old) = File::open(path.with_extension("tail.old"))
            && let Some((line, begin)) = position_of(&old)?
        {
            self.show(&old, line, begin, sink)?;
        }
        self.show(&tail, line, begin, sink)?;
        self.tail = Some(which);
        Ok(())
    }

    /// Shows the new part of a tail file. Its bytes follow its first line.
    fn show(&mut self, file: &File, line: u64, begin: u64, sink: &mut Sink<'_>) -> io::Result<()> {
        let mut bytes = vec![0; CHUNK_SIZE];
        loop {
            let from = self.shown.max(begin);
            let count = file.read_at(&mut bytes, line + from - begin)?;
            if count == 0 {
                return Ok(());
            }
            self.show_from(from, &bytes[..count], sink)?;
        }
    }

    /// Shows the new part of a section of the stream.
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

    /// Shows the rest once the stream has ended: what is on disk, then what only the captured text has.
    ///
    /// # Errors
    /// If the files cannot be read, or an error of the sink.
    pub fn finish(&mut self, kept: &Kept, sink: &mut Sink<'_>) -> io::Result<()> {
        self.read(sink)?;
        let (left_out, rest) = end_of(kept, |written| written.saturating_sub(self.shown));
        if left_out > 0 {
            sink(Piece::LeftOut(left_out))?;
        }
        if !rest.is_empty() {
            sink(Piece::Bytes(rest.as_bytes()))?;
        }
        self.shown = self.shown.max(kept.written.unwrap_or_default());
        Ok(())
    }
}

/// The length of the first line of a tail file, and the offset in the stream that it contains.
fn position_of(file: &File) -> io::Result<Option<(u64, u64)>> {
    let mut bytes = [0; MAX_FIRST_LINE];
    let count = file.read_at(&mut bytes, 0)?;
    let Some(end) = bytes[..count].iter().position(|byte| *byte == b'\n') else { return Ok(None) };
    let begin = String::from_utf8_lossy(&bytes[..end]).parse().ok();
    Ok(begin.map(|begin| (end as u64 + 1, begin)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn bytes_that_were_overwritten_between_two_reads_are_counted() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut tail = Tail::new(&AttemptDir::at(dir.path().to_owned()), "stdout");
        let mut seen = Vec::new();
        let mut read = |tail: &mut Tail| {
            let mut text = String::new();
            let sink: &mut Sink<'_> = &mut |piece| {
                match piece {
                    Piece::Bytes(bytes) => text.push_str(&String::from_utf8_lossy(bytes)),
                    Piece::LeftOut(count) => text.push_str(&format!("<{count}>")),
                }
                Ok(())
            };
            tail.read(sink).expect("a readable file");
            seen.push(text);
        };
        read(&mut tail);
        fs::write(dir.path().join("stdout"), "head").expect("written");
        read(&mut tail);
        for text in ["4\nabc", "5\nbcde", "5\nbcde", "20\nxyz"] {
            fs::write(dir.path().join("new"), text).expect("written");
            fs::rename(dir.path().join("new"), dir.path().join("stdout.tail")).expect("renamed");
            read(&mut tail);
        }
        assert_eq!(seen, ["", "head", "abc", "de", "", "<11>xyz"]);
    }
}
