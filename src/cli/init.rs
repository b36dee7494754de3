//! `sexton init`: the first configuration.

use std::{
    fs::File,
    io::{self, Write as _},
    path::PathBuf,
};

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use super::{output::Printer, time};

/// A configuration with comments, and without tasks.
const STARTER: &str = include_str!("../../config/starter.toml");
/// The setting that depends on the machine.
const ZONE: &str = "timezone = \"UTC\"";

#[derive(Args)]
pub(super) struct InitArgs {
    /// The file to write
    #[arg(default_value = "sexton.toml")]
    file: PathBuf,
}

/// Writes the file, with the time zone of the machine. An existing file stays as it is.
pub(super) fn run(output: Printer, args: &InitArgs) -> anyhow::Result<u8> {
    let file = args.file.display().to_string();
    let text = STARTER.replace(ZONE, &format!("timezone = \"{}\"", time::environment_zone()));
    let written = File::create_new(&args.file).and_then(|mut new| new.write_all(text.as_bytes()));
    match written {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            anyhow::bail!("{file} exists already and stays as it is: name another file")
        }
        written => written.with_context(|| file.clone())?,
    }
    let next = "add your tasks to it, then `sexton config check` and `sexton run`";
    let here = std::env::current_dir().context("the working directory")?.join("var");
    let place = format!(
        "the paths in it are relative to the directory in which Sexton is started: from here, all its files are in {}",
        here.display()
    );
    output.report_lines(&[format!("{file} is written: {next}"), place], &json!({ "file": file }))?;
    Ok(0)
}
