//! Creates `sexton_schedule` and `sexton_occurrence`: schedules, and the ledger of their instants.

crate::dialect::step! {
    drops: ["sexton_occurrence", "sexton_schedule"],
    common: &[
        "CREATE TABLE IF NOT EXISTS sexton_schedule (
            name varchar(150) NOT NULL PRIMARY KEY,
            task varchar(150) NOT NULL,
            origin varchar(16) NOT NULL DEFAULT 'database',
            spec {long} NOT NULL,
            paused boolean NOT NULL DEFAULT false,
            last_at {instant} NOT NULL DEFAULT {now},
            next_at {instant},
            created_at {instant} NOT NULL DEFAULT {now}
        {end}",
        "CREATE TABLE IF NOT EXISTS sexton_occurrence (
            schedule varchar(150) NOT NULL,
            due_at {instant} NOT NULL,
            fate varchar(16) NOT NULL,
            reason {long},
            node varchar(100) NOT NULL,
            entry varchar(40) NOT NULL,
            entered_at {instant} NOT NULL DEFAULT {now},
            PRIMARY KEY (schedule, due_at)
        [mysql], INDEX sexton_occurrence_entered (entered_at)
        {end}",
    ],
    also: Also {
        postgres: &["CREATE INDEX IF NOT EXISTS sexton_occurrence_entered ON sexton_occurrence (entered_at)"],
        sqlite: &["CREATE INDEX IF NOT EXISTS sexton_occurrence_entered ON sexton_occurrence (entered_at)"],
    }
}
