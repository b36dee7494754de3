# A PostgreSQL with a streaming standby, and a failover between them. To be sourced after `lib.sh`.
# shellcheck shell=bash

. "$HERE/postgres.sh"

# pair synchronous|asynchronous: the standby is ready. The address stays the same over the failover.
pair() {
    database postgres
    PRIMARY=$RUN/server/data/db
    STANDBY=$RUN/server/data/standby
    cd "$RUN"
    # What a commit says must be true when the server is killed.
    sql "ALTER SYSTEM SET synchronous_commit = on"
    as_postgres "$PG/pg_basebackup" -h 127.0.0.1 -p "$PORT" -U postgres -D "$STANDBY" -R -X stream -c fast
    as_postgres "$PG/pg_ctl" -D "$STANDBY" -o "-p $((PORT + 1)) -k $STANDBY" -l "$RUN/server/data/standby.log" -w start >/dev/null 8>&-
    if [ "$1" = synchronous ]; then
        sql "ALTER SYSTEM SET synchronous_standby_names = '*'"
    fi
    sql "SELECT pg_reload_conf()" >/dev/null
    within 20 eval '[ "$(sql "SELECT COUNT(*) FROM pg_stat_replication WHERE state = '"'streaming'"'")" = 1 ]'
}

has_everything() {
    [ "$(sql "SELECT COUNT(*) FROM pg_stat_replication WHERE replay_lsn = pg_current_wal_lsn()")" = 1 ]
}

# fail_over: the primary is killed, the standby takes its place and its port.
fail_over() {
    local pid
    pid=$(head -n 1 "$PRIMARY/postmaster.pid")
    kill -9 "$pid"
    as_postgres "$PG/pg_ctl" -D "$STANDBY" -w promote >/dev/null
    psql -X -q "${URL/:$PORT/:$((PORT + 1))}" -c "ALTER SYSTEM RESET synchronous_standby_names"
    as_postgres "$PG/pg_ctl" -D "$STANDBY" -m fast -w stop >/dev/null
    within 20 eval "! (exec 3<>/dev/tcp/127.0.0.1/$PORT)"
    as_postgres "$PG/pg_ctl" -D "$STANDBY" -o "-p $PORT -k $STANDBY" -l "$RUN/server/data/standby.log" -w start >/dev/null 8>&-
}

tidy_up() {
    as_postgres "$PG/pg_ctl" -D "$STANDBY" -m immediate -w stop >/dev/null 2>&1
}
