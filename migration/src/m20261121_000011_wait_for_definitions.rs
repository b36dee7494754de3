//! Adds what tasks need that wait: for a node that defines their name, or because they were snoozed.

const COLUMNS: [(&str, &str, &str); 3] = [
    ("sexton_task", "snoozes", "integer NOT NULL DEFAULT 0"),
    ("sexton_task", "unknown_since", "{instant}"),
    ("sexton_node", "defines", "{json}"),
];
const INDEX: &str = "sexton_task_unknown";

crate::dialect::step! {
    up: |manager| async {
        crate::dialect::add_columns(manager, &COLUMNS).await?;
        crate::dialect::add_index(manager, "sexton_task", INDEX, "unknown_since").await
    },
    down: |manager| async {
        crate::dialect::drop_index(manager, "sexton_task", INDEX).await?;
        crate::dialect::drop_columns(manager, &COLUMNS).await
    }
}
