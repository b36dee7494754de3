//! Identities as types: a node, a queue and a daemon module cannot be mistaken for one another, nor for other text.

use std::{borrow::Cow, sync::Arc};

use sexton_client::declare_name;
pub use sexton_client::domain::identity::QueueName;

declare_name! {
    /// The identity of one running daemon: its configured name and random digits. It is never a host name alone.
    NodeId(Arc<str>)
}

declare_name! {
    /// The identity of one database, made once and kept in it.
    DatabaseId(Arc<str>)
}

declare_name! {
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
    /// Notices what should have happened and has not.
    pub const OBSERVER: Self = Self(Cow::Borrowed("observer"));
    /// Watches the files of triggers.
    pub const PATHS: Self = Self(Cow::Borrowed("paths"));
    /// Pings those who watch from outside.
    pub const PINGER: Self = Self(Cow::Borrowed("pinger"));
    /// Deletes old history.
    pub const PRUNER: Self = Self(Cow::Borrowed("pruner"));
    /// Writes finished attempts into history.
    pub const RECORDER: Self = Self(Cow::Borrowed("recorder"));
    /// Releases the tasks of dead nodes.
    pub const RESCUER: Self = Self(Cow::Borrowed("rescuer"));
    /// Turns events into tasks.
    pub const TRIGGERS: Self = Self(Cow::Borrowed("triggers"));
    /// Listens for enqueues of other processes.
    pub const WAKEUP: Self = Self(Cow::Borrowed("wakeup"));
    /// Keeps the long-lived processes that execute tasks.
    pub const WORKER_PROCESSES: Self = Self(Cow::Borrowed("worker_processes"));
    /// Runs the pools.
    pub const WORKERS: Self = Self(Cow::Borrowed("workers"));

    /// All built-in modules, by name.
    pub const BUILT_IN: [Self; 18] = [
        Self::ADOPTER,
        Self::CONFIG_SYNC,
        Self::CRON,
        Self::DISPATCHER,
        Self::FUTURE,
        Self::METRICS,
        Self::NODE,
        Self::NOTIFIER,
        Self::OBSERVER,
        Self::PATHS,
        Self::PINGER,
        Self::PRUNER,
        Self::RECORDER,
        Self::RESCUER,
        Self::TRIGGERS,
        Self::WAKEUP,
        Self::WORKER_PROCESSES,
        Self::WORKERS,
    ];
}
