//! Limits of processes: open files, processes and memory against the work that is configured.

use super::{Area, Diagnosis};
use crate::domain::daemon::disk::size;

/// Open files of a daemon without work, and for each worker: pipes, output files and locks.
const FILES: u64 = 128;
const FILES_FOR_A_WORKER: u64 = 12;
/// Processes and threads of a daemon without work, and for each worker: the shepherd, the command and some children.
const PROCESSES: u64 = 64;
const PROCESSES_FOR_A_WORKER: u64 = 4;
/// Memory of a daemon without work, and of small commands.
const MEMORY: u64 = 128 << 20;
const MEMORY_FOR_A_WORKER: u64 = 8 << 20;

/// The limits of a process. None is no limit, or one that is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitFacts {
    /// Whose limits they are: `The daemon (process 42)`.
    pub whose: String,
    /// Open files.
    pub files: Option<u64>,
    /// Processes of the user; it does not hold for root.
    pub processes: Option<u64>,
    /// Processes and threads of the control group.
    pub group_processes: Option<u64>,
    /// Memory of the control group, in bytes.
    pub group_memory: Option<u64>,
    /// Workers of all queues.
    pub workers: u64,
    /// The pool of database connections.
    pub pool: u64,
}

/// The findings about limits.
pub fn diagnose(limits: &LimitFacts) -> Vec<Diagnosis> {
    let (whose, workers) = (&limits.whose, limits.workers);
    let files = FILES + limits.pool + workers * FILES_FOR_A_WORKER;
    let processes = PROCESSES + workers * PROCESSES_FOR_A_WORKER;
    let memory = MEMORY + workers * MEMORY_FOR_A_WORKER;
    let why = "Commands cannot start once all workers are busy.";
    let mut found = Vec::new();
    let mut check = |limit: Option<u64>, needed: u64, what: &str, in_words: &dyn Fn(u64) -> String, remedy: String| {
        if let Some(limit) = limit.filter(|limit| *limit < needed) {
            let (limit, needed) = (in_words(limit), in_words(needed));
            found.push(Diagnosis::warning(
                Area::Limits,
                format!("{whose} may have {limit} {what}; {workers} workers may need {needed}."),
                why,
                remedy,
            ));
        }
    };
    let plain = |number: u64| number.to_string();
    check(limits.files, files, "open files", &plain, format!("LimitNOFILE={files} in the unit, or `ulimit -n`."));
    check(
        limits.processes,
        processes,
        "processes of its user",
        &plain,
        format!("LimitNPROC={processes} in the unit, or `ulimit -u`."),
    );
    check(
        limits.group_processes,
        processes,
        "processes and threads in its control group",
        &plain,
        format!("TasksMax={} in the unit.", processes * 4),
    );
    check(
        limits.group_memory,
        memory,
        "of memory in its control group",
        &size,
        format!("MemoryMax={}M in the unit, or fewer workers.", memory >> 20),
    );
    if found.is_empty() {
        found.push(Diagnosis::ok(Area::Limits, format!("The limits fit {workers} workers ({whose}).")));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::doctor::Gravity;

    fn limits() -> LimitFacts {
        LimitFacts { whose: "The daemon".to_owned(), workers: 100, pool: 10, ..LimitFacts::default() }
    }

    #[test]
    fn no_limit_is_fine_and_each_small_one_is_found() {
        assert_eq!(diagnose(&limits()), [Diagnosis::ok(Area::Limits, "The limits fit 100 workers (The daemon).")]);
        let cases = [
            (
                LimitFacts { files: Some(1_024), ..limits() },
                "1024 open files; 100 workers may need 1338",
                "LimitNOFILE=1338",
            ),
            (LimitFacts { processes: Some(100), ..limits() }, "100 processes of its user", "LimitNPROC=464"),
            (LimitFacts { group_processes: Some(50), ..limits() }, "50 processes and threads", "TasksMax=1856"),
            (LimitFacts { group_memory: Some(64 << 20), ..limits() }, "64.0 MiB of memory", "MemoryMax=928M"),
        ];
        for (facts, words, remedy) in cases {
            let found = diagnose(&facts);
            assert_eq!((found.len(), found[0].severity), (1, Gravity::Warning), "{found:#?}");
            assert!(found[0].found.contains(words), "{}", found[0].found);
            assert!(found[0].remedy.as_deref().is_some_and(|text| text.contains(remedy)), "{found:#?}");
        }
        let enough =
            LimitFacts { files: Some(65_536), processes: Some(4_096), group_memory: Some(4 << 30), ..limits() };
        assert_eq!(diagnose(&enough)[0].severity, Gravity::Ok);
    }
}
