//! Adds an index on the schedule of a task: a schedule whose runs must not overlap searches for its unfinished runs each
//! time it fires.

crate::dialect::step! {
    up: |manager| crate::dialect::add_index(manager, "sexton_task", "sexton_task_schedule", "schedule"),
    down: |manager| crate::dialect::drop_index(manager, "sexton_task", "sexton_task_schedule")
}
