//! Whose turn it is to claim from a queue with a limit in the whole cluster.

crate::dialect::step! {
    adds: &[("sexton_queue", "turn", "bigint NOT NULL DEFAULT 0")]
}
