//! The recipients of cron's mail, as a channel.

use super::draft::ImportedChannel;

/// The host of addresses that have none.
const HOST: &str = "localhost";
/// Maximum length of the name of a channel.
const MAX_NAME: usize = 60;

/// The channel for `MAILTO` and `MAILFROM`; none if no address can be used.
pub(super) fn channel(recipients: &str, sender: Option<&str>) -> Option<ImportedChannel> {
    let words = recipients.split([',', ' ', '\t']);
    let to: Vec<String> = words.filter_map(address).collect();
    if to.is_empty() {
        return None;
    }
    let from = sender.and_then(address).unwrap_or_else(|| format!("cron@{HOST}"));
    let mut name = format!("mailto-{}", to.join("-"));
    if sender.is_some() {
        name += &format!("-from-{from}");
    }
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' };
    let name = name.chars().map(plain).take(MAX_NAME).collect();
    Some(ImportedChannel { name, from, to })
}

/// An address that a mail can have: a local one gets a host.
fn address(word: &str) -> Option<String> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "@.+-_%=~".contains(letter);
    let word = word.trim().trim_matches(['"', '\'', '<', '>']);
    let parts: Vec<&str> = word.split('@').collect();
    let is_whole = !parts
        .iter()
        .any(|part| part.is_empty() || part.starts_with('.') || part.ends_with('.') || part.contains(".."));
    match parts.len() {
        1 if is_whole && word.chars().all(is_plain) => Some(format!("{word}@{HOST}")),
        2 if is_whole && word.chars().all(is_plain) => Some(word.to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipients_become_a_channel() {
        let one = channel("ops@example.com", None).expect("an address");
        assert_eq!(
            (one.name.as_str(), one.from.as_str(), one.to.as_slice()),
            ("mailto-ops-example-com", "cron@localhost", &["ops@example.com".to_owned()][..])
        );
        let two = channel("root, ops@example.com", Some("Cron@example.com")).expect("addresses");
        assert_eq!(two.to, ["root@localhost", "ops@example.com"]);
        assert_eq!(two.name, "mailto-root-localhost-ops-example-com-from-cron-example-com");
        for nobody in ["", " , ", "a@b@c", "|/bin/sh", "@x", "a\u{1}"] {
            assert_eq!(channel(nobody, None), None, "{nobody:?}");
        }
    }
}
