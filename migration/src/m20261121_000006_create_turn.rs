//! `sexton_turn`: claims that must see one another take turns at its rows.

crate::dialect::step! {
    drops: ["sexton_turn"],
    common: &["CREATE TABLE IF NOT EXISTS sexton_turn (
        name varchar(150) NOT NULL PRIMARY KEY,
        turn bigint NOT NULL DEFAULT 0
    {end}"],
    also: Also::default()
}
