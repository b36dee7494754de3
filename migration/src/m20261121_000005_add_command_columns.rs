//! Adds columns for commands: resource usage, result, arrival times of output, and progress.

crate::dialect::step! {
    adds: &[
        ("sexton_history", "core_dumped", "boolean"),
        ("sexton_history", "cpu_user_ms", "bigint"),
        ("sexton_history", "cpu_system_ms", "bigint"),
        ("sexton_history", "peak_memory", "bigint"),
        ("sexton_history", "output_bytes", "bigint"),
        ("sexton_history", "result", "{json}"),
        ("sexton_output", "times", "{json}"),
        ("sexton_task", "progress", "{json}"),
    ]
}
