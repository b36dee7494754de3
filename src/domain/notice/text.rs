//! The words of a notice, in lines of at most 72 columns. What comes from outside cannot control a terminal or a header.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use sexton_entities::states::{NoticeAbout, ProblemKind};

use super::Facts;
use crate::domain::{
    problem,
    text::{
        clean, duration,
        plural::times,
        wrap::{elided, wrapped},
    },
};

/// The width of a line.
pub const WIDTH: usize = 72;
/// The width of the first column.
const LABEL: usize = 13;
/// Maximum width of a subject.
const SUBJECT: usize = 120;
/// Maximum number of lines of an error.
const MAX_WHAT: usize = 12;

/// The subject, on one line.
pub fn subject(about: NoticeAbout, facts: &Facts) -> String {
    let of = thing(facts);
    let text = match about {
        NoticeAbout::Test => format!("[sexton] TEST of channel {}", facts.name),
        NoticeAbout::More => format!("[sexton] and {} more", facts.more_count),
        NoticeAbout::Recovered => format!("[sexton] RECOVERED: {of}"),
        NoticeAbout::Reminder => format!("[sexton] STILL OPEN: {of}: {}", facts.what),
        NoticeAbout::Opened if facts.closed_at.is_some() => format!("[sexton] PROBLEM, now over: {of}: {}", facts.what),
        NoticeAbout::Opened => format!("[sexton] PROBLEM: {of}: {}", facts.what),
    };
    elided(&clean::one_line(&text), SUBJECT)
}

/// The body: plain text.
pub fn body(about: NoticeAbout, facts: &Facts, zone: Tz) -> String {
    let mut page = NoticeBody { lines: Vec::new(), zone };
    match about {
        NoticeAbout::Test => {
            page.sentence(&format!("This is a test of the channel {}. Nothing is wrong.", facts.name));
            page.sentence("It was sent by `sexton notify test`.");
        }
        NoticeAbout::More => {
            page.sentence(&format!(
                "There were more notices than this channel takes within an hour. It left out {}:",
                facts.more_count
            ));
            page.lines.push(String::new());
            facts.more.iter().for_each(|line| page.quote("- ", line));
            if let more @ 1.. = facts.more_count.saturating_sub(facts.more.len()) {
                page.quote("- ", &format!("and {more} more"));
            }
            page.commands("To look further:", &["sexton problem list --all".to_owned()]);
        }
        NoticeAbout::Recovered => {
            page.sentence(&headline(about, facts));
            page.times(facts);
            page.further(facts);
        }
        NoticeAbout::Opened | NoticeAbout::Reminder => page.problem(about, facts),
    }
    page.lines.join("\n") + "\n"
}

/// `task import`.
fn thing(facts: &Facts) -> String {
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
        Some(ProblemKind::Task) | None => format!("Task {name} failed{node}."),
    };
    match (about, facts.closed_at) {
        (_, Some(_)) => format!("{what} That is over by now."),
        (NoticeAbout::Reminder, None) => format!("{what} The problem lasts."),
        _ => what,
    }
}

struct NoticeBody {
    lines: Vec<String>,
    zone: Tz,
}

impl NoticeBody {
    fn problem(&mut self, about: NoticeAbout, facts: &Facts) {
        self.sentence(&headline(about, facts));
        self.lines.push(String::new());
        self.field("What", Some(&facts.what), MAX_WHAT);
        self.times(facts);
        let outcome = facts.outcome.map(|outcome| outcome.to_string());
        self.field("Ended as", outcome.as_ref(), 1);
        self.field("Exit code", facts.exit_code.map(|code| code.to_string()).as_ref(), 1);
        self.field("Node", facts.node.as_ref(), 1);
        self.field("Queue", facts.queue.as_ref(), 1);
        self.field("Schedule", facts.schedule.as_ref(), 1);
        let next = facts.next_at.map(|at| self.time(at));
        if facts.kind == Some(ProblemKind::Task) && facts.closed_at.is_none() {
            self.field("Next", Some(next.as_ref().unwrap_or(&"no further attempt".to_owned())), 1);
        } else {
            self.field("Next", next.as_ref(), 1);
        }
        for (name, lines) in [("output", &facts.stdout), ("error", &facts.stderr)] {
            if !lines.is_empty() {
                self.lines.extend([String::new(), format!("Last lines of the standard {name}:")]);
                lines.iter().for_each(|line| self.quote("  ", line));
            }
        }
        self.further(facts);
    }

    fn times(&mut self, facts: &Facts) {
        let [opened, seen, closed] =
            [facts.opened_at, facts.seen_at, facts.closed_at].map(|at| at.map(|at| self.time(at)));
        self.field("Since", opened.as_ref(), 1);
        self.field("Last", seen.as_ref(), 1);
        self.field("Over", closed.as_ref(), 1);
        if let (Some(from), Some(to)) = (facts.opened_at, facts.closed_at) {
            let length = (to - from).to_std().map(duration::text).unwrap_or_default();
            self.field("Lasted", Some(&length), 1);
        }
        let discarded = match facts.discarded {
            0 => String::new(),
            count => format!(", {count} of them for good"),
        };
        self.field("Occurred", Some(&format!("{}{discarded}", times(facts.times.unsigned_abs()))), 1);
    }

    fn further(&mut self, facts: &Facts) {
        let Some(id) = facts.problem else { return };
        let mut look = vec![format!("sexton problem show {id}")];
        if let Some(task) = facts.task_id {
            look.extend([format!("sexton task show {task}"), format!("sexton task log {task}")]);
        }
        self.commands("To look further:", &look);
        if facts.closed_at.is_none() {
            let silence = [format!("sexton problem ack {id}"), format!("sexton problem mute {id} --for 2h")];
            self.commands("To silence it:", &silence);
        }
    }

    fn commands(&mut self, title: &str, commands: &[String]) {
        self.lines.extend([String::new(), title.to_owned()]);
        self.lines.extend(commands.iter().map(|command| format!("  {command}")));
    }

    fn sentence(&mut self, text: &str) {
        self.lines.extend(wrapped(&clean::one_line(text), WIDTH));
    }

    fn field(&mut self, label: &str, value: Option<&String>, most: usize) {
        let Some(value) = value else { return };
        for (number, line) in wrapped(&clean::one_line(value), WIDTH - LABEL).into_iter().take(most).enumerate() {
            let label = if number == 0 { format!("{label}:") } else { String::new() };
            self.lines.push(format!("{label:<LABEL$}{line}"));
        }
    }

    fn quote(&mut self, before: &str, line: &str) {
        self.lines.push(format!("{before}{}", elided(&clean::one_line(line), WIDTH - before.len())));
    }

    fn time(&self, at: DateTime<Utc>) -> String {
        at.with_timezone(&self.zone).format("%Y-%m-%d %H:%M:%S %Z").to_string()
    }
}

#[cfg(test)]
mod tests {
    use sexton_entities::states::{Outcome, ProblemState};

    use super::{
        super::tests::{at, problem},
        *,
    };
    use crate::domain::text::wrap::width;

    #[test]
    fn a_new_problem_says_everything() {
        let facts = Facts {
            times: 37,
            discarded: 37,
            stderr: vec!["\u{1b}[2Jno disk".to_owned(), "x".repeat(200)],
            ..Facts::of(&problem())
        };
        assert_eq!(subject(NoticeAbout::Opened, &facts), "[sexton] PROBLEM: task import: exit code 3: no disk");
        let expected = format!(
            "\
Task import failed on node shop01-1.

What:        exit code 3: no disk
Since:       2026-11-22 05:00:00 CET
Last:        2026-11-22 05:00:00 CET
Occurred:    37 times, 37 of them for good
Ended as:    failed
Exit code:   3
Node:        shop01-1
Queue:       default
Next:        no further attempt

Last lines of the standard error:
  \\u{{1b}}[2Jno disk
  {}…

To look further:
  sexton problem show 17
  sexton task show 4711
  sexton task log 4711

To silence it:
  sexton problem ack 17
  sexton problem mute 17 --for 2h
",
            "x".repeat(69)
        );
        assert_eq!(body(NoticeAbout::Opened, &facts, Tz::Europe__Berlin), expected);
    }

    #[test]
    fn the_end_says_how_long_and_how_often() {
        let over = sexton_entities::problem::Model {
            state: ProblemState::Closed,
            closed_at: Some(at(3_725)),
            times: 12,
            ..problem()
        };
        let facts = Facts::of(&over);
        assert_eq!(subject(NoticeAbout::Recovered, &facts), "[sexton] RECOVERED: task import");
        let text = body(NoticeAbout::Recovered, &facts, Tz::UTC);
        for line in [
            "The problem with task import is over.",
            "Lasted:      1h 2m 5s",
            "Occurred:    12 times, 1 of them for good",
        ] {
            assert!(text.lines().any(|found| found == line), "{text}");
        }
        assert!(!text.contains("To silence it"));
        let told_late = subject(NoticeAbout::Opened, &facts);
        assert_eq!(told_late, "[sexton] PROBLEM, now over: task import: exit code 3: no disk");
    }

    #[test]
    fn a_schedule_that_is_overdue_is_named() {
        let facts = Facts {
            kind: Some(ProblemKind::Overdue),
            name: "nightly".to_owned(),
            what: "no run has succeeded since 2026-11-20T02:00:00Z; a success was expected by 2026-11-21T04:00:00Z"
                .to_owned(),
            outcome: None,
            exit_code: None,
            node: None,
            task_id: None,
            times: 1,
            schedule: Some("nightly".to_owned()),
            ..Facts::of(&problem())
        };
        let line = subject(NoticeAbout::Opened, &facts);
        assert!(line.starts_with("[sexton] PROBLEM: overdue schedule nightly: no run has succeeded since"), "{line}");
        let text = body(NoticeAbout::Opened, &facts, Tz::UTC);
        assert!(text.starts_with("Schedule nightly is overdue.\n\nWhat:        no run has succeeded since"), "{text}");
        for (kind, expected) in [
            (ProblemKind::LongRun, "A run of task nightly takes long."),
            (ProblemKind::Slow, "A run of task nightly was unusually slow."),
            (ProblemKind::Delayed, "A run of task nightly was unusually delayed."),
        ] {
            let text = body(NoticeAbout::Opened, &Facts { kind: Some(kind), ..facts.clone() }, Tz::UTC);
            assert_eq!(text.lines().next(), Some(expected));
        }
        for kind in ProblemKind::ALL {
            let text = body(NoticeAbout::Reminder, &Facts { kind: Some(*kind), ..facts.clone() }, Tz::UTC);
            assert!(text.lines().all(|line| width(line) <= WIDTH), "{text}");
        }
    }

    #[test]
    fn no_text_injects_a_header_and_no_line_is_too_wide() {
        let hostile = Facts {
            name: "a\r\nBcc: all@example.org".to_owned(),
            what: format!("{} \r\nX: y {}", "word ".repeat(300), "ö".repeat(300)),
            outcome: Some(Outcome::Crashed),
            stdout: vec!["tab\there\u{202e}".to_owned()],
            more: vec!["z".repeat(300)],
            more_count: 37,
            ..Facts::of(&problem())
        };
        for about in NoticeAbout::ALL {
            let line = subject(*about, &hostile);
            assert!(!line.contains(['\r', '\n']) && width(&line) <= SUBJECT, "{line}");
            let text = body(*about, &hostile, Tz::UTC);
            assert!(text.lines().all(|line| width(line) <= WIDTH), "{text}");
            assert!(!text.contains(['\r', '\u{202e}', '\t']), "{text}");
        }
        assert!(body(NoticeAbout::More, &hostile, Tz::UTC).contains("- and 36 more"));
    }
}
