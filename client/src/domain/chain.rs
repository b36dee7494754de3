//! Chains: when a task may begin that waits for others, and when it never will.

use sexton_entities::states::{FanIn, Outcome, Required};

/// The outcome of a predecessor that is neither unfinished nor in the history.
pub const GONE: &str = "gone";

/// A task or a group for which a task waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Predecessor {
    /// The task of that number.
    Task(i64),
    /// All tasks of that group.
    Group(String),
}

impl std::fmt::Display for Predecessor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Task(id) => write!(f, "task {id}"),
            Self::Group(name) => write!(f, "group {name}"),
        }
    }
}

/// The predecessors of one task that are alike: of the same condition, and with the same outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Predecessors {
    /// Which end lets the task begin, as it is stored.
    pub required: String,
    /// Whether it waits for all or for any, as it is stored.
    pub fan_in: String,
    /// How they ended; none if they have not.
    pub outcome: Option<String>,
    /// One of them.
    pub one: Option<Predecessor>,
}

/// What becomes of a task that waits, once one of its predecessors has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// It waits on.
    Wait,
    /// It may begin.
    Release,
    /// It never will.
    Skip(SkipReason),
}

/// Why a task that waits never begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SkipReason {
    /// A predecessor ended otherwise than required.
    Ended {
        /// The predecessor.
        predecessor: Predecessor,
        /// How it ended.
        outcome: String,
        /// How it should have ended.
        required: Required,
    },
    /// A predecessor is neither unfinished nor in the history.
    Gone(Predecessor),
    /// It has no predecessor.
    Nothing,
    /// The row of a predecessor has a word that is unknown.
    BadWord(String),
    /// The tasks wait for one another.
    Cycle(Vec<i64>),
}

impl SkipReason {
    /// The code in the history.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Cycle(_) => "cycle",
            _ => "predecessor",
        }
    }

    /// A sentence for people.
    pub fn sentence(&self) -> String {
        match self {
            Self::Ended { predecessor, outcome, required } => {
                let runs = match required {
                    Required::Success => "runs only after its success",
                    Required::Failure => "runs only after its failure",
                    Required::Always => "runs after its end",
                };
                format!("{predecessor} ended as {outcome}, and this task {runs}")
            }
            Self::Gone(predecessor) => {
                format!("it waited for {predecessor}, which is neither unfinished nor in the history")
            }
            Self::Nothing => "it waited for nothing: it has no row in sexton_task_dependency".to_owned(),
            Self::BadWord(word) => format!("`{word}` in sexton_task_dependency is no condition for its start"),
            Self::Cycle(tasks) => {
                let tasks: Vec<String> = tasks.iter().map(ToString::to_string).collect();
                format!("tasks {} wait for one another", tasks.join(", "))
            }
        }
    }
}

/// Whether an outcome is the required one. What was cancelled or skipped has neither succeeded nor failed.
pub fn is_met(required: Required, outcome: &str) -> bool {
    let outcome = Outcome::from_word(outcome);
    match required {
        Required::Always => outcome.is_some(),
        Required::Success => outcome == Some(Outcome::Succeeded),
        Required::Failure => outcome.is_some_and(|outcome| {
            !matches!(outcome, Outcome::Succeeded | Outcome::Cancelled | Outcome::Skipped | Outcome::Superseded)
        }),
    }
}

/// What becomes of a task with these predecessors.
pub fn decide(predecessors: &[Predecessors]) -> Settlement {
    let (mut is_any, mut is_open, mut is_met_once) = (false, false, false);
    let mut unmet = None;
    for alike in predecessors {
        let Some(required) = Required::from_word(&alike.required) else {
            return Settlement::Skip(SkipReason::BadWord(alike.required.clone()));
        };
        match FanIn::from_word(&alike.fan_in) {
            Some(fan_in) => is_any |= fan_in == FanIn::Any,
            None => return Settlement::Skip(SkipReason::BadWord(alike.fan_in.clone())),
        }
        match &alike.outcome {
            None => is_open = true,
            Some(outcome) if is_met(required, outcome) => is_met_once = true,
            Some(outcome) => {
                let predecessor = alike.one.clone().unwrap_or(Predecessor::Task(0));
                unmet = Some(match outcome == GONE {
                    true => SkipReason::Gone(predecessor),
                    false => SkipReason::Ended { predecessor, outcome: outcome.clone(), required },
                });
            }
        }
    }
    match (is_any, unmet) {
        (true, _) if is_met_once => Settlement::Release,
        (false, Some(reason)) => Settlement::Skip(reason),
        _ if is_open => Settlement::Wait,
        (true, Some(reason)) => Settlement::Skip(reason),
        _ if is_met_once => Settlement::Release,
        _ => Settlement::Skip(SkipReason::Nothing),
    }
}

/// The first cycle that a search from each task along its edges finds: `(task, predecessor)`.
pub fn cycle(edges: &[(i64, i64)]) -> Option<Vec<i64>> {
    use std::collections::{HashMap, HashSet};
    let mut next: HashMap<i64, Vec<i64>> = HashMap::new();
    for (task, after) in edges {
        next.entry(*task).or_default().push(*after);
    }
    let mut done: HashSet<i64> = HashSet::new();
    let mut starts: Vec<i64> = next.keys().copied().collect();
    starts.sort_unstable();
    for start in starts {
        // The tasks on the way from the start, each with how many of its edges were followed.
        let mut way: Vec<(i64, usize)> = vec![(start, 0)];
        while let Some((task, followed)) = way.last_mut() {
            let task = *task;
            let after = next.get(&task).and_then(|all| all.get(*followed)).copied();
            *followed += 1;
            let Some(after) = after.filter(|_| !done.contains(&task)) else {
                done.insert(task);
                way.pop();
                continue;
            };
            if let Some(at) = way.iter().position(|(on_way, _)| *on_way == after) {
                let mut found: Vec<i64> = way[at..].iter().map(|(task, _)| *task).collect();
                found.sort_unstable();
                return Some(found);
            }
            way.push((after, 0));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alike(required: &str, fan_in: &str, outcome: Option<&str>) -> Predecessors {
        Predecessors {
            required: required.to_owned(),
            fan_in: fan_in.to_owned(),
            outcome: outcome.map(str::to_owned),
            one: Some(Predecessor::Task(7)),
        }
    }

    fn is_skipped(predecessors: &[Predecessors]) -> bool {
        matches!(decide(predecessors), Settlement::Skip(_))
    }

    #[test]
    fn all_are_waited_for_and_the_first_unmet_one_decides() {
        let [met, open, unmet] =
            [Some("succeeded"), None, Some("failed")].map(|outcome| alike("success", "all", outcome));
        assert_eq!(decide(&[met.clone(), open.clone()]), Settlement::Wait);
        assert_eq!(decide(std::slice::from_ref(&met)), Settlement::Release);
        let reason = SkipReason::Ended {
            predecessor: Predecessor::Task(7),
            outcome: "failed".to_owned(),
            required: Required::Success,
        };
        assert_eq!(reason.sentence(), "task 7 ended as failed, and this task runs only after its success");
        assert_eq!(decide(&[met, open, unmet]), Settlement::Skip(reason));
        assert_eq!(decide(&[]), Settlement::Skip(SkipReason::Nothing));
    }

    #[test]
    fn the_first_of_any_is_enough_and_the_last_one_decides() {
        let [met, open, unmet] =
            [Some("succeeded"), None, Some("failed")].map(|outcome| alike("success", "any", outcome));
        assert_eq!(decide(&[unmet.clone(), open.clone(), met]), Settlement::Release);
        assert_eq!(decide(&[unmet.clone(), open]), Settlement::Wait);
        assert!(is_skipped(&[unmet]));
    }

    #[test]
    fn what_was_cancelled_or_skipped_has_neither_succeeded_nor_failed() {
        for (outcome, success, failure) in [
            ("succeeded", true, false),
            ("failed", false, true),
            ("timed_out", false, true),
            ("crashed", false, true),
            ("cancelled", false, false),
            ("skipped", false, false),
        ] {
            assert_eq!(is_met(Required::Success, outcome), success, "{outcome}");
            assert_eq!(is_met(Required::Failure, outcome), failure, "{outcome}");
            assert!(is_met(Required::Always, outcome), "{outcome}");
        }
        assert!(!is_met(Required::Always, GONE), "nobody knows that it ended");
        assert!(is_skipped(&[alike("succes", "all", None)]), "nobody knows what is meant");
    }

    #[test]
    fn a_cycle_is_found_wherever_it_is() {
        assert_eq!(cycle(&[(2, 1), (3, 1), (4, 2), (4, 3)]), None, "a diamond is no cycle");
        assert_eq!(cycle(&[(2, 1), (5, 4), (4, 3), (3, 5), (6, 5)]), Some(vec![3, 4, 5]));
        assert_eq!(cycle(&[(7, 7)]), Some(vec![7]));
    }
}
