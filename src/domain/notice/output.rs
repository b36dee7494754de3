//! The output of attempts, by mail: the plain old way of cron.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use sexton_entities::states::Outcome;

use super::{Facts, block::Block, rule::MailOutput};
use crate::domain::{
    task::FinishedAttempt,
    text::{clean, wrap::elided},
};

/// Maximum number of bytes of a stream in one mail.
const MAX_STREAM: usize = 64 << 10;
/// Maximum width of a line: a mail must not have lines of any length.
const MAX_LINE: usize = 500;

/// Whether the output of an attempt is mailed. As with cron, a success without output is not. What was cancelled,
/// interrupted or snoozed has not ended by itself.
pub fn is_wanted(output: MailOutput, attempt: &FinishedAttempt) -> bool {
    let is_failure = matches!(attempt.outcome, Outcome::Failed | Outcome::TimedOut | Outcome::Crashed);
    let is_silent = attempt.report.stdout.text.is_empty() && attempt.report.stderr.text.is_empty();
    match output {
        MailOutput::Always => is_failure || (attempt.outcome == Outcome::Succeeded && !is_silent),
        MailOutput::OnFailure => is_failure,
        MailOutput::Never => false,
    }
}

/// What is known of an attempt that has ended. `command` is what it has executed.
pub fn facts(attempt: &FinishedAttempt, command: Option<String>) -> Facts {
    let task = attempt.claim.task_id;
    Facts {
        name: attempt.name.clone(),
        outcome: Some(attempt.outcome),
        what: attempt.error.clone().unwrap_or_default(),
        times: 1,
        opened_at: Some(attempt.started_at),
        seen_at: Some(attempt.finished_at),
        schedule: attempt.schedule.clone(),
        queue: Some(attempt.queue.to_string()),
        node: Some(attempt.node.to_string()),
        task_id: Some(task),
        exit_code: attempt.report.exit_code,
        stdout: bounded(&attempt.report.stdout.text, task),
        stderr: bounded(&attempt.report.stderr.text, task),
        command,
        ..Facts::default()
    }
}

/// The last lines of a stream that fit into a mail. The first line says how many are missing.
fn bounded(text: &str, task: i64) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut bytes = 0;
    let fits = |line: &&&str| {
        bytes += line.len().min(MAX_LINE) + 1;
        bytes <= MAX_STREAM
    };
    let count = lines.iter().rev().take_while(fits).count();
    let missing = lines.len() - count;
    let note = (missing > 0).then(|| format!("({missing} earlier lines: sexton task log {task})"));
    let shown = lines[missing..].iter().map(|line| line.chars().take(MAX_LINE).collect());
    note.into_iter().chain(shown).collect()
}

/// The subject: which task, where, how it ended, and its command.
pub(super) fn subject(facts: &Facts) -> String {
    let node = facts.node.as_ref().map(|node| format!(" on {node}")).unwrap_or_default();
    let end = match (facts.outcome, facts.exit_code) {
        (Some(Outcome::Succeeded) | None, _) => String::new(),
        (Some(outcome), Some(code)) if code != 0 => format!(" ({outcome}, exit code {code})"),
        (Some(outcome), _) => format!(" ({outcome})"),
    };
    let command = facts.command.as_ref().map(|command| format!(": {command}")).unwrap_or_default();
    format!("[sexton] Output of {}{node}{end}{command}", facts.name)
}

/// The body: what ran, and both streams. Control characters are shown, tabs remain.
pub(super) fn page(facts: &Facts, zone: Tz) -> Vec<Block> {
    let end = match facts.outcome {
        Some(Outcome::Succeeded) | None => "has succeeded".to_owned(),
        Some(outcome) => format!("has not succeeded ({outcome})"),
    };
    let time = |at: DateTime<Utc>| at.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S %Z").to_string();
    let fields = [
        ("Command", facts.command.clone()),
        ("Error", Some(facts.what.clone()).filter(|what| !what.is_empty())),
        ("Exit code", facts.exit_code.map(|code| code.to_string())),
        ("Node", facts.node.clone()),
        ("Began", facts.opened_at.map(time)),
        ("Ended", facts.seen_at.map(time)),
        ("Attempt", facts.task_id.map(|task| format!("sexton task show {task}"))),
    ];
    let fields = fields.into_iter().filter_map(|(label, value)| Some((label, clean::one_line(&value?)))).collect();
    let sentence = clean::one_line(&format!("Task {} {end}.", facts.name));
    let mut blocks = vec![Block::Sentence(sentence), Block::Fields(fields)];
    for (name, stream) in [("output", &facts.stdout), ("error", &facts.stderr)] {
        if !stream.is_empty() {
            let lines = stream.iter().map(|line| elided(&clean::lines(line), MAX_LINE)).collect();
            blocks.push(Block::Stream(format!("Standard {name}:"), lines));
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use sexton_entities::states::NoticeAbout;

    use super::*;
    use crate::domain::{notice::text::body, task::ClaimedTask};

    fn attempt(outcome: Outcome, stdout: &str, stderr: &str) -> FinishedAttempt {
        let at: DateTime<Utc> = "2026-11-22T04:00:00Z".parse().expect("an instant");
        let task = ClaimedTask { name: "backup".to_owned(), started_at: at, ..ClaimedTask::sample(4711) };
        let end = task.interrupted(&"shop01-1".into(), None, "exit code 3", at, std::time::Duration::from_secs(2));
        let mut attempt = FinishedAttempt { outcome, ..end };
        attempt.report.stdout.text = stdout.to_owned();
        attempt.report.stderr.text = stderr.to_owned();
        if outcome == Outcome::Succeeded {
            attempt.error = None;
        } else {
            attempt.report.exit_code = Some(3);
        }
        attempt
    }

    #[test]
    fn only_what_was_asked_for_is_mailed() {
        let (good, silent) = (attempt(Outcome::Succeeded, "done\n", ""), attempt(Outcome::Succeeded, "", ""));
        let (bad, cancelled) = (attempt(Outcome::Failed, "", ""), attempt(Outcome::Cancelled, "half\n", ""));
        let all = [&good, &silent, &bad, &cancelled];
        assert_eq!(all.map(|one| is_wanted(MailOutput::Always, one)), [true, false, true, false]);
        assert_eq!(all.map(|one| is_wanted(MailOutput::OnFailure, one)), [false, false, true, false]);
        assert_eq!(all.map(|one| is_wanted(MailOutput::Never, one)), [false; 4]);
    }

    #[test]
    fn the_mail_has_both_streams_and_shows_control_characters() {
        let facts = facts(
            &attempt(Outcome::Failed, "one\ttab\n\u{1b}[2Jtwo\n", "no disk\n"),
            Some("/bin/backup -a".to_owned()),
        );
        assert_eq!(subject(&facts), "[sexton] Output of backup on shop01-1 (failed, exit code 3): /bin/backup -a");
        let expected = "\
Task backup has not succeeded (failed).

Command:     /bin/backup -a
Error:       exit code 3
Exit code:   3
Node:        shop01-1
Began:       2026-11-22 04:59:58 CET
Ended:       2026-11-22 05:00:00 CET
Attempt:     sexton task show 4711

Standard output:

one\ttab
\\u{1b}[2Jtwo

Standard error:

no disk
";
        assert_eq!(body(NoticeAbout::Output, &facts, Tz::Europe__Berlin), expected);
    }

    #[test]
    fn a_success_is_said_and_a_long_output_loses_its_beginning() {
        let text: String = (0..20_000).map(|number| format!("line {number}\n")).collect();
        let facts = facts(&attempt(Outcome::Succeeded, &text, ""), None);
        assert_eq!(subject(&facts), "[sexton] Output of backup on shop01-1");
        assert_eq!(facts.stdout.last().map(String::as_str), Some("line 19999"));
        assert!(facts.stdout[0].ends_with(" earlier lines: sexton task log 4711)"), "{}", facts.stdout[0]);
        assert!(facts.stdout.iter().map(|line| line.len() + 1).sum::<usize>() < MAX_STREAM + 100);
        assert_eq!(bounded(&"x".repeat(9_000), 1)[0].len(), MAX_LINE);
    }
}
