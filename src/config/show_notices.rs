//! The channels of notices in force, as TOML, without secrets.

use toml::{Table, Value};

use super::toml_values::{length, table};
use crate::domain::notice::{
    NoticeEvent, NoticeRule,
    channel::{CaFile, Channel, MailTls, MailTransport, Means, WebhookFormat},
};

/// Shown in place of a secret.
const HIDDEN: &str = "***";

/// One channel.
pub(super) fn channel(channel: &Channel) -> Table {
    let mut shown = table([
        ("kind", channel.means.as_str().into()),
        ("timeout", length(channel.timeout)),
        ("max_per_hour", i64::from(channel.max_per_hour).into()),
    ]);
    shown.extend(channel.quiet.iter().map(|period| ("quiet".to_owned(), period.clone().into())));
    shown.extend(channel.digest.map(|digest| ("digest".to_owned(), digest.to_string().into())));
    match &channel.means {
        Means::Mail(mail) => {
            shown.extend(table([("from", mail.from.clone().into()), ("to", mail.to.clone().into())]));
            match &mail.transport {
                MailTransport::Program(program) => shown.extend(table([("sendmail", program.clone().into())])),
                MailTransport::Smtp(server) => {
                    let scheme = if server.tls == MailTls::Wrapped { "smtps" } else { "smtp" };
                    let address = format!("{scheme}://{}:{}", server.host, server.port);
                    shown.extend(table([("server", address.into())]));
                    let tls = MailTls::WORDS.iter().find(|(_, tls)| *tls == server.tls);
                    shown.extend(tls.map(|(word, _)| ("tls".to_owned(), (*word).into())));
                    if let Some((user, _)) = &server.login {
                        shown.extend(table([("user", user.clone().into()), ("password", HIDDEN.into())]));
                    }
                    shown.extend(server.ca_file.as_ref().map(ca_file));
                }
            }
        }
        Means::Webhook(webhook) => {
            let format = if webhook.format == WebhookFormat::Slack { "slack" } else { "json" };
            shown.extend(table([("url", HIDDEN.into()), ("format", format.into())]));
            shown.extend(webhook.secret.as_ref().map(|_| ("secret".to_owned(), HIDDEN.into())));
            shown.extend(webhook.ca_file.as_ref().map(ca_file));
        }
        Means::Command(command) => shown.extend(table([("command", command.clone().into())])),
    }
    shown
}

fn ca_file(file: &CaFile) -> (String, Value) {
    ("ca_file".to_owned(), file.path.display().to_string().into())
}

/// Whom a table tells.
pub(super) fn rule(rule: &NoticeRule) -> impl Iterator<Item = (String, Value)> {
    let words = |events: &Vec<NoticeEvent>| events.iter().map(|event| event.as_str().to_owned()).collect::<Vec<_>>();
    let lists = [
        ("notify", rule.channels.clone()),
        ("notify_on", rule.on.as_ref().map(words)),
        ("mail_output_to", rule.output_to.clone()),
    ];
    let lists = lists.into_iter().filter_map(|(key, list)| Some((key.to_owned(), Value::from(list?))));
    let output = rule.output.map(|output| ("mail_output".to_owned(), Value::from(output.as_str())));
    let escalation = rule.escalation.as_ref().map(|escalation| {
        let shown = table([("after", length(escalation.after)), ("to", escalation.to.clone().into())]);
        ("escalate".to_owned(), Value::Table(shown))
    });
    lists
        .chain(output)
        .chain(rule.after.map(|after| ("notify_after".to_owned(), Value::from(i64::from(after)))))
        .chain(escalation)
}
