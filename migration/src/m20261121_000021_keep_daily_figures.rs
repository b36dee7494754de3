//! Creates `sexton_daily`: what is left of the history of a day after it was pruned.
//!
//! A node of the version before does not know the table: the rows that it prunes are not in it.

crate::dialect::step! {
    drops: ["sexton_daily"],
    common: &[
        "CREATE TABLE IF NOT EXISTS sexton_daily (
            day varchar(10) NOT NULL,
            name varchar(150) NOT NULL,
            runs bigint NOT NULL DEFAULT 0,
            failed bigint NOT NULL DEFAULT 0,
            duration_ms bigint NOT NULL DEFAULT 0,
            longest_ms bigint NOT NULL DEFAULT 0,
            scheduled bigint NOT NULL DEFAULT 0,
            delay_ms bigint NOT NULL DEFAULT 0,
            CONSTRAINT sexton_daily_key PRIMARY KEY (day, name)
        {end}",
    ],
    also: Also::default()
}
