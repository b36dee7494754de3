//! The words of the audit.

use std::fmt;

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

words! {
    /// What an operator or an application did.
    AuditAction {
        /// Paused a queue, a schedule, or everything.
        Pause = "pause",
        /// Resumed what was paused, or a node that was quiet.
        Resume = "resume",
        /// Cancelled a task, or requested it of the node that runs it.
        Cancel = "cancel",
        /// Made a task available at once, or enqueued a finished one again.
        Retry = "retry",
        /// Enqueued a task by hand.
        Enqueue = "enqueue",
        /// Moved a waiting task to another queue.
        Move = "move",
        /// Put the configuration of a node in force again.
        Reload = "reload",
        /// Started a node.
        Start = "start",
        /// Stopped a node.
        Stop = "stop",
        /// Restarted a node or one of its modules.
        Restart = "restart",
        /// Made a node claim nothing.
        Quiet = "quiet",
        /// Changed the tables.
        Migrate = "migrate",
        /// Took note of a problem, so that it is not reminded of.
        Acknowledge = "acknowledge",
        /// Silenced a problem for a time.
        Mute = "mute",
        /// Closed a problem.
        Close = "close",
        /// Added a schedule to the database.
        Add = "add",
        /// Changed a schedule in the database.
        Edit = "edit",
        /// Removed a schedule from the database.
        Remove = "remove",
        /// Sent an event by hand.
        Send = "send",
        /// Sent an event again by hand.
        Replay = "replay",
        /// Put a signed version of the configuration into the database.
        Deploy = "deploy",
    }
}

words! {
    /// What kind of thing it was done to.
    AuditTarget {
        /// The whole cluster.
        Cluster = "cluster",
        /// One node.
        Node = "node",
        /// One module of a node.
        Module = "module",
        /// A queue.
        Queue = "queue",
        /// A schedule.
        Schedule = "schedule",
        /// A task.
        Task = "task",
        /// The tables.
        Database = "database",
        /// A problem.
        Problem = "problem",
        /// An event.
        Event = "event",
        /// The configuration of the cluster.
        Configuration = "configuration",
    }
}

words! {
    /// By which way it was done.
    Via {
        /// The command line.
        Cli = "cli",
        /// A signal to the daemon.
        Signal = "signal",
        /// A request at the control socket that did not come from the command line.
        ControlSocket = "control_socket",
        /// An application, through the library.
        Client = "client",
        /// The daemon by itself: at its start, or because a file had changed.
        Daemon = "daemon",
    }
}
