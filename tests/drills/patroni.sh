# Two PostgreSQL servers under Patroni, with one etcd. To be sourced after `lib.sh`.
# shellcheck shell=bash

. "$HERE/postgres.sh"
need patroni patroni
need etcd etcd-server
BASE=$((20000 + RANDOM % 1000 * 10))

# apart NAME PROGRAM...: runs it in the background, as the user postgres, and keeps its process id.
apart() {
    # shellcheck disable=SC2016  # for that shell
    as_postgres sh -c 'echo $$ >"$0.pid"; exec "$@" >>"$0.log" 2>&1' "$RUN/patroni/$@" 8>&- </dev/null 2>/dev/null &
    disown
}

kill_apart() {
    kill -9 "$(cat "$RUN/patroni/$1.pid")"
}

# member NUMBER: starts Patroni, which starts its PostgreSQL.
member() {
    apart "n$1" patroni "$RUN/patroni/n$1.yml"
}

# patroni_cluster true|false: whether the standby is synchronous.
patroni_cluster() {
    local number
    KIND=postgres
    mkdir "$RUN/patroni"
    [ "$(id -u)" != 0 ] || chown postgres: "$RUN/patroni"
    cd "$RUN/patroni"
    apart etcd etcd --data-dir "$RUN/patroni/etcd" --listen-client-urls "http://127.0.0.1:$BASE" \
        --advertise-client-urls "http://127.0.0.1:$BASE" --listen-peer-urls "http://127.0.0.1:$((BASE + 1))" \
        --initial-advertise-peer-urls "http://127.0.0.1:$((BASE + 1))" \
        --initial-cluster "default=http://127.0.0.1:$((BASE + 1))"
    for number in 1 2; do
        cat >"$RUN/patroni/n$number.yml" <<YML
scope: drill
name: n$number
restapi: {listen: '127.0.0.1:$((BASE + 4 + number))', connect_address: '127.0.0.1:$((BASE + 4 + number))'}
etcd3: {host: '127.0.0.1:$BASE'}
bootstrap:
  dcs: {ttl: 20, loop_wait: 1, retry_timeout: 5, maximum_lag_on_failover: 100000000, synchronous_mode: $1, postgresql: {use_pg_rewind: true, remove_data_directory_on_diverged_timelines: true, remove_data_directory_on_rewind_failure: true, parameters: {fsync: 'off', wal_log_hints: 'on', max_connections: 100}}}
  initdb: [{encoding: UTF8}, {locale: C.UTF-8}]
postgresql:
  listen: 127.0.0.1:$((BASE + 2 + number))
  connect_address: 127.0.0.1:$((BASE + 2 + number))
  data_dir: $RUN/patroni/d$number
  bin_dir: $PG
  pgpass: $RUN/patroni/pass$number
  pg_hba: ['local all all trust', 'host all all 127.0.0.1/32 trust', 'host replication all 127.0.0.1/32 trust']
  authentication: {replication: {username: rep, password: rep}, superuser: {username: postgres, password: postgres}}
  parameters: {unix_socket_directories: '$RUN/patroni'}
YML
    done
    member 1
    within 60 leads 1
    member 2
    URL="postgres://postgres@127.0.0.1:$((BASE + 3)),127.0.0.1:$((BASE + 4))/postgres?target_session_attrs=read-write"
    [ "$1" = true ] && STATE=sync || STATE=async
    within 60 is_replicated
}

leads() {
    [ "$(psql -X -At "postgres://postgres@127.0.0.1:$((BASE + 2 + $1))/postgres" -c 'SELECT pg_is_in_recovery()')" = f ]
}

is_replicated() {
    [ "$(sql "SELECT COUNT(*) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = '$STATE'")" = 1 ]
}

# Whether the standby has what was committed before that place in the log.
has() {
    [ "$(sql "SELECT COUNT(*) FROM pg_stat_replication WHERE replay_lsn >= '$1'")" = 1 ]
}

# fall NUMBER: Patroni and its PostgreSQL are killed; the other one leads as soon as the cluster sees it.
fall() {
    kill_apart "n$1"
    kill -9 "$(head -n 1 "$RUN/patroni/d$1/postmaster.pid")"
}

# patroni_drill true|false: each server fails once, and comes back as the standby of the other.
patroni_drill() {
    local number place
    patroni_cluster "$1"
    nodes one two
    for number in 1 2; do
        enqueue 3000 nothing
        enqueue 300 note
        enqueue 8 long
        place=$(sql "SELECT pg_current_wal_lsn()")
        within 60 has "$place"
        fall "$number"
        shows log one "the database is not available"
        within 90 leads $((3 - number))
        enqueue 300 nothing
        enqueue 50 note
        member "$number"
        within 120 is_replicated
    done
    finished 120
    stop one two
}

tidy_up() {
    local number pid
    for number in 1 2; do
        kill_apart "n$number" 2>/dev/null || true
        pid=$(head -n 1 "$RUN/patroni/d$number/postmaster.pid" 2>/dev/null) && kill -QUIT "$pid" 2>/dev/null || true
    done
    kill_apart etcd 2>/dev/null || true
    sleep 0.5
}
