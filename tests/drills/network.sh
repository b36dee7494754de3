# Two nodes, each behind a proxy of its own before one server. To be sourced after `lib.sh`.
# shellcheck shell=bash

need python3 python3

# behind_proxy NAME: the node's proxy, and the node.
behind_proxy() {
    local folder=$RUN/proxy-$1
    mkdir "$folder"
    network "$1" up
    python3 "$HERE/proxy.py" "$PORT" "$folder" 2>"$folder/log" 8>&- &
    STARTED+=($!)
    disown
    within 20 test -s "$folder/port"
    configure "$1" "${URL/:$PORT/:$(cat "$folder/port")}"
    start "$1"
    within 60 is_ready "$1"
}

# network NAME MODE: from now on; see `proxy.py`.
network() {
    echo "$2" >"$RUN/proxy-$1/mode.new"
    mv "$RUN/proxy-$1/mode.new" "$RUN/proxy-$1/mode"
}

more() {
    enqueue 400 nothing
    enqueue 60 note
    enqueue 4 long
}

# network_drill KIND: each failure for longer than the lease, on one of the nodes and on both.
network_drill() {
    local mode
    database "$1"
    behind_proxy one
    behind_proxy two
    for mode in cut stall silent; do
        more
        sleep 0.5
        network one "$mode"
        more
        sleep 8
        [ "$mode" != cut ] || shows log one "the database is not available"
        shows status one "the database is not available|the lease is lost"
        shows summary one "the database (did not answer|is not available)"
        network two "$mode"
        more
        sleep 8
        network one up
        network two up
        sleep 2
    done
    more
    network one answers
    network two answers
    for _ in $(seq 10); do
        more
        sleep 1
    done
    network one up
    network two up
    finished 180
    stop one two
}
