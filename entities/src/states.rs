//! Every word that is stored in a column. Each enum's variants are the stored words in snake case.

use std::fmt;

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

/// Declares an enum that is stored as snake-case words and displays as them.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize)]
        #[sea_orm(rs_type = "String", db_type = "String(StringLen::N(16))")]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $($(#[$word_doc])* #[sea_orm(string_value = $word)] $variant,)+
        }

        impl $name {
            /// The stored word.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// Every variant, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The variant that is stored as `word`; `None` for any other text.
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

mod audit;

pub use self::audit::{AuditAction, AuditTarget, Via};

words! {
    /// State of an unfinished task.
    TaskState {
        /// Its time has not come.
        Scheduled = "scheduled",
        /// It waits for a free worker.
        Available = "available",
        /// A node has claimed it.
        Running = "running",
        /// An attempt failed, and the task waits for the next one.
        Retryable = "retryable",
        /// It waits for the end of other tasks.
        Waiting = "waiting",
    }
}

words! {
    /// How an attempt ended.
    Outcome {
        /// The handler reported success.
        Succeeded = "succeeded",
        /// The handler or the exit code reported failure.
        Failed = "failed",
        /// The attempt reached its time limit and was stopped.
        TimedOut = "timed_out",
        /// The handler panicked, a signal that Sexton did not send ended the command, or the node died during this
        /// attempt and during too many before it.
        Crashed = "crashed",
        /// The handler or the command asked to be tried again later. That is no failure.
        Snoozed = "snoozed",
        /// A request cancelled the task.
        Cancelled = "cancelled",
        /// The daemon stopped, died or lost its lease during the attempt.
        Interrupted = "interrupted",
        /// Another node had claimed the task before the attempt ended; its result did not count.
        Superseded = "superseded",
        /// An occurrence of a schedule that was not started on purpose.
        Skipped = "skipped",
    }
}

words! {
    /// Decision on the task that follows from an outcome.
    Verdict {
        /// The work is done.
        Completed = "completed",
        /// Another attempt follows.
        Retry = "retry",
        /// No further attempt is made.
        Discarded = "discarded",
        /// The task ended on request.
        Cancelled = "cancelled",
        /// The task is available again; the attempt does not count.
        Released = "released",
    }
}

words! {
    /// Which end of a task lets those begin that wait for it.
    Required {
        /// It was completed.
        Success = "success",
        /// It failed and is not tried again. A task that was cancelled or skipped has not failed.
        Failure = "failure",
        /// It ended in any way.
        Always = "always",
    }
}

words! {
    /// For how many of its predecessors a task waits.
    FanIn {
        /// For all of them.
        All = "all",
        /// For the first one that ends as required.
        Any = "any",
    }
}

words! {
    /// Decision on one instant of a schedule.
    Fate {
        /// Its task was enqueued on time.
        Fired = "fired",
        /// Its task was enqueued more than ten seconds after its time.
        Late = "late",
        /// No task of its own: a later instant runs in its place.
        Coalesced = "coalesced",
        /// No task, on purpose.
        Skipped = "skipped",
    }
}

words! {
    /// Why an instant of a schedule did not start on time. `docs/SQL.md` says which columns go with which code.
    ReasonCode {
        /// It started late.
        Late = "late",
        /// No node entered it in time, and the schedule skips missed runs.
        Missed = "missed",
        /// It was missed, and `missed_max` later ones were as well.
        MissedMax = "missed_max",
        /// It was missed for longer than `missed_age`.
        MissedAge = "missed_age",
        /// It was missed, and `run_missed_between` was closed.
        MissedWindow = "missed_window",
        /// It was skipped because an earlier run was not finished.
        Overlap = "overlap",
        /// It waits for the earlier runs of its schedule.
        Queued = "queued",
        /// A later instant runs in its place.
        Coalesced = "coalesced",
        /// It waits until the period of its schedule begins.
        Held = "held",
        /// It was skipped because it is outside the period of its schedule.
        OutsidePeriod = "outside_period",
        /// It was skipped because the schedule is paused.
        Paused = "paused",
        /// It is in words: the database refused its task, or an earlier version wrote what the migration could not read.
        Other = "other",
    }
}

words! {
    /// State of an event.
    EventState {
        /// No node has looked at it.
        New = "new",
        /// It waits for a node that has one of its triggers.
        Waiting = "waiting",
        /// All its triggers have dealt with it.
        Consumed = "consumed",
        /// No node has a trigger for it.
        Untaken = "untaken",
        /// All its triggers have dealt with it, and for at least one no task could be made of it.
        Refused = "refused",
    }
}

words! {
    /// What a trigger made of an event.
    EventFate {
        /// A node that has the trigger is to deal with it.
        Waiting = "waiting",
        /// A task.
        Enqueued = "enqueued",
        /// The task of an earlier event waits on, and has the payload of this event now.
        Debounced = "debounced",
        /// Nothing: a task was made of an earlier event within `throttle`.
        Throttled = "throttled",
        /// Nothing: an unfinished task has the unique key already.
        AlreadyThere = "already_there",
        /// Nothing: the condition does not hold.
        NotMet = "not_met",
        /// Nothing: no task can be made of it.
        Refused = "refused",
        /// Nothing: no node has the trigger any more.
        Removed = "removed",
    }
}

words! {
    /// Where a schedule is defined.
    Origin {
        /// In a `[task.NAME]` table of the configuration.
        Config = "config",
        /// In its row of the database.
        Database = "database",
    }
}

words! {
    /// What a node reports about itself.
    NodeState {
        /// It claims tasks.
        Running = "running",
        /// It finishes its running tasks and claims none.
        Draining = "draining",
        /// It claims nothing until an operator ends quiet mode.
        Quiet = "quiet",
    }
}

words! {
    /// What kind of thing a problem is of.
    ProblemKind {
        /// Attempts of a task fail.
        Task = "task",
        /// A schedule did not run.
        Schedule = "schedule",
        /// A node is gone.
        Node = "node",
        /// A queue stands still.
        Queue = "queue",
        /// A daemon module fails again and again.
        Module = "module",
        /// The database was away.
        Database = "database",
        /// A file system of a node is nearly full.
        Disk = "disk",
        /// A node has refused a newer configuration.
        Configuration = "configuration",
        /// No task can be made of events of a trigger.
        Trigger = "trigger",
        /// A schedule had no success by the time at which one was expected.
        Overdue = "overdue",
        /// A run of a task takes longer than its `warn_after`.
        LongRun = "long_run",
        /// A run of a task took far longer than usual.
        Slow = "slow",
        /// A run of a task took far less time than usual.
        Quick = "quick",
        /// A run of a task wrote far less than usual.
        Silent = "silent",
        /// A run of a task began far later after its instant than usual.
        Delayed = "delayed",
    }
}

words! {
    /// What was unusual about a run that succeeded.
    Unusual {
        /// It took far longer than usual.
        Slow = "slow",
        /// It took far less time than usual.
        Quick = "quick",
        /// It wrote far less than usual.
        Silent = "silent",
        /// It began far later after its instant than usual.
        Delayed = "delayed",
    }
}

words! {
    /// State of a problem.
    ProblemState {
        /// It lasts.
        Open = "open",
        /// It lasts, and an operator has taken note of it.
        Acknowledged = "acknowledged",
        /// It lasts, and an operator has silenced it until an instant.
        Muted = "muted",
        /// It is over.
        Closed = "closed",
    }
}

words! {
    /// What a notice says of a problem.
    NoticeAbout {
        /// It is new.
        Opened = "opened",
        /// It lasts.
        Reminder = "reminder",
        /// It is over.
        Recovered = "recovered",
        /// There are more problems than notices within an hour.
        More = "more",
        /// What a channel gathers: what began, lasts and ended since its last digest.
        Digest = "digest",
        /// It lasts, and nobody has taken note of it.
        Escalated = "escalated",
        /// Nothing: an operator tries the channel.
        Test = "test",
        /// What an attempt has printed.
        Output = "output",
    }
}

words! {
    /// What became of a notice.
    NoticeState {
        /// It is to be sent.
        Waiting = "waiting",
        /// It was sent.
        Sent = "sent",
        /// It could not be sent for a day.
        GivenUp = "given_up",
        /// Its channel had enough notices for an hour, or gathers them for a digest. A later notice names it.
        Held = "held",
        /// A notice about several problems has named it.
        Merged = "merged",
    }
}
