//! `sexton reload`, `quiet`, `resume` and `debug`: what a running daemon is told through its control socket.

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use hyper::Method;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{output::Printer, session::Session};
use crate::service::{
    Role, RunDir,
    control::{self, ControlError},
};

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(40);

#[derive(Args)]
pub(super) struct DebugArgs {
    /// Log debug events of these daemon modules; of everything if none is named
    modules: Vec<String>,
    /// Log no debug events any more
    #[arg(long, conflicts_with = "modules")]
    off: bool,
}

/// Asks the daemon of this configuration.
pub(super) async fn ask<T: DeserializeOwned>(
    session: &Session,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> anyhow::Result<T> {
    let run = RunDir::at(&session.daemon()?.run_dir);
    match control::ask(&run, method, path, body, PATIENCE).await {
        Err(ControlError::NotThere(socket)) => match run.holder(Role::Daemon)? {
            Some(holder) => {
                anyhow::bail!("{holder} is the daemon, and nobody answers at {socket}: try again in a moment")
            }
            None => anyhow::bail!("Sexton is not running (nobody answers at {socket})"),
        },
        answer => Ok(answer?),
    }
}

/// Asks the daemon of this configuration, if there is one.
pub(super) async fn ask_if_there<T: DeserializeOwned>(
    session: &Session,
    method: Method,
    path: &str,
) -> anyhow::Result<Option<T>> {
    let run = RunDir::at(&session.daemon()?.run_dir);
    match control::ask(&run, method, path, None, PATIENCE).await {
        Err(ControlError::NotThere(_)) => Ok(None),
        answer => Ok(Some(answer?)),
    }
}

pub(super) async fn reload(session: &Session, output: Printer) -> anyhow::Result<u8> {
    // What is wrong with it is told here as well as there; and here is who wants to know.
    session.config()?;
    let answer: Value =
        ask(session, Method::POST, "/reload", None).await.context("the configuration is not reloaded")?;
    let needs_restart: Vec<&str> =
        answer["needs_restart"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut told = format!("The configuration is reloaded: {}", answer["changed"].as_str().unwrap_or_default());
    if !needs_restart.is_empty() {
        told += &format!("\nchanged, but not before the next start: {}", needs_restart.join(", "));
    }
    output.done(&told, &answer)?;
    Ok(0)
}

/// Claims nothing for now, or goes on.
pub(super) async fn be_quiet(session: &Session, output: Printer, quiet: bool) -> anyhow::Result<u8> {
    let answer: Value = ask(session, Method::POST, if quiet { "/quiet" } else { "/resume" }, None).await?;
    output.done(if quiet { "claiming nothing until `sexton resume`" } else { "claiming again" }, &answer)?;
    Ok(0)
}

pub(super) async fn debug(session: &Session, output: Printer, args: &DebugArgs) -> anyhow::Result<u8> {
    let (choice, told) = match (args.off, args.modules.as_slice()) {
        (true, _) => (json!("nothing"), "no debug events any more".to_owned()),
        (_, []) => (json!("everything"), "debug events of everything".to_owned()),
        (_, modules) => (json!({ "modules": modules }), format!("debug events of {}", modules.join(", "))),
    };
    let answer: Value = ask(session, Method::PUT, "/log", Some(&choice)).await?;
    output.done(&format!("logging {told}"), &answer)?;
    Ok(0)
}
