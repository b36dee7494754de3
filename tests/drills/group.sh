# Three MySQL servers in a group (Group Replication) that all take writes. To be sourced after `lib.sh`.
# shellcheck shell=bash

KIND=group
BASE=$((20000 + RANDOM % 1000 * 10))
need mariadb mariadb-client
MYSQLD=$("$HERE/../install-mysql")
PLUGINS=$(find "$(dirname "$MYSQLD")/root" /usr/lib -name group_replication.so -printf '%h\n' 2>/dev/null | head -n 1)
[ -n "$PLUGINS" ] || die "this MySQL has no plugin for Group Replication"
USER_OF_SERVER=mysql
id -u mysql >/dev/null 2>&1 || USER_OF_SERVER=nobody

as_mysql() {
    if [ "$(id -u)" = 0 ]; then
        setpriv --reuid="$USER_OF_SERVER" --regid="$USER_OF_SERVER" --init-groups -- "$@"
    else
        "$@"
    fi
}

# serve NUMBER [new]: starts a server; the first one begins the group, the others join it. Until it is a member it only
# reads: what it is told before would be known to nobody else, and it could not join.
serve() {
    local home=$RUN/m$1 port=$((BASE + $1))
    as_mysql "$MYSQLD" --no-defaults --datadir="$home/data" --socket="$home/socket" --pid-file="$home/pid" \
        --port="$port" --bind-address=127.0.0.1 --report-host=127.0.0.1 --report-port="$port" --server-id="$1" \
        --mysqlx=OFF --secure-file-priv=NULL --skip-name-resolve --plugin-dir="$PLUGINS" --plugin-load-add=group_replication.so \
        --gtid-mode=ON --enforce-gtid-consistency=ON --log-bin=binlog --max-connections=100 \
        --innodb-buffer-pool-size=64M --innodb-redo-log-capacity=32M --innodb-flush-log-at-trx-commit=2 --sync-binlog=0 \
        --group-replication-group-name=6b1d3c2e-0000-4000-8000-000000000001 --group-replication-start-on-boot=OFF --super-read-only=ON \
        --group-replication-local-address="127.0.0.1:$((port + 4))" \
        --group-replication-group-seeds="127.0.0.1:$((BASE + 5)),127.0.0.1:$((BASE + 6)),127.0.0.1:$((BASE + 7))" \
        --group-replication-single-primary-mode=OFF --group-replication-enforce-update-everywhere-checks=ON \
        --group-replication-recovery-get-public-key=ON \
        >>"$home/log" 2>&1 </dev/null 8>&- &
    disown
    within 60 on_server "$1" "SELECT 1"
    [ -z "${2:-}" ] || on_server "$1" "SET GLOBAL group_replication_bootstrap_group = ON"
    on_server "$1" "START GROUP_REPLICATION USER = 'app', PASSWORD = 'app'"
    on_server "$1" "SET GLOBAL group_replication_bootstrap_group = OFF"
    within 90 is_online "$1"
}

# on_server NUMBER SQL
on_server() {
    mariadb --no-defaults --skip-ssl --connect-timeout=2 -h 127.0.0.1 -P $((BASE + $1)) -u app -papp -NBe "$2"
}

is_online() {
    [ "$(on_server "$1" "SELECT COUNT(*) FROM performance_schema.replication_group_members
        WHERE member_port = $((BASE + $1)) AND member_state = 'ONLINE'")" = 1 ]
}

# has_members NUMBER COUNT
has_members() {
    [ "$(on_server "$1" "SELECT COUNT(*) FROM performance_schema.replication_group_members
        WHERE member_state = 'ONLINE'")" = "$2" ]
}

# group: three servers are in step, and each daemon has one of its own.
group() {
    local number
    mkdir "$RUN/m1"
    cat >"$RUN/setup.sql" <<SQL
CREATE USER app@'127.0.0.1' IDENTIFIED BY 'app';
GRANT ALL ON *.* TO app@'127.0.0.1';
SQL
    [ "$(id -u)" != 0 ] || chown "$USER_OF_SERVER:" "$RUN/m1"
    as_mysql "$MYSQLD" --no-defaults --initialize-insecure --skip-log-bin --secure-file-priv=NULL --datadir="$RUN/m1/data" \
        --init-file="$RUN/setup.sql" --innodb-redo-log-capacity=32M >"$RUN/install.log" 2>&1
    rm "$RUN/m1/data/auto.cnf"
    cp -a "$RUN/m1" "$RUN/m2"
    cp -a "$RUN/m1" "$RUN/m3"
    serve 1 new
    on_server 1 "CREATE DATABASE app"
    for number in 2 3; do serve "$number"; done
    PORT=$((BASE + 1))
    URL=mysql://app:app@127.0.0.1:$PORT/app
    for number in 1 2 3; do
        configure "d$number" "mysql://app:app@127.0.0.1:$((BASE + number))/app"
        start "d$number"
        within 60 is_ready "d$number"
    done
}

kill_server() {
    kill -9 "$(cat "$RUN/m$1/pid")"
    within 60 has_members 1 2
}

tidy_up() {
    local number
    for number in 1 2 3; do
        [ ! -s "$RUN/m$number/pid" ] || kill -9 "$(cat "$RUN/m$number/pid")" 2>/dev/null || true
    done
    sleep 0.5
}
