//! Standard output of a daemon in the background: what modules and handlers print there is logged.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader},
};

use nix::{fcntl::OFlag, unistd::pipe2};

/// A longer line is logged in pieces of this length, in bytes.
const MAX_LINE: u64 = 8 * 1024;

/// Logs each line that is written to standard output from now on.
///
/// # Errors
/// If the pipe or its thread cannot be made.
pub fn log_stdout() -> io::Result<()> {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
    std::thread::Builder::new().name("stdout".to_owned()).spawn(move || log_lines(File::from(reader)))?;
    rustix::stdio::dup2_stdout(&writer)?;
    Ok(())
}

fn log_lines(output: File) {
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    loop {
        line.clear();
        match io::Read::take(&mut output, MAX_LINE).read_until(b'\n', &mut line) {
            Ok(0) => return,
            Ok(_) => tracing::info!("stdout: {}", String::from_utf8_lossy(&line).trim_end()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return tracing::warn!("standard output cannot be read: {error}"),
        }
    }
}
