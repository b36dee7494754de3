//! The configuration: all that `sexton config check` says, and who can read its passwords.

use std::{fs, os::unix::fs::MetadataExt as _};

use url::Url;

use super::{super::session::Session, looks::Doctor};
use crate::{
    config::{Config, ConfigWarning, Mistakes, SourceLocation},
    domain::{
        doctor::{Area, Diagnosis},
        notice::channel::{MailTransport, Means},
        text::plural::counted,
    },
};

/// Maximum number of mistakes and warnings that are listed.
const MAX_LISTED: usize = 20;

pub(super) fn look(doctor: &Doctor, session: &Session, config: &Config, mistakes: &Mistakes) {
    let mut warnings = config.warnings.clone();
    if mistakes.is_empty() {
        warnings.extend(session.advice(config));
    }
    for mistake in mistakes.0.iter().take(MAX_LISTED) {
        doctor.add([Diagnosis::error(
            Area::Configuration,
            format!("{}{}: {}.", place(&mistake.location), mistake.setting, mistake.problem.trim_end_matches('.')),
            "A configuration with a mistake is never in force: the daemon does not start, or keeps the old one.",
            "Correct it, and try: sexton config check",
        )]);
    }
    for ConfigWarning { location, setting, text } in warnings.iter().take(MAX_LISTED) {
        doctor.add([Diagnosis::warning(
            Area::Configuration,
            format!("{}{setting}: {}.", place(location), text.trim_end_matches('.')),
            "The configuration is valid, and does not do here what it says.",
            "Change the setting, or this machine.",
        )]);
    }
    let more = mistakes.0.len().saturating_sub(MAX_LISTED) + warnings.len().saturating_sub(MAX_LISTED);
    if more > 0 {
        let found = format!("The configuration has {}.", counted(more, "more finding"));
        doctor.add([Diagnosis::note(Area::Configuration, found, "", "sexton config check")]);
    }
    let leak = leak(session, config);
    if mistakes.is_empty() && warnings.is_empty() && leak.is_none() {
        let tasks = counted(config.tasks.len(), "task");
        doctor.add([Diagnosis::ok(Area::Configuration, format!("{}: {tasks}, no mistakes.", session.source_name()))]);
    }
    doctor.add(leak);
}

fn place(location: &SourceLocation) -> String {
    match location.line {
        Some(line) => format!("{}:{line}: ", location.source),
        None => format!("{}: ", location.source),
    }
}

/// A password in a file that everybody may read.
fn leak(session: &Session, config: &Config) -> Option<Diagnosis> {
    let file = session.file()?;
    let mode = fs::metadata(file).ok()?.mode();
    let text = fs::read_to_string(file).ok().filter(|_| mode & 0o004 != 0)?;
    let of_database = Url::parse(&config.database.url).ok().and_then(|url| url.password().map(str::to_owned));
    let of_channels = config.channels.values().filter_map(|channel| match &channel.means {
        Means::Mail(settings) => match &settings.transport {
            MailTransport::Smtp(server) => server.login.as_ref().map(|(_, password)| password.0.clone()),
            MailTransport::Program(_) => None,
        },
        Means::Webhook(settings) => settings.secret.as_ref().map(|secret| secret.0.clone()),
        Means::Command(_) => None,
    });
    let mut passwords = of_database.into_iter().chain(of_channels).filter(|password| !password.is_empty());
    passwords.any(|password| text.contains(&password)).then(|| {
        Diagnosis::warning(
            Area::Configuration,
            format!("{} contains a password, and everybody may read it (mode {:04o}).", file.display(), mode & 0o7777),
            "Every user of this machine can use it: to read and change all tasks, or to send mail.",
            format!("chmod o-r {}, or put the password into a file of its own (database.url_file).", file.display()),
        )
    })
}
