//! Creates `sexton_turn`: rows that serialize claims under a common limit.

crate::dialect::step! {
    drops: ["sexton_turn"],
    common: &["CREATE TABLE IF NOT EXISTS sexton_turn (
        name varchar(150) NOT NULL PRIMARY KEY,
        turn bigint NOT NULL DEFAULT 0
    {end}"],
    also: Also::default()
}
