//! Which node this daemon is.

use crate::{config::Config, domain::identity::NodeId};

/// A daemon's identity: random, and its names for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeIdentity {
    /// The boot id: the name in plain characters, `-` and 12 random hexadecimal digits. Directories have this name.
    pub id: NodeId,
    /// `daemon.name`, by default the host's name.
    pub name: String,
    /// The host's name.
    pub host: String,
}

impl NodeIdentity {
    /// A new identity for a daemon with that configuration.
    pub(in crate::daemon) fn new(config: &Config) -> Self {
        let host = nix::unistd::gethostname()
            .map_or_else(|_| "localhost".to_owned(), |name| name.to_string_lossy().into_owned());
        let name = config.daemon.name.clone().unwrap_or_else(|| host.clone());
        let random = uuid::Uuid::new_v4().simple().to_string();
        Self { id: format!("{}-{}", plain(&name), &random[..12]).into(), name, host }
    }
}

/// A name as a part of file names, which are not hidden.
fn plain(name: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    let plain: String = name.chars().map(|letter| if is_plain(letter) { letter } else { '-' }).collect();
    match plain.trim_start_matches('.') {
        "" => "node".to_owned(),
        rest => rest.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_odd_characters_become_file_names() {
        let cases =
            [("db-1.shop", "db-1.shop"), ("site/a:1", "site-a-1"), ("../x", "-x"), ("ä b", "--b"), ("..", "node")];
        for (name, expected) in cases {
            assert_eq!(plain(name), expected, "{name}");
        }
    }
}
