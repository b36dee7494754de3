//! Creates `sexton_node` and `sexton_queue`: running daemons, and run-time settings of queues.

crate::dialect::step! {
    drops: ["sexton_queue", "sexton_node"],
    common: &[
        "CREATE TABLE IF NOT EXISTS sexton_node (
            id varchar(100) NOT NULL PRIMARY KEY,
            name varchar(80) NOT NULL,
            host varchar(255) NOT NULL,
            pid integer NOT NULL,
            version varchar(40) NOT NULL,
            state varchar(16) NOT NULL,
            started_at {instant} NOT NULL DEFAULT {now},
            heartbeat_at {instant} NOT NULL DEFAULT {now},
            lease_expires_at {instant} NOT NULL,
            modules {json}
        {end}",
        "CREATE TABLE IF NOT EXISTS sexton_queue (
            name varchar(100) NOT NULL PRIMARY KEY,
            paused boolean NOT NULL DEFAULT false,
            changed_at {instant} NOT NULL DEFAULT {now}
        {end}",
    ],
    also: Also::default()
}
