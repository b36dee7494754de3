//! Every word that is stored in a column, as an enum whose names are the stored text in snake case.

use std::fmt;

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

/// Declares an enum that is stored as its snake-case words, and displays as them.
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

            /// Every word of this kind, in the order of their meaning.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The variant of a stored word.
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

words! {
    /// Where an unfinished task stands.
    TaskState {
        /// Its time has not come.
        Scheduled = "scheduled",
        /// It waits for a free worker.
        Available = "available",
        /// A node has claimed it.
        Running = "running",
        /// It failed and waits for its next attempt.
        Retryable = "retryable",
    }
}

words! {
    /// How an attempt ended: what happened.
    Outcome {
        /// The handler said that the work is done.
        Succeeded = "succeeded",
        /// The handler said, or the exit code says, that it is not.
        Failed = "failed",
        /// The time limit was reached, and the attempt was stopped.
        TimedOut = "timed_out",
        /// The handler panicked, or the command died of a signal that was not ours.
        Crashed = "crashed",
        /// Somebody cancelled the task.
        Cancelled = "cancelled",
        /// The daemon stopped, died, or lost its lease under the attempt.
        Interrupted = "interrupted",
        /// The attempt ended after its task had been given to another: its result did not count.
        Superseded = "superseded",
        /// An occurrence of a schedule that was deliberately not started.
        Skipped = "skipped",
    }
}

words! {
    /// What became of the task: the decision drawn from the outcome.
    Verdict {
        /// Done.
        Completed = "completed",
        /// Another attempt follows.
        Retry = "retry",
        /// Given up.
        Discarded = "discarded",
        /// Ended on request.
        Cancelled = "cancelled",
        /// Given back; the attempt does not count.
        Released = "released",
    }
}

words! {
    /// What became of one expected instant of a schedule.
    Fate {
        /// A task was enqueued on time.
        Fired = "fired",
        /// A task was enqueued, but well after its time.
        Late = "late",
        /// Missed together with a later one, which ran in its place.
        Coalesced = "coalesced",
        /// Not started on purpose; the reason is beside it.
        Skipped = "skipped",
    }
}

words! {
    /// Who wrote a schedule.
    Origin {
        /// A `[task.NAME]` table of the configuration.
        Config = "config",
        /// A row written by the application.
        Database = "database",
    }
}

words! {
    /// What a node says of itself.
    NodeState {
        /// It claims tasks.
        Running = "running",
        /// It finishes what runs and claims nothing.
        Draining = "draining",
        /// It was told to claim nothing for now.
        Quiet = "quiet",
    }
}
