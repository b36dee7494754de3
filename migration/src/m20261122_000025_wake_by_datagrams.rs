//! Adds where a node hears the datagrams that wake it, with the key that they begin with.

crate::dialect::step! {
    adds: &[("sexton_node", "wakeup", "varchar(150)")]
}
