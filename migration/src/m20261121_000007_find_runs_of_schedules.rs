//! The unfinished runs of a schedule are found by an index: a schedule that runs one at a time asks for them each time.

crate::dialect::step! {
    up: |manager| crate::dialect::add_index(manager, "sexton_task", "sexton_task_schedule", "schedule"),
    down: |manager| crate::dialect::drop_index(manager, "sexton_task", "sexton_task_schedule")
}
