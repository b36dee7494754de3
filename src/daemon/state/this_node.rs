//! Which node this daemon is.

use crate::{config::Config, domain::identity::NodeId};

/// A daemon's identity: random, and its names for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeIdentity {
    /// The boot id: `NAME-` and 12 random hexadecimal digits.
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
        Self { id: format!("{name}-{}", &random[..12]).into(), name, host }
    }
}
