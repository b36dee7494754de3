//! Creates `sexton_dead_node`: nodes that died lately. Their rows in `sexton_node` are removed once their tasks are
//! released, because only a row that is gone tells a node that it was declared dead.

crate::dialect::step! {
    drops: ["sexton_dead_node"],
    common: &[
        "CREATE TABLE IF NOT EXISTS sexton_dead_node (
            id varchar(100) NOT NULL PRIMARY KEY,
            name varchar(80) NOT NULL,
            host varchar(255) NOT NULL,
            pid integer NOT NULL,
            version varchar(40) NOT NULL,
            started_at {instant} NOT NULL,
            heartbeat_at {instant} NOT NULL,
            lease_expires_at {instant} NOT NULL,
            removed_at {instant} NOT NULL DEFAULT {now}
        {end}",
    ],
    also: Also::default()
}
