//! Whom to tell of which problems, as the configuration says it.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sexton_entities::{
    problem,
    states::{ProblemKind, ProblemState},
};

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
    /// A file system is nearly full.
    Disk,
    /// A newer configuration was refused.
    Configuration,
    /// No task can be made of events of a trigger.
    Trigger,
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
    pub const WORDS: [(&str, Self); 17] = [
        ("failed", Self::Failed),
        ("discarded", Self::Discarded),
        ("missed", Self::Missed),
        ("stalled", Self::Stalled),
        ("node", Self::Node),
        ("module", Self::Module),
        ("database", Self::Database),
        ("disk", Self::Disk),
        ("configuration", Self::Configuration),
        ("trigger", Self::Trigger),
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
    pub const DEFAULT: [Self; 12] = [
        Self::Discarded,
        Self::Missed,
        Self::Stalled,
        Self::Node,
        Self::Module,
        Self::Database,
        Self::Disk,
        Self::Configuration,
        Self::Trigger,
        Self::Overdue,
        Self::LongRun,
        Self::Recovered,
    ];

    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(_, event)| *event == self).map_or("", |(word, _)| word)
    }
}

/// Which attempts have their output mailed, as cron does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailOutput {
    /// Those that have printed something, and those that failed.
    Always,
    /// Those that failed.
    OnFailure,
    /// None.
    Never,
}

impl MailOutput {
    /// The words of the setting `mail_output`.
    pub const WORDS: [(&str, Self); 3] =
        [("always", Self::Always), ("on_failure", Self::OnFailure), ("never", Self::Never)];

    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(_, known)| *known == self).map_or("", |(word, _)| word)
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
    /// Which attempts have their output mailed.
    pub output: Option<MailOutput>,
    /// The channels that get the output; without them, the mail channels that hear of problems.
    pub output_to: Option<Vec<String>>,
    /// Who hears of a problem of which nobody takes note.
    pub escalation: Option<Escalation>,
}

/// Who hears of a problem of which nobody takes note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Escalation {
    /// How long a problem lasts before they hear of it.
    pub after: Duration,
    /// The channels.
    pub to: Vec<String>,
}

impl NoticeRule {
    /// The rule with what it leaves open taken from another one.
    #[must_use]
    pub fn or(self, other: &Self) -> Self {
        Self {
            channels: self.channels.or_else(|| other.channels.clone()),
            on: self.on.or_else(|| other.on.clone()),
            after: self.after.or(other.after),
            output: self.output.or(other.output),
            output_to: self.output_to.or_else(|| other.output_to.clone()),
            escalation: self.escalation.or_else(|| other.escalation.clone()),
        }
    }

    /// Whether a second list of channels must hear of the problem now: once in an episode, if it is neither acknowledged nor
    /// muted nor closed.
    pub fn must_escalate(&self, problem: &problem::Model, now: DateTime<Utc>) -> bool {
        let Some(escalation) = self.escalation.as_ref().filter(|escalation| !escalation.to.is_empty()) else {
            return false;
        };
        let is_muted = problem.muted_until.is_some_and(|until| now < until);
        let lasts_long = TimeDelta::from_std(escalation.after).is_ok_and(|after| now >= problem.opened_at + after);
        problem.state == ProblemState::Open
            && problem.escalated_episode != problem.episode
            && lasts_long
            && !is_muted
            && self.concerns(problem)
    }

    pub(super) fn tells(&self, event: NoticeEvent) -> bool {
        self.on.as_deref().unwrap_or(&NoticeEvent::DEFAULT).contains(&event)
    }

    /// Whether the problem is one to hear of, and has occurred often enough.
    pub fn concerns(&self, problem: &problem::Model) -> bool {
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
            ProblemKind::Disk => NoticeEvent::Disk,
            ProblemKind::Configuration => NoticeEvent::Configuration,
            ProblemKind::Trigger => NoticeEvent::Trigger,
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
