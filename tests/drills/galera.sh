# Three Galera nodes, each in a network of its own, on a bridge. To be sourced after `lib.sh`. Needs root.
# shellcheck shell=bash

[ "$(id -u)" = 0 ] || die "networks of their own need root"
need ip iproute2
need mariadbd mariadb-server
need rsync rsync
[ -e /usr/lib/galera/libgalera_smm.so ] || install_package galera-4
NET=10.$((RANDOM % 200 + 20)).$((RANDOM % 200 + 20))
ID=x$((RANDOM % 9000 + 1000))
KIND=galera
PORT=3306

as_mysql() {
    setpriv --reuid=mysql --regid=mysql --init-groups -- "$@"
}

# serve NUMBER [new]: starts a node; the first one begins a cluster.
serve() {
    local home=$RUN/g$1 cluster=$NET.11,$NET.12,$NET.13 new=()
    [ -z "${2:-}" ] || { cluster="" && new=(--wsrep-new-cluster); }
    ip netns exec "$ID$1" setpriv --reuid=mysql --regid=mysql --init-groups -- mariadbd --no-defaults \
        --datadir="$home/data" --socket="$home/socket" --pid-file="$home/pid" --bind-address=0.0.0.0 --port=$PORT \
        --skip-name-resolve --innodb-log-file-size=16M --innodb-buffer-pool-size=64M --innodb-flush-log-at-trx-commit=2 \
        --binlog-format=ROW --innodb-autoinc-lock-mode=2 --wsrep-on=ON --wsrep-provider=/usr/lib/galera/libgalera_smm.so \
        --wsrep-cluster-name="$ID" --wsrep-cluster-address="gcomm://$cluster" --wsrep-node-address="$NET.1$1" \
        --wsrep-node-name="n$1" --wsrep-sst-method=rsync "${new[@]}" \
        --wsrep-provider-options="gcache.size=32M;evs.keepalive_period=PT0.5S;evs.suspect_timeout=PT2S;evs.inactive_timeout=PT5S;evs.inactive_check_period=PT0.5S;pc.recovery=true" \
        >>"$home/log" 2>&1 </dev/null 8>&- &
    disown
    within 60 is_synced "$1"
}

on_node() {
    mariadb --no-defaults --connect-timeout=2 -S "$RUN/g$1/socket" -u root -NBe "$2"
}

is_synced() {
    [ "$(on_node "$1" "SHOW STATUS LIKE 'wsrep_local_state_comment'" | cut -f 2)" = Synced ]
}

has_size() {
    [ "$(on_node "$1" "SHOW STATUS LIKE 'wsrep_cluster_size'" | cut -f 2)" = "$2" ]
}

# cluster: three nodes are in step, and each daemon has one of its own.
cluster() {
    local number
    ip link add "$ID" type bridge
    ip addr add "$NET.1/24" dev "$ID"
    ip link set "$ID" up
    for number in 1 2 3; do
        ip netns add "$ID$number"
        ip link add "$ID-$number" type veth peer name eth0 netns "$ID$number"
        ip link set "$ID-$number" master "$ID" up
        ip -n "$ID$number" link set lo up
        ip -n "$ID$number" addr add "$NET.1$number/24" dev eth0
        ip -n "$ID$number" link set eth0 up
        mkdir "$RUN/g$number"
        chown mysql: "$RUN/g$number"
    done
    as_mysql mariadb-install-db --no-defaults --datadir="$RUN/g1/data" --auth-root-authentication-method=normal \
        --skip-test-db --skip-name-resolve --innodb-log-file-size=16M >"$RUN/install.log" 2>&1
    cp -a "$RUN/g1/data" "$RUN/g2/"
    cp -a "$RUN/g1/data" "$RUN/g3/"
    serve 1 new
    on_node 1 "CREATE DATABASE app; CREATE USER app@'%' IDENTIFIED BY 'app'; GRANT ALL ON *.* TO app@'%'"
    serve 2
    serve 3
    SQL_HOST=$NET.11
    URL=mysql://app:app@$NET.11:$PORT/app
    for number in 1 2 3; do
        configure "d$number" "mysql://app:app@$NET.1$number:$PORT/app"
        start "d$number"
        within 60 is_ready "d$number"
    done
}

split() {
    ip link set "$ID-$1" nomaster
    within 30 has_size 1 2
}

heal() {
    ip link set "$ID-$1" master "$ID"
    within 60 has_size 1 3
}

kill_node() {
    kill -9 "$(cat "$RUN/g$1/pid")"
    within 30 has_size 1 2
}

tidy_up() {
    local number
    for number in 1 2 3; do
        [ ! -s "$RUN/g$number/pid" ] || kill -9 "$(cat "$RUN/g$number/pid")" 2>/dev/null || true
    done
    sleep 0.5
    for number in 1 2 3; do ip netns del "$ID$number" 2>/dev/null || true; done
    ip link del "$ID" 2>/dev/null || true
}
