//! The configuration: all that `sexton config check` says, and who can read its passwords.

use std::{fs, os::unix::fs::MetadataExt as _, path::PathBuf};

use url::Url;

use super::{
    super::session::Session,
    looks::{Doctor, on_thread},
};
use crate::{
    config::{Config, ConfigWarning, Mistakes, files_of},
    domain::{
        doctor::{Area, Diagnosis},
        notice::channel::{MailTransport, Means},
        text::plural::counted,
    },
};

/// Maximum number of mistakes and warnings that are listed.
const MAX_LISTED: usize = 20;

pub(super) async fn look(doctor: &Doctor, session: &Session, config: &Config, mistakes: &Mistakes) {
    let mut warnings = config.warnings.clone();
    if mistakes.is_empty() {
        // It looks at programs and directories.
        let (adviser, config) = (session.adviser(), config.clone());
        match tokio::time::timeout(doctor.limit, on_thread(move || adviser(&config))).await {
            Ok(Ok(advice)) => warnings.extend(advice),
            Ok(Err(error)) => doctor.cannot_look(Area::Configuration, "what is not on this machine", error.to_string()),
            Err(_) => doctor.cannot_look(Area::Configuration, "what is not on this machine", doctor.too_late()),
        }
    }
    for mistake in mistakes.0.iter().take(MAX_LISTED) {
        doctor.add([Diagnosis::error(
            Area::Configuration,
            format!("{}: {}: {}.", mistake.location, mistake.setting, mistake.problem.trim_end_matches('.')),
            "A configuration with a mistake is never in force: the daemon does not start, or keeps the old one.",
            "Correct it, and try: sexton config check",
        )]);
    }
    for ConfigWarning { location, setting, text } in warnings.iter().take(MAX_LISTED) {
        doctor.add([Diagnosis::warning(
            Area::Configuration,
            format!("{location}: {setting}: {}.", text.trim_end_matches('.')),
            "The configuration is valid, and does not do here what it says.",
            "Change the setting, or this machine.",
        )]);
    }
    let more = mistakes.0.len().saturating_sub(MAX_LISTED) + warnings.len().saturating_sub(MAX_LISTED);
    if more > 0 {
        let found = format!("The configuration has {}.", counted(more, "more finding"));
        doctor.add([Diagnosis::note(Area::Configuration, found, "", "sexton config check")]);
    }
    let (files, passwords) = (session.file().cloned(), passwords(config));
    let leaks = match tokio::time::timeout(doctor.limit, on_thread(move || leaks(files, &passwords))).await {
        Ok(Ok(leaks)) => leaks,
        Ok(Err(error)) => {
            doctor.cannot_look(Area::Configuration, "who can read the configuration", error.to_string());
            Vec::new()
        }
        Err(_) => {
            doctor.cannot_look(Area::Configuration, "who can read the configuration", doctor.too_late());
            Vec::new()
        }
    };
    if mistakes.is_empty() && warnings.is_empty() && leaks.is_empty() {
        let tasks = counted(config.tasks.len(), "task");
        doctor.add([Diagnosis::ok(Area::Configuration, format!("{}: {tasks}, no mistakes.", session.source_name()))]);
    }
    doctor.add(leaks);
}

/// The passwords of the configuration, wherever they come from.
fn passwords(config: &Config) -> Vec<String> {
    let of_database = Url::parse(&config.database.url).ok().and_then(|url| url.password().map(str::to_owned));
    let of_channels = config.channels.values().filter_map(|channel| match &channel.means {
        Means::Mail(settings) => match &settings.transport {
            MailTransport::Smtp(server) => server.login.as_ref().map(|(_, password)| password.0.clone()),
            MailTransport::Program(_) => None,
        },
        Means::Webhook(settings) => settings.secret.as_ref().map(|secret| secret.0.clone()),
        Means::Command(_) => None,
    });
    of_database.into_iter().chain(of_channels).filter(|password| !password.is_empty()).collect()
}

/// The files of the configuration that everybody may read, and that contain a password.
fn leaks(main: Option<PathBuf>, passwords: &[String]) -> Vec<Diagnosis> {
    let files = main.map(|main| files_of(&main)).unwrap_or_default();
    let leak = |file: PathBuf| {
        let mode = fs::metadata(&file).ok()?.mode();
        let text = fs::read_to_string(&file).ok().filter(|_| mode & 0o004 != 0)?;
        let file = file.display();
        passwords.iter().any(|password| text.contains(password)).then(|| {
            Diagnosis::warning(
                Area::Configuration,
                format!("{file} contains a password, and everybody may read it (mode {:04o}).", mode & 0o7777),
                "Every user of this machine can use it: to read and change all tasks, or to send mail.",
                format!("chmod o-r {file}, or put the password into a file of its own (database.url_file)."),
            )
        })
    };
    files.into_iter().filter_map(leak).collect()
}
