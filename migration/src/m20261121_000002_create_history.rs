//! Creates `sexton_history` and `sexton_output`: finished attempts and their output.

crate::dialect::step! {
    drops: ["sexton_output", "sexton_history"],
    common: &[
        "CREATE TABLE IF NOT EXISTS sexton_history (
            id {id},
            task_id bigint,
            name varchar(150) NOT NULL,
            kind varchar(64),
            queue varchar(100),
            schedule varchar(150),
            due_at {instant},
            enqueued_at {instant},
            started_at {instant},
            finished_at {instant} NOT NULL DEFAULT {now},
            duration_ms bigint,
            node varchar(100),
            attempt integer NOT NULL DEFAULT 0,
            outcome varchar(16) NOT NULL,
            verdict varchar(16),
            exit_code integer,
            {signal} integer,
            error {long},
            payload {json},
            fence bigint NOT NULL DEFAULT 0,
            CONSTRAINT sexton_history_claim UNIQUE (task_id, fence, outcome)
        [mysql], INDEX sexton_history_name (name, finished_at), INDEX sexton_history_finished (finished_at)
        {end}",
        "CREATE TABLE IF NOT EXISTS sexton_output (
            history_id bigint NOT NULL PRIMARY KEY,
            stdout {long} NOT NULL,
            stderr {long} NOT NULL,
            truncated boolean NOT NULL
        {end}",
    ],
    also: Also {
        postgres: &[
            "CREATE INDEX IF NOT EXISTS sexton_history_name ON sexton_history (name, finished_at)",
            "CREATE INDEX IF NOT EXISTS sexton_history_finished ON sexton_history (finished_at)",
        ],
        sqlite: &[
            "CREATE INDEX IF NOT EXISTS sexton_history_name ON sexton_history (name, finished_at)",
            "CREATE INDEX IF NOT EXISTS sexton_history_finished ON sexton_history (finished_at)",
        ],
    }
}
