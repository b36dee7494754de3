//! Whom to tell of which problems, as the configuration says it.

use sexton_entities::{problem, states::ProblemKind};

/// What a notice may be sent for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeEvent {
    /// An attempt failed, whether or not its task is tried again.
    Failed,
    /// A task failed for good.
    Discarded,
    /// A schedule did not run.
    Missed,
    /// A queue stands still.
    Stalled,
    /// A node is gone.
    Node,
    /// A daemon module fails again and again.
    Module,
    /// The database was away.
    Database,
    /// A schedule had no success in time.
    Overdue,
    /// A run takes longer than its `warn_after`.
    LongRun,
    /// A run took far longer than usual.
    Slow,
    /// A run took far less time than usual.
    Quick,
    /// A run wrote far less than usual.
    Silent,
    /// A run began far later than usual.
    Delayed,
    /// A problem is over.
    Recovered,
}

impl NoticeEvent {
    /// The words of the setting `notify_on`.
    pub const WORDS: [(&str, Self); 14] = [
        ("failed", Self::Failed),
        ("discarded", Self::Discarded),
        ("missed", Self::Missed),
        ("stalled", Self::Stalled),
        ("node", Self::Node),
        ("module", Self::Module),
        ("database", Self::Database),
        ("overdue", Self::Overdue),
        ("long_run", Self::LongRun),
        ("slow", Self::Slow),
        ("quick", Self::Quick),
        ("silent", Self::Silent),
        ("delayed", Self::Delayed),
        ("recovered", Self::Recovered),
    ];
    /// The events of a configuration that names none: a task that is tried again is not worth a mail, and neither is an
    /// unusual run.
    pub const DEFAULT: [Self; 9] = [
        Self::Discarded,
        Self::Missed,
        Self::Stalled,
        Self::Node,
        Self::Module,
        Self::Database,
        Self::Overdue,
        Self::LongRun,
        Self::Recovered,
    ];

    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(_, event)| *event == self).map_or("", |(word, _)| word)
    }
}

/// Whom to tell of problems, as one table of the configuration has it. What it leaves open is in the table above it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoticeRule {
    /// The channels.
    pub channels: Option<Vec<String>>,
    /// What they hear of.
    pub on: Option<Vec<NoticeEvent>>,
    /// How often a task must have failed.
    pub after: Option<u32>,
}

impl NoticeRule {
    /// The rule with what it leaves open taken from another one.
    #[must_use]
    pub fn or(self, other: &Self) -> Self {
        Self {
            channels: self.channels.or_else(|| other.channels.clone()),
            on: self.on.or_else(|| other.on.clone()),
            after: self.after.or(other.after),
        }
    }

    pub(super) fn tells(&self, event: NoticeEvent) -> bool {
        self.on.as_deref().unwrap_or(&NoticeEvent::DEFAULT).contains(&event)
    }

    /// Whether the problem is one to hear of, and has occurred often enough.
    pub(super) fn concerns(&self, problem: &problem::Model) -> bool {
        let after = i64::from(self.after.unwrap_or(1));
        match problem.kind {
            ProblemKind::Task if self.tells(NoticeEvent::Failed) => problem.times >= after,
            ProblemKind::Task => self.tells(NoticeEvent::Discarded) && problem.discarded >= after,
            kind => self.wants(kind),
        }
    }

    /// Whether problems of this kind are to hear of.
    pub(crate) fn wants(&self, kind: ProblemKind) -> bool {
        let event = match kind {
            ProblemKind::Task => return self.tells(NoticeEvent::Failed) || self.tells(NoticeEvent::Discarded),
            ProblemKind::Schedule => NoticeEvent::Missed,
            ProblemKind::Queue => NoticeEvent::Stalled,
            ProblemKind::Node => NoticeEvent::Node,
            ProblemKind::Module => NoticeEvent::Module,
            ProblemKind::Database => NoticeEvent::Database,
            ProblemKind::Overdue => NoticeEvent::Overdue,
            ProblemKind::LongRun => NoticeEvent::LongRun,
            ProblemKind::Slow => NoticeEvent::Slow,
            ProblemKind::Quick => NoticeEvent::Quick,
            ProblemKind::Silent => NoticeEvent::Silent,
            ProblemKind::Delayed => NoticeEvent::Delayed,
        };
        self.tells(event)
    }
}
