//! Creates `sexton_task`: unfinished tasks.

crate::dialect::step! {
    drops: ["sexton_task"],
    common: &["CREATE TABLE IF NOT EXISTS sexton_task (
        id {id},
        name varchar(150) NOT NULL,
        queue varchar(100),
        state varchar(16) NOT NULL DEFAULT 'available',
        priority integer NOT NULL DEFAULT 0,
        payload {json},
        run_at {instant} NOT NULL DEFAULT {now},
        unique_key varchar(190),
        attempt integer NOT NULL DEFAULT 0,
        max_attempts integer,
        fence bigint NOT NULL DEFAULT 0,
        schedule varchar(150),
        due_at {instant},
        enqueued_at {instant} NOT NULL DEFAULT {now},
        started_at {instant},
        node varchar(100),
        cancel_requested_at {instant},
        CONSTRAINT sexton_task_unique_key UNIQUE (unique_key)
        [mysql], INDEX sexton_task_claim (queue, state, priority, id), INDEX sexton_task_state (state, run_at)
    {end}"],
    also: Also {
        // Indexes for claiming (in the order of claims), for promotion, and for the running tasks of a node.
        // Rows of this table are short-lived, so autovacuum must remove dead rows early.
        postgres: &[
            "CREATE INDEX IF NOT EXISTS sexton_task_claim ON sexton_task (queue, priority, id) WHERE state = 'available'",
            "CREATE INDEX IF NOT EXISTS sexton_task_promote ON sexton_task (run_at) WHERE state IN ('scheduled', 'retryable')",
            "CREATE INDEX IF NOT EXISTS sexton_task_running ON sexton_task (node) WHERE state = 'running'",
            "ALTER TABLE sexton_task SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, \
             autovacuum_analyze_scale_factor = 0.1)",
        ],
        // Instants are text here. A trigger converts SQLite's other time formats into the fixed form and refuses text that is
        // not a time; another one refuses a payload that is not JSON.
        sqlite: &[
            "CREATE INDEX IF NOT EXISTS sexton_task_claim ON sexton_task (queue, priority, id) WHERE state = 'available'",
            "CREATE INDEX IF NOT EXISTS sexton_task_promote ON sexton_task (run_at) WHERE state IN ('scheduled', 'retryable')",
            "CREATE INDEX IF NOT EXISTS sexton_task_running ON sexton_task (node) WHERE state = 'running'",
            "CREATE TRIGGER IF NOT EXISTS sexton_task_run_at AFTER INSERT ON sexton_task
             WHEN NEW.run_at NOT GLOB '????-??-??T??:??:??*+00:00'
             BEGIN
                SELECT RAISE(ABORT, 'run_at is not a time that SQLite understands')
                 WHERE strftime('%s', NEW.run_at) IS NULL;
                UPDATE sexton_task SET run_at = strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.run_at) WHERE id = NEW.id;
             END",
            "CREATE TRIGGER IF NOT EXISTS sexton_task_payload BEFORE INSERT ON sexton_task
             WHEN NEW.payload IS NOT NULL AND NOT json_valid(NEW.payload)
             BEGIN
                SELECT RAISE(ABORT, 'payload is not JSON');
             END",
        ],
    }
}
