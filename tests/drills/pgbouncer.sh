# pgbouncer in transaction mode between two nodes and PostgreSQL. To be sourced after `lib.sh`.
# shellcheck shell=bash

. "$HERE/postgres.sh"

# bounce: starts the pooler, on the same port again.
bounce() {
    as_postgres "$PGBOUNCER" -q "$RUN/pooler/pgbouncer.ini" >>"$RUN/pooler/log" 2>&1 8>&- </dev/null &
    disown
    within 20 eval "(exec 3<>/dev/tcp/127.0.0.1/$POOLER_PORT)"
}

unbounce() {
    kill -9 "$(cat "$RUN/pooler/pid")"
}

# pgbouncer_drill PROGRAM
pgbouncer_drill() {
    PGBOUNCER=$1
    say "$("$PGBOUNCER" -V | head -n 1)"
    database postgres
    # What a commit says must be true when the server is killed.
    sql "ALTER SYSTEM SET synchronous_commit = on"
    sql "SELECT pg_reload_conf()" >/dev/null
    POOLER_PORT=$((PORT + 1))
    mkdir "$RUN/pooler"
    cat >"$RUN/pooler/pgbouncer.ini" <<INI
[databases]
* = host=127.0.0.1 port=$PORT user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $POOLER_PORT
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 4
server_login_retry = 2
pidfile = $RUN/pooler/pid
ignore_startup_parameters = extra_float_digits
INI
    [ "$(id -u)" != 0 ] || chown -R postgres: "$RUN/pooler"
    bounce
    configure one
    configure two
    local name
    for name in one two; do
        sed -i "s|^url = .*|url = \"${URL/:$PORT/:$POOLER_PORT}\"\npooler = \"transaction\"\ndirect_url = \"$URL\"|" \
            "$RUN/$name/sexton.toml"
        start "$name"
        within 60 is_ready "$name"
    done
    enqueue 2000 nothing
    enqueue 200 note
    enqueue 8 long
    sleep 1
    unbounce
    shows log one "the database is not available"
    sleep 6
    bounce
    enqueue 1000 nothing
    enqueue 100 note
    sleep 1
    # The pooler stays, and its server is away.
    as_postgres "$PG/pg_ctl" -D "$RUN/server/data/db" -m immediate -w stop >/dev/null
    sleep 8
    shows status one "the database is not available|the lease is lost"
    shows summary one "the database (did not answer|is not available)"
    as_postgres "$PG/pg_ctl" -D "$RUN/server/data/db" -l "$RUN/server/data/log" -w start >/dev/null 8>&-
    enqueue 200 nothing
    for _ in $(seq 10); do
        sql "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname IS NOT NULL" \
            >/dev/null
        enqueue 50 nothing
        sleep 0.5
    done
    finished 120
    stop one two
}

tidy_up() {
    [ ! -s "$RUN/pooler/pid" ] || unbounce
    as_postgres "$PG/pg_ctl" -D "$RUN/server/data/db" -m immediate stop >/dev/null 2>&1
}
