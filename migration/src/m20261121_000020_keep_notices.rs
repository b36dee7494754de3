//! Creates `sexton_notice`: what is to be sent about problems, and what became of it.

const INDEX: [&str; 1] = ["CREATE INDEX IF NOT EXISTS sexton_notice_state ON sexton_notice (state, next_at)"];

crate::dialect::step! {
    drops: ["sexton_notice"],
    common: &[
        "CREATE TABLE IF NOT EXISTS sexton_notice (
            id {id},
            notice_key varchar(190) NOT NULL,
            channel varchar(100) NOT NULL,
            about varchar(16) NOT NULL,
            problem_id bigint,
            facts {json} NOT NULL,
            state varchar(16) NOT NULL DEFAULT 'waiting',
            attempts integer NOT NULL DEFAULT 0,
            created_at {instant} NOT NULL DEFAULT {now},
            next_at {instant} NOT NULL DEFAULT {now},
            leased_by varchar(100),
            leased_until {instant},
            finished_at {instant},
            error {long},
            CONSTRAINT sexton_notice_key UNIQUE (notice_key)
        [mysql], INDEX sexton_notice_state (state, next_at)
        {end}",
    ],
    also: Also { postgres: &INDEX, sqlite: &INDEX }
}
