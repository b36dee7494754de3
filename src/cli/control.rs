//! `sexton reload`, `quiet`, `resume` and `debug`: requests at the control socket.

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use hyper::Method;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sexton_client::principal::Principal;
use sexton_entities::states::Via;

use super::{
    locate::Located,
    output::Printer,
    session::{ReasonArgs, Session},
};
use crate::service::{
    Role, RunDir,
    control::{self, ControlError},
};

/// How long a command waits for the daemon's answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(40);

/// How long it takes to say who stops a daemon.
const ANNOUNCE_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Args)]
pub(super) struct DebugArgs {
    /// Log debug events of these daemon modules; all debug events if none is named
    modules: Vec<String>,
    /// Log no debug events
    #[arg(long, conflicts_with = "modules")]
    off: bool,
}

#[derive(Args)]
pub(super) struct QuietArgs {
    /// Claim again
    #[arg(long)]
    off: bool,
    #[command(flatten)]
    reason: ReasonArgs,
}

/// Sends a request to the daemon of this configuration.
pub(super) async fn request<T: DeserializeOwned>(
    session: &Session,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> anyhow::Result<T> {
    let run = session.locate()?.run;
    match control::ask(&run, method, path, body, ANSWER_TIMEOUT).await {
        Err(ControlError::NotThere(socket)) => match run.holder(Role::Daemon)? {
            Some(holder) => {
                anyhow::bail!("{holder} is the daemon, but does not answer at {socket}: try again later")
            }
            None => anyhow::bail!("Sexton is not running (no daemon answers at {socket})"),
        },
        answer => Ok(answer?),
    }
}

/// As [`request`]; none if no daemon is running, or mistakes in the configuration hide it.
pub(super) async fn request_if_running<T: DeserializeOwned>(
    session: &Session,
    method: Method,
    path: &str,
) -> anyhow::Result<Option<T>> {
    let Ok(Located { run, .. }) = session.locate() else { return Ok(None) };
    match control::ask(&run, method, path, None, ANSWER_TIMEOUT).await {
        Err(ControlError::NotThere(_)) => Ok(None),
        answer => Ok(Some(answer?)),
    }
}

/// Asks the daemon to do something that is recorded in the audit: with who asks, and why.
pub(super) async fn deed<T: DeserializeOwned>(session: &Session, path: &str, reason: &ReasonArgs) -> anyhow::Result<T> {
    request(session, Method::POST, &signed(path, reason), None).await
}

/// As [`deed`]; none if no daemon is running.
pub(super) async fn deed_if_running<T: DeserializeOwned>(
    session: &Session,
    path: &str,
    reason: &ReasonArgs,
) -> anyhow::Result<Option<T>> {
    request_if_running(session, Method::POST, &signed(path, reason)).await
}

/// Tells a daemon who is about to stop it by a signal, for the audit. One that does not answer is stopped all the same.
pub(super) async fn announce_stop(run: &RunDir, reason: &ReasonArgs) {
    let path = format!("{}&announce=true", signed("/stop", reason));
    let _ = control::ask::<Value>(run, Method::POST, &path, None, ANNOUNCE_TIMEOUT).await;
}

/// The daemon finds the account by itself, and sudo's user in this process only.
fn signed(path: &str, reason: &ReasonArgs) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("via", Via::Cli.as_str());
    if let Some(login) = Principal::of_this_process(Via::Cli).login {
        query.append_pair("login", &login);
    }
    if let Some(reason) = &reason.reason {
        query.append_pair("reason", reason);
    }
    format!("{path}?{}", query.finish())
}

pub(super) async fn reload(session: &Session, output: Printer, reason: &ReasonArgs) -> anyhow::Result<u8> {
    // Mistakes are reported here as well as by the daemon.
    session.config()?;
    let answer: Value = deed(session, "/reload", reason).await.context("the configuration was not reloaded")?;
    let needs_restart: Vec<&str> =
        answer["needs_restart"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut lines = vec![format!("The configuration was reloaded: {}", answer["changed"].as_str().unwrap_or_default())];
    if !needs_restart.is_empty() {
        lines.push(format!("changes that take effect at the next start: {}", needs_restart.join(", ")));
    }
    output.report_lines(&lines, &answer)?;
    Ok(0)
}

/// Makes the daemon claim nothing, or claim again.
pub(super) async fn quiet(session: &Session, output: Printer, args: &QuietArgs) -> anyhow::Result<u8> {
    let answer: Value = deed(session, if args.off { "/resume" } else { "/quiet" }, &args.reason).await?;
    let sentence = match args.off {
        true => "this node claims again",
        false => "this node claims nothing until `sexton quiet --off`; running tasks continue",
    };
    output.report(sentence, &answer)?;
    Ok(0)
}

pub(super) async fn debug(session: &Session, output: Printer, args: &DebugArgs) -> anyhow::Result<u8> {
    let (choice, sentence) = match (args.off, args.modules.as_slice()) {
        (true, _) => (json!("nothing"), "no debug events are logged".to_owned()),
        (_, []) => (json!("everything"), "all debug events are logged".to_owned()),
        (_, modules) => (json!({ "modules": modules }), format!("debug events of {} are logged", modules.join(", "))),
    };
    let answer: Value = request(session, Method::PUT, "/log", Some(&choice)).await?;
    output.report(&sentence, &answer)?;
    Ok(0)
}
