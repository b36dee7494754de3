//! What a notice says, in blocks. How they look is a matter of `text.rs` and `html.rs`.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use sexton_entities::states::{NoticeAbout, ProblemKind};

use super::{Facts, ListedProblem, block::Block, digest::ProblemProgress, length, output, time};
use crate::domain::{
    problem,
    text::{
        clean,
        plural::{counted, times},
    },
};

/// All that a notice says.
pub(super) fn pages(about: NoticeAbout, facts: &Facts, zone: Tz) -> Vec<Block> {
    let page = NoticePage { facts, zone };
    match about {
        NoticeAbout::Test => vec![sentence(&format!(
            "This is a test of the channel {}. Nothing is wrong. It was sent by `sexton notify test`.",
            facts.name
        ))],
        NoticeAbout::Output => output::page(facts, zone),
        NoticeAbout::More => page.more(),
        NoticeAbout::Digest => page.digest(),
        NoticeAbout::Recovered => {
            let mut blocks = vec![sentence(&headline(about, facts)), Block::Fields(page.times())];
            blocks.extend(page.further());
            blocks
        }
        NoticeAbout::Opened | NoticeAbout::Reminder | NoticeAbout::Escalated => page.problem(about),
    }
}

/// `task import`.
pub(super) fn thing(facts: &Facts) -> String {
    facts.kind.map_or_else(|| facts.name.clone(), |kind| problem::thing(kind, &facts.name))
}

fn headline(about: NoticeAbout, facts: &Facts) -> String {
    let name = &facts.name;
    let node = facts.node.as_ref().map(|node| format!(" on node {node}")).unwrap_or_default();
    if about == NoticeAbout::Recovered {
        return format!("The problem with {} is over.", thing(facts));
    }
    let what = match facts.kind {
        Some(ProblemKind::Schedule) => format!("Schedule {name} did not run."),
        Some(ProblemKind::Node) => format!("Node {name} is gone."),
        Some(ProblemKind::Queue) => format!("Queue {name} stands still."),
        Some(ProblemKind::Module) => format!("Daemon module {name} fails again and again."),
        Some(ProblemKind::Database) => format!("The database was away, as seen by {name}."),
        Some(ProblemKind::Overdue) => format!("Schedule {name} is overdue."),
        Some(kind @ (ProblemKind::Slow | ProblemKind::Quick | ProblemKind::Silent | ProblemKind::Delayed)) => {
            format!("A run of task {name} was unusually {kind}{node}.")
        }
        Some(ProblemKind::LongRun) => format!("A run of task {name} takes long{node}."),
        Some(ProblemKind::Disk) => format!("There is little room on the disk of {name}."),
        Some(ProblemKind::Configuration) => format!("Node {name} refuses its new configuration."),
        Some(ProblemKind::Trigger) => format!("No task can be made of an event of trigger {name}."),
        Some(ProblemKind::Task) | None => format!("Task {name} failed{node}."),
    };
    match (about, facts.closed_at) {
        (_, Some(_)) => format!("{what} That is over by now."),
        (NoticeAbout::Reminder, None) => format!("{what} The problem lasts."),
        (NoticeAbout::Escalated, None) => format!("{what} The problem lasts, and nobody has acknowledged it."),
        _ => what,
    }
}

/// `2 new, 1 still open, 3 over`.
pub(super) fn tally(listed: &[ListedProblem], more: usize) -> String {
    let count = |progress| listed.iter().filter(|problem| problem.progress == progress).count();
    let counts =
        [(ProblemProgress::New, "new"), (ProblemProgress::Lasting, "still open"), (ProblemProgress::Over, "over")];
    let counts = counts.map(|(progress, word)| (count(progress), word)).into_iter().chain([(more, "more")]);
    let parts: Vec<String> =
        counts.filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    parts.join(", ")
}

fn sentence(text: &str) -> Block {
    Block::Sentence(clean::one_line(text))
}

fn commands<S: ToString>(title: &str, commands: impl IntoIterator<Item = S>) -> Block {
    Block::Commands(title.to_owned(), commands.into_iter().map(|command| command.to_string()).collect())
}

struct NoticePage<'a> {
    facts: &'a Facts,
    zone: Tz,
}

impl NoticePage<'_> {
    fn problem(&self, about: NoticeAbout) -> Vec<Block> {
        let facts = self.facts;
        let mut fields = vec![("What", clean::one_line(&facts.what))];
        fields.extend(self.times());
        let next = facts.next_at.map(|at| self.time(at));
        let is_over = facts.kind == Some(ProblemKind::Task) && facts.closed_at.is_none();
        let further = [
            ("Ended as", facts.outcome.map(|outcome| outcome.to_string())),
            ("Exit code", facts.exit_code.map(|code| code.to_string())),
            ("Node", facts.node.clone()),
            ("Queue", facts.queue.clone()),
            ("Schedule", facts.schedule.clone()),
            ("Next", next.or_else(|| is_over.then(|| "no further attempt".to_owned()))),
        ];
        fields.extend(further.into_iter().filter_map(|(label, value)| Some((label, clean::one_line(&value?)))));
        let mut blocks = vec![sentence(&headline(about, facts)), Block::Fields(fields)];
        for (name, lines) in [("output", &facts.stdout), ("error", &facts.stderr)] {
            if !lines.is_empty() {
                let title = format!("Last lines of the standard {name}:");
                blocks.push(Block::Quote(title, lines.iter().map(|line| clean::one_line(line)).collect()));
            }
        }
        blocks.extend(self.further());
        blocks
    }

    fn more(&self) -> Vec<Block> {
        let facts = self.facts;
        let mut items: Vec<String> = facts.more.iter().map(|line| clean::one_line(line)).collect();
        if let more @ 1.. = facts.more_count.saturating_sub(facts.more.len()) {
            items.push(format!("and {more} more"));
        }
        let left_out = format!(
            "There were more notices than this channel takes within an hour. It left out {}:",
            facts.more_count
        );
        vec![sentence(&left_out), Block::List(items), commands("To look further:", ["sexton problem list --all"])]
    }

    fn digest(&self) -> Vec<Block> {
        let (listed, more) = (&self.facts.listed, self.facts.more_count);
        let tally = tally(listed, more);
        let mut blocks = vec![sentence(&format!("Problems since the last digest: {tally}."))];
        for (progress, title) in [
            (ProblemProgress::New, "New:"),
            (ProblemProgress::Lasting, "Still open:"),
            (ProblemProgress::Over, "Over:"),
        ] {
            let problems: Vec<_> = listed.iter().filter(|problem| problem.progress == progress).collect();
            if !problems.is_empty() {
                let problems = problems.into_iter().map(|problem| self.listed(problem)).collect();
                blocks.push(Block::Problems(title.to_owned(), problems));
            }
        }
        if more > 0 {
            blocks.push(sentence(&format!("This list leaves out {}.", counted(more, "problem"))));
        }
        blocks.push(commands("To look further:", ["sexton problem list --all", "sexton problem show NUMBER"]));
        blocks
    }

    fn listed(&self, of: &ListedProblem) -> (i64, String, String) {
        let how_long = match of.closed_at {
            Some(at) => {
                format!("lasted {}, over since {}", length(of.opened_at, at), self.time(at))
            }
            None => format!("since {}", self.time(of.opened_at)),
        };
        let what = clean::one_line(&format!("{}: {}", problem::thing(of.kind, &of.name), of.what));
        (of.problem, what, format!("{}, {how_long}", times(of.times.unsigned_abs())))
    }

    fn times(&self) -> Vec<(&'static str, String)> {
        let facts = self.facts;
        let instants = [("Since", facts.opened_at), ("Last", facts.seen_at), ("Over", facts.closed_at)];
        let mut fields: Vec<_> = instants.into_iter().filter_map(|(label, at)| Some((label, self.time(at?)))).collect();
        if let (Some(from), Some(to)) = (facts.opened_at, facts.closed_at) {
            fields.push(("Lasted", length(from, to)));
        }
        let discarded = match facts.discarded {
            0 => String::new(),
            1 if facts.times == 1 => ", for good".to_owned(),
            count => format!(", {count} of them for good"),
        };
        fields.push(("Occurred", format!("{}{discarded}", times(facts.times.unsigned_abs()))));
        fields
    }

    fn further(&self) -> Vec<Block> {
        let Some(id) = self.facts.problem else { return Vec::new() };
        let mut look = vec![format!("sexton problem show {id}")];
        if let Some(task) = self.facts.task_id {
            look.extend([format!("sexton task show {task}"), format!("sexton task log {task}")]);
        }
        let mut blocks = vec![commands("To look further:", look)];
        if self.facts.closed_at.is_none() {
            let silence = [format!("sexton problem ack {id}"), format!("sexton problem mute {id} --for 2h")];
            blocks.push(commands("To silence it:", silence));
        }
        blocks
    }

    fn time(&self, at: DateTime<Utc>) -> String {
        time(at, self.zone)
    }
}
