//! A program that reads a notice on its standard input.

use std::process::Stdio;

use tokio::{io::AsyncWriteExt as _, process::Command};

use super::letter::{Letter, SendError};
use crate::domain::text::clean;

/// Maximum number of characters of the program's last line in an error.
const MAX_QUOTE: usize = 200;

/// Gives a notice to a program, as JSON.
pub(super) async fn send(command: &[String], letter: &Letter) -> Result<(), SendError> {
    let json = serde_json::to_vec(letter).map_err(SendError::new)?;
    feed(command, &json).await
}

/// Runs a program with that input. It fails unless the program exits with 0. The program is killed if the caller gives up.
pub(super) async fn feed(command: &[String], input: &[u8]) -> Result<(), SendError> {
    let Some((program, arguments)) = command.split_first() else { return Err(SendError::new("no program")) };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .process_group(0)
        .spawn()
        .map_err(|error| SendError::new(format!("cannot start {program}: {error}")))?;
    let stdin = child.stdin.take();
    let write = async {
        if let Some(mut stdin) = stdin {
            // A program that does not read its input may still succeed.
            let _ = stdin.write_all(input).await;
            let _ = stdin.shutdown().await;
        }
    };
    let (_, ended) = tokio::join!(write, child.wait_with_output());
    let ended = ended.map_err(|error| SendError::new(format!("{program}: {error}")))?;
    if ended.status.success() {
        return Ok(());
    }
    let why = clean::telling_line(&String::from_utf8_lossy(&ended.stderr), MAX_QUOTE);
    let why = why.map(|line| format!(": {line}")).unwrap_or_default();
    Err(SendError::new(format!("{program}: {}{why}", ended.status)))
}
