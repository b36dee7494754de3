//! Creates `sexton_problem`: what is wrong, from its first to its last occurrence.
//!
//! A node of the version before does not know the table: what fails there is in the history only.

crate::dialect::step! {
    drops: ["sexton_problem"],
    common: &[
        "CREATE TABLE IF NOT EXISTS sexton_problem (
            id {id},
            problem_key varchar(64) NOT NULL,
            kind varchar(16) NOT NULL,
            name varchar(255) NOT NULL,
            outcome varchar(16),
            fingerprint varchar(255) NOT NULL DEFAULT '',
            what {long} NOT NULL,
            state varchar(16) NOT NULL DEFAULT 'open',
            times bigint NOT NULL DEFAULT 1,
            discarded bigint NOT NULL DEFAULT 0,
            episode integer NOT NULL DEFAULT 1,
            opened_at {instant} NOT NULL DEFAULT {now},
            seen_at {instant} NOT NULL DEFAULT {now},
            closed_at {instant},
            task varchar(150),
            schedule varchar(150),
            queue varchar(100),
            node varchar(100),
            task_id bigint,
            fence bigint,
            exit_code integer,
            next_at {instant},
            changed_by varchar(100),
            changed_host varchar(255),
            change_reason {long},
            muted_until {instant},
            notices integer NOT NULL DEFAULT 0,
            noticed_at {instant},
            end_noticed boolean NOT NULL DEFAULT false,
            CONSTRAINT sexton_problem_key UNIQUE (problem_key)
        {end}",
    ],
    also: Also::default()
}
