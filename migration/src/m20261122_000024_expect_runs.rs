//! Adds to `sexton_schedule` when a success is expected, and until when a schedule is paused.
//!
//! A node of the version before does not know the columns: it neither ends pauses nor notices that a schedule is overdue.

crate::dialect::step! {
    adds: &[
        ("sexton_schedule", "paused_until", "{instant}"),
        ("sexton_schedule", "excused_until", "{instant}"),
        ("sexton_schedule", "expect", "varchar(64)"),
        ("sexton_schedule", "expected_on", "varchar(100)"),
        ("sexton_schedule", "expected_by", "{instant}"),
        ("sexton_schedule", "succeeded_at", "{instant}"),
    ]
}
