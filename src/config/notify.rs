//! `[notify.NAME]`: channels, and the settings that say who hears of what.

use std::time::Duration;

use url::Url;

use super::{ca_file, secret, section::Section};
use crate::domain::{
    notice::{
        Escalation, MailOutput, NoticeEvent, NoticeRule,
        channel::{
            CaFile, Channel, MailSettings, MailTls, MailTransport, Means, Secret, SmtpServer, WebhookFormat,
            WebhookSettings,
        },
    },
    period::Periods,
    text::suggest,
};

/// The time limit of a notice by default.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The longest time limit: the daemon module must not seem to hang.
const MAX_TIMEOUT: Duration = Duration::from_secs(60);
/// Maximum number of notices within an hour by default.
const MAX_PER_HOUR: u32 = 20;
/// The settings of mail, of webhooks and of commands.
const OF_MAIL: [&str; 9] =
    ["server", "tls", "user", "password", "password_file", "password_credential", "sendmail", "from", "to"];
const OF_WEBHOOK: [&str; 7] =
    ["url", "url_file", "url_credential", "secret", "secret_file", "secret_credential", "format"];

/// Reads a channel; none if it is not usable, which is a mistake.
pub(super) fn read(section: &mut Section<'_>, periods: &Periods) -> Option<Channel> {
    let ca_file = ca_file::read(section);
    let mail = mail(section, ca_file.as_ref());
    let webhook = webhook(section, ca_file);
    let command = section.texts("command").filter(|words| !words.is_empty());
    let kind = section.choice("kind", &[("mail", 0), ("webhook", 1), ("command", 2)]);
    if section.node("kind").is_none() {
        section.refuse("", "`kind` is missing: \"mail\", \"webhook\" or \"command\"");
    }
    let means = match kind {
        Some(0) => mail.map(Means::Mail),
        Some(1) => webhook.map(Means::Webhook),
        Some(_) => {
            if command.is_none() && section.node("command").is_none() {
                section.refuse("kind", "kind \"command\" needs `command = [\"program\", \"argument\"]`");
            }
            command.map(Means::Command)
        }
        None => None,
    };
    if kind.is_some_and(|kind| kind != 0) {
        section.refuse_each(&OF_MAIL, "this setting is one of kind \"mail\"");
    }
    if kind.is_some_and(|kind| kind != 1) {
        section.refuse_each(&OF_WEBHOOK, "this setting is one of kind \"webhook\"");
    }
    if kind == Some(2) {
        section.refuse_each(&["ca_file"], "this setting is one of kind \"mail\" and of kind \"webhook\"");
    }
    if kind.is_some_and(|kind| kind != 2) {
        section.refuse_each(&["command"], "this setting is one of kind \"command\"");
    }
    let timeout = section.duration("timeout", Duration::from_secs(1)).unwrap_or(TIMEOUT);
    if timeout > MAX_TIMEOUT {
        section.refuse("timeout", "the maximum is 1m");
    }
    let max_per_hour = section.integer("max_per_hour", 1..=10_000).unwrap_or(MAX_PER_HOUR);
    let quiet = section.text("quiet");
    if let Some(unknown) = quiet.as_ref().filter(|name| periods.get(name).is_none()) {
        let hint = suggest::hint_or_list(unknown, periods.0.keys().map(|name| &**name));
        section.refuse("quiet", format!("there is no period `{unknown}`{hint}"));
    }
    let digest = section.parsed("digest");
    Some(Channel { means: means?, timeout, max_per_hour, quiet, digest })
}

fn mail(section: &mut Section<'_>, ca_file: Option<&CaFile>) -> Option<MailSettings> {
    let is_mail = section.word("kind") == Some("mail");
    let program = section.texts("sendmail").filter(|words| !words.is_empty());
    let server = section.text("server");
    let tls = section.choice("tls", &MailTls::WORDS);
    let user = section.text("user");
    let password = secret::read(section, ["password", "password_file", "password_credential"]);
    let from = section.text("from");
    let to = section.texts("to");
    if !is_mail {
        return None;
    }
    for (key, addresses) in [("from", from.iter().collect::<Vec<_>>()), ("to", to.iter().flatten().collect())] {
        let is_address = |text: &&&String| text.contains('@') && !text.contains(['\r', '\n']);
        if let Some(wrong) = addresses.iter().find(|text| !is_address(text)) {
            section.refuse(key, format!("`{wrong}` is not a mail address such as \"Sexton <sexton@example.org>\""));
        }
        if addresses.is_empty() && section.node(key).is_none_or(|_| key == "to") {
            section.refuse("", format!("`{key}` is missing: a mail needs a sender and a recipient"));
        }
    }
    let transport = match (server, program) {
        (Some(_), Some(_)) => {
            section.refuse("sendmail", "only one of server and sendmail can be set");
            return None;
        }
        (None, Some(program)) => {
            section.refuse_each(&["ca_file"], "a program has no use for it: it is one of `server`");
            MailTransport::Program(program)
        }
        (None, None) => {
            section.refuse("", "`server` is missing, such as \"smtp://mail.example.org:587\", or `sendmail`");
            return None;
        }
        (Some(server), None) => {
            let login = match (user, password) {
                (Some(user), Some(password)) => Some((user, Secret(password))),
                (None, None) => None,
                (Some(_), None) => {
                    section.refuse("user", "a user needs password, password_file or password_credential");
                    None
                }
                (None, Some(_)) => {
                    section.refuse("", "a password needs `user`");
                    None
                }
            };
            MailTransport::Smtp(smtp(section, &server, tls, login, ca_file)?)
        }
    };
    Some(MailSettings { from: from?, to: to?, transport })
}

fn smtp(
    section: &mut Section<'_>,
    server: &str,
    tls: Option<MailTls>,
    login: Option<(String, Secret)>,
    ca_file: Option<&CaFile>,
) -> Option<SmtpServer> {
    let parsed = Url::parse(server).ok().filter(|url| url.username().is_empty() && url.password().is_none());
    let host = parsed.as_ref().and_then(|url| url.host_str()).map(str::to_owned);
    let (Some(url), Some(host)) = (parsed, host.filter(|host| !host.is_empty())) else {
        // What cannot be read may contain a password.
        section.refuse(
            "server",
            "it is not an address such as \"smtp://mail.example.org:587\" or \"smtps://mail.example.org\"",
        );
        return None;
    };
    let (tls, port) = match url.scheme() {
        "smtp" => (tls.unwrap_or(MailTls::Required), 587),
        "smtps" => {
            if tls.is_some() {
                section.refuse("tls", "smtps:// is encrypted from its beginning: leave `tls` out");
            }
            (MailTls::Wrapped, 465)
        }
        other => {
            section.refuse("server", format!("`{other}` is not known, expected smtp:// or smtps://"));
            return None;
        }
    };
    if tls == MailTls::None {
        section.refuse_each(&["ca_file"], "nothing is encrypted with tls = \"none\"");
    }
    if tls == MailTls::None && login.is_some() {
        section.refuse("tls", "the password would be sent as plain text: use \"required\", or no user");
    }
    Some(SmtpServer { host, port: url.port().unwrap_or(port), tls, login, ca_file: ca_file.cloned() })
}

fn webhook(section: &mut Section<'_>, ca_file: Option<CaFile>) -> Option<WebhookSettings> {
    let is_webhook = section.word("kind") == Some("webhook");
    let url = secret::read(section, ["url", "url_file", "url_credential"]);
    let secret = secret::read(section, ["secret", "secret_file", "secret_credential"]);
    let format = section.choice("format", &WebhookFormat::WORDS).unwrap_or(WebhookFormat::Json);
    if !is_webhook {
        return None;
    }
    let Some(url) = url else {
        if !["url_file", "url_credential", "url"].into_iter().any(|key| section.node(key).is_some()) {
            section.refuse("", "`url` is missing, or url_file, or url_credential");
        }
        return None;
    };
    let is_sound = Url::parse(&url).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if !is_sound {
        section.refuse("url", "it is not an address such as \"https://example.org/hook\"");
    }
    if is_sound && url.starts_with("http:") {
        section.refuse_each(&["ca_file"], "nothing is encrypted with http://: use https://");
    }
    Some(WebhookSettings { url: Secret(url), secret: secret.map(Secret), format, ca_file })
}

/// Reads whom to tell, in `[daemon]`, `[queue.NAME]` or `[task.NAME]`.
pub(super) fn rule(section: &mut Section<'_>, channels: &[String]) -> NoticeRule {
    let named = names(section, "notify", channels);
    let words = section.texts("notify_on");
    let event = |word: &String| NoticeEvent::WORDS.iter().find(|(known, _)| known == word).map(|(_, event)| *event);
    if let Some(unknown) = words.iter().flatten().find(|word| event(word).is_none()) {
        let hint = suggest::hint_or_list(unknown, NoticeEvent::WORDS.iter().map(|(word, _)| *word));
        section.refuse("notify_on", format!("`{unknown}` is not an event{hint}"));
    }
    let on = words.map(|words| words.iter().filter_map(event).collect());
    let output_to = names(section, "mail_output_to", channels);
    let output = section.choice("mail_output", &MailOutput::WORDS);
    if channels.is_empty() && output.is_some_and(|output| output != MailOutput::Never) {
        section.refuse("mail_output", "nobody would get the mail: there is no [notify.NAME] table");
    }
    let after = section.integer("notify_after", 1..=1_000_000);
    let escalation = section.table("escalate", |table| escalation(table, channels)).flatten();
    NoticeRule { channels: named, on, after, escalation, output, output_to }
}

fn escalation(section: &mut Section<'_>, channels: &[String]) -> Option<Escalation> {
    let after = section.duration("after", Duration::from_secs(1));
    let to = names(section, "to", channels);
    for (key, is_given) in [("after", section.node("after").is_some()), ("to", section.node("to").is_some())] {
        if !is_given {
            section.refuse("", format!("`{key}` is missing: write `{{ after = \"1h\", to = [\"NAME\"] }}`"));
        }
    }
    Some(Escalation { after: after?, to: to? })
}

/// The names of channels.
fn names(section: &mut Section<'_>, key: &'static str, channels: &[String]) -> Option<Vec<String>> {
    let named = section.texts(key);
    if let Some(unknown) = named.iter().flatten().find(|name| !channels.contains(name)) {
        let hint = suggest::hint_or_list(unknown, channels.iter().map(String::as_str));
        section.refuse(key, format!("there is no [notify.{unknown}]{hint}"));
    }
    named
}
