//! The words of a notice, in lines of at most 72 columns. What comes from outside cannot control a terminal or a header.

use chrono_tz::Tz;
use sexton_entities::states::NoticeAbout;

use super::{
    Facts,
    block::Block,
    output,
    page::{pages, tally, thing},
};
use crate::domain::text::{
    clean,
    wrap::{elided, wrapped},
};

/// The width of a line.
pub const WIDTH: usize = 72;
/// The width of the first column.
const LABEL: usize = 13;
/// Maximum width of a subject.
const SUBJECT: usize = 120;
/// Maximum number of lines of a value.
const MAX_VALUE: usize = 12;

/// The subject, on one line.
pub fn subject(about: NoticeAbout, facts: &Facts) -> String {
    let of = thing(facts);
    let text = match about {
        NoticeAbout::Output => output::subject(facts),
        NoticeAbout::Test => format!("[sexton] TEST of channel {}", facts.name),
        NoticeAbout::More => format!("[sexton] and {} more", facts.more_count),
        NoticeAbout::Recovered => format!("[sexton] RECOVERED: {of}"),
        NoticeAbout::Digest => format!("[sexton] DIGEST: {}", tally(&facts.listed, facts.more_count)),
        NoticeAbout::Escalated => format!("[sexton] ESCALATED: {of}: {}", facts.what),
        NoticeAbout::Reminder => format!("[sexton] STILL OPEN: {of}: {}", facts.what),
        NoticeAbout::Opened if facts.closed_at.is_some() => format!("[sexton] PROBLEM, now over: {of}: {}", facts.what),
        NoticeAbout::Opened => format!("[sexton] PROBLEM: {of}: {}", facts.what),
    };
    elided(&clean::one_line(&text), SUBJECT)
}

/// The body: plain text.
pub fn body(about: NoticeAbout, facts: &Facts, zone: Tz) -> String {
    let blocks: Vec<String> = pages(about, facts, zone).iter().map(|block| shown(block).join("\n") + "\n").collect();
    blocks.join("\n")
}

/// The lines of one block.
fn shown(block: &Block) -> Vec<String> {
    let (title, lines) = match block {
        Block::Sentence(text) => (None, wrapped(text, WIDTH)),
        Block::Stream(title, lines) => {
            (Some(title), std::iter::once(String::new()).chain(lines.iter().cloned()).collect())
        }
        Block::Fields(fields) => (None, fields.iter().flat_map(|(label, value)| field(label, value)).collect()),
        Block::List(items) => (None, items.iter().map(|item| quote("- ", item)).collect()),
        Block::Quote(title, lines) => (Some(title), lines.iter().map(|line| quote("  ", line)).collect()),
        Block::Commands(title, commands) => (Some(title), commands.iter().map(|line| format!("  {line}")).collect()),
        Block::Problems(title, problems) => {
            let lines = problems.iter().flat_map(|(number, what, how_long)| {
                let before = format!("  {number}  ");
                [quote(&before, what), quote(&" ".repeat(before.len()), how_long)]
            });
            (Some(title), lines.collect())
        }
    };
    title.cloned().into_iter().chain(lines).collect()
}

fn field(label: &str, value: &str) -> Vec<String> {
    let lines = wrapped(value, WIDTH - LABEL).into_iter().take(MAX_VALUE).enumerate();
    lines
        .map(|(number, line)| {
            let label = if number == 0 { format!("{label}:") } else { String::new() };
            format!("{label:<LABEL$}{line}")
        })
        .collect()
}

fn quote(before: &str, line: &str) -> String {
    format!("{before}{}", elided(line, WIDTH - before.len()))
}

#[cfg(test)]
mod tests {
    use sexton_entities::states::{Outcome, ProblemKind, ProblemState};

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
    fn a_digest_lists_what_began_lasts_and_ended() {
        use crate::domain::notice::digest::{ListedProblem, ProblemProgress};
        let over = sexton_entities::problem::Model {
            id: 9,
            state: ProblemState::Closed,
            closed_at: Some(at(3_725)),
            times: 12,
            ..problem()
        };
        let facts = Facts {
            listed: vec![
                ListedProblem::new(ProblemProgress::New, &problem()),
                ListedProblem::new(ProblemProgress::Over, &over),
            ],
            more_count: 3,
            ..Facts::default()
        };
        assert_eq!(subject(NoticeAbout::Digest, &facts), "[sexton] DIGEST: 1 new, 1 over, 3 more");
        let expected = "\
Problems since the last digest: 1 new, 1 over, 3 more.

New:
  17  task import: exit code 3: no disk
      once, since 2026-11-22 04:00:00 UTC

Over:
  9  task import: exit code 3: no disk
     12 times, lasted 1h 2m 5s, over since 2026-11-22 05:02:05 UTC

This list leaves out 3 problems.

To look further:
  sexton problem list --all
  sexton problem show NUMBER
";
        assert_eq!(body(NoticeAbout::Digest, &facts, Tz::UTC), expected);
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
            // What a task has printed keeps its lines and tabs.
            let is_output = *about == NoticeAbout::Output;
            assert!(is_output || text.lines().all(|line| width(line) <= WIDTH), "{text}");
            assert!(!text.contains(['\r', '\u{202e}']) && (is_output || !text.contains('\t')), "{text}");
        }
        assert!(body(NoticeAbout::More, &hostile, Tz::UTC).contains("- and 36 more"));
    }
}
