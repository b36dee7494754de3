//! `docs/LIFECYCLE.md` against the code: every stored word, and the verdict of every outcome under every condition.
//!
//! The page has two conventions. In a diagram, square brackets enclose the words of its section, and parentheses
//! enclose words of another section. A table begins with the exact header that is given here.

use std::{collections::BTreeSet, fmt::Display, time::Duration};

use sexton::{
    RetryPolicy,
    domain::task::verdict::{Judgement, Wish, judge},
};
use sexton_entities::states::{Fate, NodeState, Outcome, TaskState, Verdict};

const PAGE: &str = include_str!("../docs/LIFECYCLE.md");
const VERDICTS: (&str, &str) = ("From outcome to verdict", "| Outcome | Request | Attempts left | Verdict | Delay |");
/// The delay that a handler asks for in these tests. The default retry policy has no delay this short.
const ASKED: Duration = Duration::from_secs(7);
/// A delay that is longer than every one of the default retry policy.
const ASKED_LONG: Duration = Duration::from_secs(2 * 3_600);
const WISHES: [Wish; 5] =
    [Wish::Policy, Wish::RetryAfter(ASKED), Wish::NotBefore(ASKED_LONG), Wish::Discard, Wish::GiveBack];
/// Pairs of attempt and limit, with and without an attempt left.
const LEFT: [(i32, i32); 4] = [(1, 2), (1, 3), (2, 3), (6, 20)];
const NONE_LEFT: [(i32, i32); 4] = [(1, 1), (3, 3), (4, 3), (20, 20)];

/// The lines of a section, without its heading.
fn section(heading: &str) -> Vec<&'static str> {
    let heading = format!("## {heading}");
    let starts = PAGE.lines().filter(|line| *line == heading).count();
    assert_eq!(starts, 1, "`{heading}` must occur once on the page");
    let lines = PAGE.lines().skip_while(|line| *line != heading).skip(1);
    lines.take_while(|line| !line.starts_with("## ")).collect()
}

/// The only code block of a section.
fn diagram(heading: &str) -> String {
    let text = section(heading).join("\n");
    let parts: Vec<&str> = text.split("```").collect();
    assert_eq!(parts.len(), 3, "section `{heading}` must have exactly one diagram");
    parts[1].to_owned()
}

/// What a diagram has between these two characters.
fn enclosed(diagram: &str, open: char, close: char) -> BTreeSet<String> {
    let word = |rest: &str| match rest.split_once(close) {
        Some((word, _)) if !word.contains('\n') => word.to_owned(),
        _ => panic!("`{open}` without `{close}` in\n{diagram}"),
    };
    assert_eq!(diagram.matches(open).count(), diagram.matches(close).count(), "unpaired `{close}` in\n{diagram}");
    diagram.split(open).skip(1).map(word).collect()
}

/// The cells of a table's line.
fn cells(line: &str) -> Vec<String> {
    let inner = line.strip_prefix('|').and_then(|line| line.strip_suffix('|'));
    let Some(inner) = inner else { panic!("`{line}` is not a line of a table") };
    inner.split('|').map(|cell| cell.trim().to_owned()).collect()
}

/// The rows of the table with this header.
fn table(heading: &str, header: &str) -> Vec<Vec<String>> {
    let lines = section(heading);
    let Some(start) = lines.iter().position(|line| *line == header) else {
        panic!("section `{heading}` has no table `{header}`")
    };
    let columns = cells(header).len();
    assert_eq!(cells(lines[start + 1]), vec!["---"; columns], "the line below `{header}`");
    let rows: Vec<Vec<String>> =
        lines[start + 2..].iter().take_while(|line| !line.is_empty()).map(|line| cells(line)).collect();
    for row in &rows {
        assert_eq!(row.len(), columns, "{row:?} does not fit below `{header}`");
    }
    rows
}

/// The words of a cell: each in backticks, separated by commas.
fn quoted(cell: &str) -> Result<Vec<&str>, String> {
    let word = |part: &str| -> Option<usize> {
        let inner = part.strip_prefix('`')?.strip_suffix('`')?;
        (!inner.is_empty() && !inner.contains('`')).then_some(part.len())
    };
    let parts: Vec<&str> = cell.split(", ").collect();
    match parts.iter().find(|part| word(part).is_none()) {
        Some(part) => Err(format!("`{part}` in cell `{cell}` is not one word in backticks")),
        None => Ok(parts.into_iter().map(|part| part.trim_matches('`')).collect()),
    }
}

/// The words of a column, in the order of its rows.
fn column(rows: &[Vec<String>], index: usize) -> Vec<String> {
    let words = |row: &Vec<String>| match quoted(&row[index]) {
        Ok(words) => words.into_iter().map(str::to_owned).collect::<Vec<_>>(),
        Err(error) => panic!("{error}"),
    };
    rows.iter().flat_map(words).collect()
}

fn in_order<T: Display>(all: &[T]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

fn set<T: Display>(all: &[T]) -> BTreeSet<String> {
    in_order(all).into_iter().collect()
}

#[test]
fn the_diagrams_have_every_word_and_no_other() {
    let states = diagram("Task states");
    assert_eq!(enclosed(&states, '[', ']'), set(TaskState::ALL));
    assert_eq!(enclosed(&states, '(', ')'), set(Verdict::ALL), "verdicts beside the states");
    let outcomes = diagram("Outcomes");
    assert_eq!(enclosed(&outcomes, '[', ']'), set(Outcome::ALL));
    assert_eq!(enclosed(&outcomes, '(', ')'), BTreeSet::new());
    let verdicts = diagram("Verdicts");
    assert_eq!(enclosed(&verdicts, '[', ']'), set(Verdict::ALL));
    let next = set(&[TaskState::Available, TaskState::Retryable]);
    assert_eq!(enclosed(&verdicts, '(', ')'), next, "states beside the verdicts");
}

#[test]
fn the_tables_have_every_word_and_no_other() {
    let words = |heading, header| column(&table(heading, header), 0);
    assert_eq!(words("Outcomes", "| Outcome | Meaning |"), in_order(Outcome::ALL));
    assert_eq!(words("Verdicts", "| Verdict | Meaning |"), in_order(Verdict::ALL));
    assert_eq!(words("Occurrence fates", "| Fate | Task enqueued | Meaning |"), in_order(Fate::ALL));
    assert_eq!(words("Node states", "| State | Meaning |"), in_order(NodeState::ALL));
}

#[test]
fn every_state_can_be_reached_and_left() {
    let transitions = table("Task states", "| From | To | When | By |");
    for (index, end, count) in [(0, "new row", 3), (1, "row deleted", 2)] {
        let (ends, inner): (Vec<_>, Vec<_>) = transitions.iter().cloned().partition(|row| row[index] == end);
        assert_eq!(ends.len(), count, "rows with `{end}`");
        assert_eq!(column(&inner, index).into_iter().collect::<BTreeSet<_>>(), set(TaskState::ALL));
    }
}

/// A condition under which an attempt has ended.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Condition {
    outcome: Outcome,
    wish: Wish,
    has_attempts_left: bool,
}

/// What the page says of some conditions.
struct PageRule {
    cases: Vec<Condition>,
    verdict: Option<Verdict>,
    delay: PageDelay,
}

/// The last column.
#[derive(Clone, Copy)]
enum PageDelay {
    None,
    Policy,
    AsRequested,
    Longer,
}

/// How the page writes a wish.
fn written(wish: Wish) -> &'static str {
    match wish {
        Wish::Policy => "nothing",
        Wish::RetryAfter(_) => "`retry_after`",
        Wish::NotBefore(_) => "`not_before`",
        Wish::Discard => "`discard`",
        Wish::GiveBack => "`give_back`",
    }
}

fn every_case() -> Vec<Condition> {
    let of = |outcome| {
        WISHES
            .into_iter()
            .flat_map(move |wish| [true, false].map(|has_attempts_left| Condition { outcome, wish, has_attempts_left }))
    };
    Outcome::ALL.iter().copied().flat_map(of).collect()
}

impl PageRule {
    fn parse(cells: &[String]) -> Result<Self, String> {
        let [outcomes, requests, left, verdict, delay] = cells else { return Err(format!("not 5 cells: {cells:?}")) };
        let outcome = |word| Outcome::from_word(word).ok_or_else(|| format!("`{word}` is not an outcome"));
        let outcomes = quoted(outcomes)?.into_iter().map(outcome).collect::<Result<Vec<_>, _>>()?;
        let wish = |word: &str| {
            let known = WISHES.into_iter().find(|wish| written(*wish) == word);
            known.ok_or_else(|| format!("{word} is not a request"))
        };
        let wishes = match requests.as_str() {
            "any" => WISHES.to_vec(),
            some => some.split(", ").map(wish).collect::<Result<Vec<_>, _>>()?,
        };
        let left: &[bool] = match left.as_str() {
            "yes" => &[true],
            "no" => &[false],
            "any" => &[true, false],
            other => return Err(format!("`{other}` does not say whether attempts are left")),
        };
        let verdict = match verdict.as_str() {
            "none" => None,
            word => match quoted(word)?[..] {
                [word] => Some(Verdict::from_word(word).ok_or_else(|| format!("`{word}` is not a verdict"))?),
                _ => return Err(format!("{word} is more than one verdict")),
            },
        };
        let delay = match delay.as_str() {
            "none" => PageDelay::None,
            "retry policy" => PageDelay::Policy,
            "as requested" => PageDelay::AsRequested,
            "the longer of both" => PageDelay::Longer,
            other => return Err(format!("`{other}` is not a delay")),
        };
        let mut cases = Vec::new();
        for outcome in outcomes {
            for wish in wishes.iter().copied() {
                cases.extend(left.iter().map(|left| Condition { outcome, wish, has_attempts_left: *left }));
            }
        }
        Ok(Self { cases, verdict, delay })
    }

    /// Compares one case with what `judge` returns for it.
    fn compare(&self, case: Condition) -> Result<(), String> {
        let policy = RetryPolicy::default();
        for (attempt, limit) in if case.has_attempts_left { LEFT } else { NONE_LEFT } {
            for chance in [0.0, 0.5, 1.0] {
                let delay = match self.delay {
                    PageDelay::None => Duration::ZERO,
                    PageDelay::Policy => policy.delay_after(attempt, chance),
                    PageDelay::AsRequested => ASKED,
                    PageDelay::Longer => policy.delay_after(attempt, chance).max(ASKED_LONG),
                };
                let said = Judgement { verdict: self.verdict, delay };
                let judged = judge(case.outcome, case.wish, attempt, limit, &policy, chance);
                if judged != said {
                    return Err(format!(
                        "{case:?}, attempt {attempt} of {limit}: the page says {said:?}, the code {judged:?}"
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Compares the table with the code: every condition occurs once, with the right verdict and delay.
fn check(rows: &[Vec<String>]) -> Result<(), String> {
    let mut covered = Vec::new();
    for cells in rows {
        let rule = PageRule::parse(cells)?;
        for case in &rule.cases {
            if covered.contains(case) {
                return Err(format!("two rows cover {case:?}"));
            }
            rule.compare(*case)?;
            covered.push(*case);
        }
    }
    match every_case().into_iter().find(|case| !covered.contains(case)) {
        Some(case) => Err(format!("no row covers {case:?}")),
        None => Ok(()),
    }
}

#[test]
fn the_verdict_of_every_outcome_is_as_the_page_says() {
    assert_eq!(every_case().len(), Outcome::ALL.len() * 10);
    assert_eq!(check(&table(VERDICTS.0, VERDICTS.1)), Ok(()));
}

#[test]
fn a_wrong_table_is_noticed() {
    let rows = table(VERDICTS.0, VERDICTS.1);
    let verdicts: Vec<String> = Verdict::ALL.iter().map(|word| format!("`{word}`")).collect();
    let verdicts: Vec<&str> = verdicts.iter().map(String::as_str).chain(["none", "completed", ""]).collect();
    let values: [&[&str]; 5] = [
        &["`succeeded`", "`failed`", "`skipped`", "`unheard_of`", "failed", "`failed`,`crashed`", ""],
        &["any", "nothing", "`retry_after`", "`discard`", "nothing, `discard`", "retry_after", ""],
        &["any", "yes", "no", "maybe", ""],
        &verdicts,
        &["none", "retry policy", "as requested", "later", ""],
    ];
    for (index, row) in rows.iter().enumerate() {
        let mut without = rows.clone();
        without.remove(index);
        assert!(check(&without).is_err(), "without {row:?}");
        let mut twice = rows.clone();
        twice.push(row.clone());
        assert!(check(&twice).is_err(), "twice {row:?}");
        for (column, values) in values.iter().enumerate() {
            for value in values.iter().filter(|value| **value != row[column]) {
                let mut wrong = rows.clone();
                wrong[index][column] = (*value).to_owned();
                assert!(check(&wrong).is_err(), "`{value}` in column {column} of {row:?}");
            }
        }
    }
}
