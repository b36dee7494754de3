//! Identities as types: a node, a queue and a daemon module cannot be mistaken for one another, nor for other text.

use std::{borrow::Borrow, borrow::Cow, fmt, ops::Deref, sync::Arc};

use serde::{Deserialize, Serialize};

/// Declares a name that is cheap to clone and reads as text.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name($inner);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned().into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }

        impl From<&$name> for String {
            fn from(name: &$name) -> Self {
                name.as_str().to_owned()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.as_str().to_owned()
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                self.as_str() == other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                self.as_str() == *other
            }
        }
    };
}

name! {
    /// The identity of one running daemon: its configured name and random digits. It is never a host name alone.
    NodeId(Arc<str>)
}

name! {
    /// The identity of one database, made once and kept in it.
    DatabaseId(Arc<str>)
}

name! {
    /// The name of a queue, as written in `[queue.NAME]`.
    QueueName(Arc<str>)
}

name! {
    /// The name of a daemon module. The built-in ones are constants, so that a typo does not compile.
    ModuleName(Cow<'static, str>)
}

impl ModuleName {
    /// Adopts commands whose daemon or worker is gone.
    pub const ADOPTER: Self = Self(Cow::Borrowed("adopter"));
    /// Watches the configuration files.
    pub const CONFIG_SYNC: Self = Self(Cow::Borrowed("config_sync"));
    /// Turns due occurrences into tasks.
    pub const CRON: Self = Self(Cow::Borrowed("cron"));
    /// Claims tasks.
    pub const DISPATCHER: Self = Self(Cow::Borrowed("dispatcher"));
    /// Promotes tasks whose time has come.
    pub const FUTURE: Self = Self(Cow::Borrowed("future"));
    /// Offers metrics at an address and in a file.
    pub const METRICS: Self = Self(Cow::Borrowed("metrics"));
    /// Keeps the node's lease.
    pub const NODE: Self = Self(Cow::Borrowed("node"));
    /// Closes problems, and sends notices.
    pub const NOTIFIER: Self = Self(Cow::Borrowed("notifier"));
    /// Deletes old history.
    pub const PRUNER: Self = Self(Cow::Borrowed("pruner"));
    /// Writes finished attempts into history.
    pub const RECORDER: Self = Self(Cow::Borrowed("recorder"));
    /// Releases the tasks of dead nodes.
    pub const RESCUER: Self = Self(Cow::Borrowed("rescuer"));
    /// Listens for enqueues of other processes.
    pub const WAKEUP: Self = Self(Cow::Borrowed("wakeup"));
    /// Runs the pools.
    pub const WORKERS: Self = Self(Cow::Borrowed("workers"));

    /// All built-in modules, by name.
    pub const BUILT_IN: [Self; 13] = [
        Self::ADOPTER,
        Self::CONFIG_SYNC,
        Self::CRON,
        Self::DISPATCHER,
        Self::FUTURE,
        Self::METRICS,
        Self::NODE,
        Self::NOTIFIER,
        Self::PRUNER,
        Self::RECORDER,
        Self::RESCUER,
        Self::WAKEUP,
        Self::WORKERS,
    ];
}
