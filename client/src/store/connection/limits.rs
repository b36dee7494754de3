//! The time limits of a pool, and those that the server gets with each session.

use std::time::Duration;

use super::options::ConnectOptions;

/// An acquisition of SQLite's only session waits at least this long.
const MIN_SQLITE_ACQUIRE: Duration = Duration::from_secs(30);
/// A session with a file is closed after this much idleness.
const MAX_IDLE_FILE: Duration = Duration::from_secs(600);
/// The session of a dedicated pool may be idle for at least this long, and silent in a transaction for at least that.
const MIN_IDLE_DEDICATED: Duration = Duration::from_secs(120);
const MIN_TRANSACTION_DEDICATED: Duration = Duration::from_secs(10);

/// The limits of a pool.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// The maximum number of sessions.
    pub(super) sessions: u32,
    /// How long a statement waits for a session.
    pub(super) acquire: Duration,
    /// How long the attempt to reach one host may take.
    pub(super) connect: Duration,
    /// How long a statement may take.
    pub(super) statement: Duration,
    /// How long a transaction, or a session, may be silent before the server ends it.
    transaction: Duration,
    idle: Duration,
}

/// The limits that a server gets with a session.
#[derive(Clone, Copy, Debug)]
pub(super) struct ServerLimits {
    /// How long a statement waits for a lock.
    pub(super) lock: Duration,
    /// How long a transaction may be silent before the server ends it. A node that vanishes in the middle of one, because
    /// its machine or its network failed, would otherwise keep its locks for hours.
    pub(super) transaction: Duration,
    /// How long a session may be silent. MySQL has no limit for transactions: there, this one ends them.
    pub(super) idle: Duration,
}

impl Limits {
    /// The limits of a pool of sessions, as configured.
    pub(super) fn of_pool(is_file: bool, options: &ConnectOptions) -> Self {
        let acquire = if is_file { options.acquire_timeout.max(MIN_SQLITE_ACQUIRE) } else { options.acquire_timeout };
        Self {
            sessions: if is_file { 1 } else { options.max_connections.max(1) },
            acquire,
            connect: options.acquire_timeout,
            statement: options.statement_timeout,
            transaction: options.statement_timeout,
            idle: if is_file { MAX_IDLE_FILE * 2 } else { options.statement_timeout * 2 },
        }
    }

    /// The limits of a pool with one session, with this limit for everything that it does.
    pub(super) fn dedicated(limit: Duration) -> Self {
        Self {
            sessions: 1,
            acquire: limit,
            connect: limit,
            statement: limit,
            transaction: limit.max(MIN_TRANSACTION_DEDICATED),
            idle: (limit * 2).max(MIN_IDLE_DEDICATED),
        }
    }

    /// A session that was idle for this long is tested before use.
    pub(super) fn test_after_idle(&self) -> Duration {
        self.idle / 4
    }

    /// A session that was idle for this long is closed, before the server does it.
    pub(super) fn max_idle(&self) -> Duration {
        self.idle / 2
    }

    /// What the server gets.
    pub(super) fn at_the_server(&self) -> ServerLimits {
        // The server's limit for locks is the shorter one: it leaves a session in order, and a reason.
        ServerLimits { lock: self.statement * 2 / 3, transaction: self.transaction, idle: self.idle }
    }
}
