//! Output capture: what a command writes is kept in memory within bounds, and on disk for those who follow it.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read as _},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::{FileExt as _, OpenOptionsExt as _},
    },
    time::{Duration, Instant},
};

use super::attempt_dir::AttemptDir;
use crate::{
    domain::command::capture::{Capture, CaptureLimits, Kept},
    files::own_file,
};

/// How often the files are brought up to date.
const REFRESH_INTERVAL: Duration = Duration::from_millis(250);
/// The size of one read, and the maximum number of reads before the shepherd turns to its other work.
const CHUNK_SIZE: usize = 64 * 1024;
const MAX_CHUNKS: usize = 16;

/// One output stream of a command.
pub(super) struct Stream {
    name: &'static str,
    pipe: Option<File>,
    capture: Capture,
    tail_limit: u64,
    /// The file of the head, and how many bytes of it are known to be written.
    head: Option<File>,
    head_length: u64,
    segment: Option<Segment>,
    /// Since when the files are behind the stream; none if they are up to date.
    behind: Option<Instant>,
}

/// A part of the stream behind the head, in a file that grows.
struct Segment {
    file: File,
    /// The length of its first line, which contains its offset in the stream.
    line: u64,
    begin: u64,
    end: u64,
}

impl Stream {
    /// `pipe` is the reading end, and must not block.
    pub(super) fn new(name: &'static str, pipe: OwnedFd, limits: CaptureLimits) -> Self {
        Self {
            name,
            pipe: Some(pipe.into()),
            capture: Capture::new(limits),
            tail_limit: limits.tail as u64,
            head: None,
            head_length: 0,
            segment: None,
            behind: None,
        }
    }

    /// The descriptor to poll, until the stream has ended.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Reads what is available, `at` milliseconds after the start. Returns whether there may be more.
    pub(super) fn read(&mut self, buffer: &mut [u8], at: u64, dir: &AttemptDir) -> bool {
        for _ in 0..MAX_CHUNKS {
            let Some(pipe) = &mut self.pipe else { return false };
            match pipe.read(buffer) {
                Ok(0) => self.pipe = None,
                Ok(count) => self.take(&buffer[..count], at, dir),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.pipe = None,
            }
        }
        true
    }

    fn take(&mut self, bytes: &[u8], at: u64, dir: &AttemptDir) {
        let head = self.capture.write(bytes, at).len();
        // After a failed write the disk is tried again at the next refresh, and the command continues.
        let is_refused = self.behind.is_none() && self.write_head(dir).is_err();
        if is_refused || head < bytes.len() {
            self.behind.get_or_insert_with(Instant::now);
        }
    }

    /// Writes the part of the head that is not on disk. An incomplete write is repeated at the same place.
    fn write_head(&mut self, dir: &AttemptDir) -> io::Result<()> {
        let missing = self.capture.head().get(self.head_length as usize..).unwrap_or_default();
        if missing.is_empty() {
            return Ok(());
        }
        let file = match &mut self.head {
            Some(file) => file,
            None => {
                let path = dir.path().join(self.name);
                let file = own_file().create(true).truncate(false).write(true).mode(0o600).open(path)?;
                self.head.insert(file)
            }
        };
        file.write_all_at(missing, self.head_length)?;
        self.head_length += missing.len() as u64;
        Ok(())
    }

    /// Writes the part of the tail that is not on disk: it is appended to the file, or goes to a new file if there is a
    /// gap or the old file is full. The previous file stays for readers who have not finished it.
    fn write_tail(&mut self, dir: &AttemptDir) -> io::Result<()> {
        let written = self.capture.written();
        if written == self.head_length || self.segment.as_ref().is_some_and(|segment| segment.end == written) {
            return Ok(());
        }
        let begin = self.capture.tail_begin();
        if let Some(segment) = &mut self.segment
            && segment.end >= begin
            && segment.end - segment.begin < self.tail_limit
        {
            let bytes = self.capture.tail_from(segment.end);
            segment.file.write_all_at(&bytes, segment.line + segment.end - segment.begin)?;
            segment.end = written;
            return Ok(());
        }
        let begin = self.segment.as_ref().map_or(begin, |segment| segment.end.max(begin));
        let line = format!("{begin}\n").into_bytes();
        let (path, new) = (dir.path().join(format!("{}.tail", self.name)), format!("{}.tail.new", self.name));
        let new = dir.path().join(new);
        let file = own_file().create(true).truncate(true).write(true).mode(0o600).open(&new)?;
        let length = line.len() as u64;
        file.write_all_at(&[line, self.capture.tail_from(begin)].concat(), 0)?;
        match fs::rename(&path, path.with_extension("tail.old")) {
            // There was no file, or the last try got this far.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            renamed => renamed?,
        }
        fs::rename(new, path)?;
        self.segment = Some(Segment { file, line: length, begin, end: written });
        Ok(())
    }

    /// When the files are brought up to date next.
    pub(super) fn refresh_at(&self) -> Option<Instant> {
        self.behind.map(|since| since + REFRESH_INTERVAL)
    }

    /// Brings the files up to date if it is time, or `now`. A failed write is tried again.
    pub(super) fn refresh(&mut self, dir: &AttemptDir, now: bool) {
        if self.refresh_at().is_none_or(|at| at > Instant::now() && !now) {
            return;
        }
        // The head first: readers take it as complete once there is a tail.
        let refreshed = self.write_head(dir).and_then(|()| self.write_tail(dir));
        self.behind = refreshed.is_err().then(Instant::now);
    }

    /// The number of bytes in the stream.
    pub(super) fn written(&self) -> u64 {
        self.capture.written()
    }

    /// The captured output.
    pub(super) fn into_kept(self) -> Kept {
        self.capture.into_kept()
    }
}

/// A buffer for [`Stream::read`]. Zeroed memory takes a page only when it is first written to, and most commands write
/// little.
pub(super) fn buffer() -> Vec<u8> {
    vec![0; CHUNK_SIZE]
}

#[cfg(test)]
mod tests {
    use nix::unistd::{pipe, write};

    use super::*;
    use crate::shepherd::tail::{Piece, Tail};

    /// A stream with a reader that follows it.
    struct Fixture {
        dir: tempfile::TempDir,
        writing: OwnedFd,
        stream: Stream,
        tail_reader: Tail,
    }

    impl Fixture {
        fn new(head: usize, tail: usize) -> Self {
            let dir = tempfile::tempdir().expect("a directory");
            let (reading, writing) = pipe().expect("a pipe");
            nix::fcntl::fcntl(&reading, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK)).expect("set");
            let tail_reader = Tail::new(&AttemptDir::at(dir.path().to_owned()), "stdout");
            Self { dir, writing, stream: Stream::new("stdout", reading, CaptureLimits { head, tail }), tail_reader }
        }

        fn dir(&self) -> AttemptDir {
            AttemptDir::at(self.dir.path().to_owned())
        }

        fn write(&mut self, bytes: &[u8]) {
            write(&self.writing, bytes).expect("written");
            let dir = self.dir();
            self.stream.read(&mut buffer(), 0, &dir);
        }

        fn refresh(&mut self) {
            let dir = self.dir();
            self.stream.refresh(&dir, true);
        }

        fn see(&mut self) -> String {
            let mut text = String::new();
            self.tail_reader.read(&mut sink(&mut text)).expect("a readable file");
            text
        }
    }

    fn sink(text: &mut String) -> impl FnMut(Piece<'_>) -> io::Result<()> {
        |piece| {
            match piece {
                Piece::Bytes(bytes) => text.push_str(&String::from_utf8_lossy(bytes)),
                Piece::LeftOut(count) => text.push_str(&format!("<{count}>")),
            }
            Ok(())
        }
    }

    #[test]
    fn a_reader_sees_every_byte_once() {
        let mut fixture = Fixture::new(4, 8);
        let mut seen = String::new();
        for part in ["ab", "cdef", "gh", "ijklmn", "op", "qrstuvw", "x", "yz"] {
            fixture.write(part.as_bytes());
            fixture.refresh();
            seen.push_str(&fixture.see());
        }
        assert_eq!(seen, "abcdefghijklmnopqrstuvwxyz");
        fixture.write(&[b'-'; 20]);
        fixture.refresh();
        assert_eq!(fixture.see(), "<12>--------");
        let Fixture { stream, mut tail_reader, dir, .. } = fixture;
        let kept = stream.into_kept();
        let mut rest = String::new();
        tail_reader.finish(&kept, &mut sink(&mut rest)).expect("a readable file");
        drop(dir);
        assert_eq!(rest, "", "no byte is shown twice");
    }

    #[test]
    fn a_letter_across_the_end_of_the_head_and_what_is_no_text_are_shown_once() {
        for text in [&b"abc\xc3\xa4\xc3\xb6 LAST"[..], b"\xe9\xe8\xff\xff\xfe\xfd LAST", b"ab\0\0\0\0 LAST"] {
            let mut fixture = Fixture::new(4, 40);
            fixture.write(&text[..6]);
            fixture.see();
            fixture.write(&text[6..]);
            fixture.refresh();
            let Fixture { stream, mut tail_reader, dir, .. } = fixture;
            let kept = stream.into_kept();
            let mut rest = Vec::new();
            let sink = &mut |piece: Piece<'_>| {
                let Piece::Bytes(bytes) = piece else { return Err(ErrorKind::Other.into()) };
                rest.extend_from_slice(bytes);
                Ok(())
            };
            tail_reader.finish(&kept, sink).expect("a readable file");
            drop(dir);
            assert_eq!(rest, &text[4..]);
        }
    }

    #[test]
    fn a_disk_that_was_full_is_asked_again() {
        let mut fixture = Fixture::new(4, 8);
        let (path, aside) = (fixture.dir.path().to_owned(), fixture.dir.path().with_extension("aside"));
        fs::rename(&path, &aside).expect("the directory is gone");
        fixture.write(b"ab");
        fixture.refresh();
        fixture.write(b"cdef");
        fixture.refresh();
        fs::rename(&aside, &path).expect("the directory is back");
        assert_eq!(fixture.see(), "");
        fixture.refresh();
        assert_eq!(fixture.see(), "abcdef");
    }

    #[test]
    fn what_never_came_to_the_disk_is_shown_from_what_was_kept() {
        let mut fixture = Fixture::new(4, 8);
        fixture.write(b"ab");
        assert_eq!(fixture.see(), "ab");
        fixture.write(b"cdef");
        let kept = fixture.stream.into_kept();
        fs::remove_file(fixture.dir.path().join("stdout")).expect("removed");
        let mut rest = String::new();
        fixture.tail_reader.finish(&kept, &mut sink(&mut rest)).expect("a readable file");
        assert_eq!(rest, "cdef");
    }
}
