//! The settings of limits: `rate`, `burst`, `max_parallel_by`, `fair_by` and `aging`.

use std::fs;

use crate::config::{mistakes, sound};

#[test]
fn limits_are_checked_and_shown() {
    let queue = |lines: &str| mistakes(&format!("[queue.q]\nworkers = 1\n{lines}\n")).join("\n");
    assert!(
        queue("rate = \"100\"").contains("queue.q.rate: `100` has no time: write \"100/1m\" for 100 in each minute")
    );
    assert!(queue("rate = 100").contains("a number has no time: write \"100/1m\""));
    assert!(queue("rate = \"many/1m\"").contains("`many` is no number of tasks"));
    assert!(queue("burst = 5").contains("this setting needs a `rate`"));
    assert!(queue("fair_by = \"customer\"").contains("write \"$.customer\""));
    assert!(queue("aging = \"10m\"\nfair_by = \"$.customer\"").contains("a queue with `fair_by` has no `aging`"));
    let task = |lines: &str| {
        let fair = "[queue.fair]\nworkers = 1\nfair_by = \"$.shop\"\n";
        mistakes(&format!("{fair}[task.t]\nkind = \"noop\"\n{lines}\n")).join("\n")
    };
    assert!(task("max_parallel_by = \"$.customer\"").contains("this setting needs a `max_parallel`"));
    let two = task("queue = \"fair\"\nmax_parallel = 1\nmax_parallel_by = \"$.customer\"");
    assert!(
        two.contains("task.t.max_parallel_by: a task has one key, and queue fair has fair_by = \"$.shop\""),
        "{two}"
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sexton.toml");
    let settings = "[queue.q]\nworkers = 1\nrate = \"100/1m\"\nburst = 20\nfair_by = \"$.customer\"\n[queue.r]\nworkers = 1\naging = \"10m\"\n\
                    [task.t]\nkind = \"noop\"\nmax_parallel = 3\nmax_parallel_by = \"$.order.customer\"\nrate = \"5/1s\"\n";
    fs::write(&file, settings).unwrap();
    let config = sound(&file);
    for line in settings.lines() {
        assert!(config.show().contains(line), "{line}\n{}", config.show());
    }
    fs::write(&file, config.show()).unwrap();
    assert_eq!(sound(&file), config);
}
