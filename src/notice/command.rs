//! A program that reads a notice on its standard input.

use super::letter::{Letter, SendError};
use crate::mail_client::feed;

/// Gives a notice to a program, as JSON.
pub(super) async fn send(command: &[String], letter: &Letter) -> Result<(), SendError> {
    let json = serde_json::to_vec(letter).map_err(SendError::new)?;
    Ok(feed(command, &json).await?)
}
