# What the drills have in common: a database, nodes, tasks, and the account. To be sourced.
# shellcheck shell=bash
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
RUN=$(mktemp -d /tmp/sexton-drill.XXXXXX)
# Servers have users of their own.
chmod 755 "$RUN"
EXECUTED=$RUN/executed
touch "$EXECUTED"
ACCEPTED=0
declare -A NODES=()
# What a drill starts beside its nodes: process ids.
STARTED=()
# The settings of every node, inside the table [daemon].
SETTINGS='heartbeat = "1s"
lease = "5s"
workers = 8'

# Ends what was started, by process id. What a drill adds is its function `tidy_up`.
leave() {
    local status=$? name
    trap - EXIT
    for name in "${!NODES[@]}"; do kill -9 "${NODES[$name]}" 2>/dev/null || true; done
    for pid in "${STARTED[@]}"; do
        kill -CONT "$pid" 2>/dev/null || true
        kill "$pid" 2>/dev/null || true
    done
    if declare -F tidy_up >/dev/null; then tidy_up || true; fi
    # Its own server ends at once; it would end by itself half a minute later.
    if [ -n "${SERVER:-}" ]; then
        # PostgreSQL takes its processes with it; MySQL would first write out what is thrown away.
        [ "$KIND" = postgres ] && kill -QUIT "$SERVER" 2>/dev/null || kill -9 "$SERVER" 2>/dev/null || true
    fi
    exec 8>&- || true
    if [ "$status" = 0 ] && [ -z "${KEEP_RECORDS:-}" ]; then
        for _ in $(seq 50); do
            rm -rf "$RUN" 2>/dev/null && break
            sleep 0.2
        done
    else
        echo "   the records are in $RUN"
    fi
    exit "$status"
}
trap leave EXIT
trap 'exit 130' INT TERM

say() {
    echo "   $*"
}

die() {
    say "$*"
    exit 1
}

# need PROGRAM PACKAGE: installs the package if the program is missing.
need() {
    command -v "$1" >/dev/null || install_package "$2"
}

install_package() {
    local root=()
    [ "$(id -u)" = 0 ] || root=(sudo)
    say "installing $1"
    "${root[@]}" apt-get update -q >"$RUN/apt.log" 2>&1
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$1" >>"$RUN/apt.log" 2>&1
}

# database sqlite|postgres|mariadb|mysql: an empty database on a server of this drill's own.
database() {
    KIND=$1
    if [ "$KIND" = sqlite ]; then
        need sqlite3 sqlite3
        URL=sqlite://$RUN/app.db
        return
    fi
    mkdir -p "$RUN/server"
    # The server runs for as long as this lock is held.
    exec 8>>"$RUN/server/users"
    flock -s 8
    URL=$("$HERE/../server" "$KIND" "$RUN/server")
    SERVER=$(cat "$RUN/server/pid")
    PORT=$(sed -E 's|.*:([0-9]+)/.*|\1|' <<<"$URL")
    [ "$KIND" = postgres ] || { sql "CREATE DATABASE app" && URL=${URL%/*}/app; }
}

# sql TEXT: the rows, with `-` between the columns.
sql() {
    case $URL in
        sqlite:*) sqlite3 -separator - -cmd '.timeout 20000' "${URL#sqlite://}" "$1" ;;
        postgres:*) psql -X -q -At -F - -v ON_ERROR_STOP=1 "$URL" -c "$1" ;;
        mysql:*)
            mariadb --no-defaults --skip-ssl --connect-timeout=5 -h "${SQL_HOST:-127.0.0.1}" -P "$PORT" -u app -papp -N -B \
                "${URL##*/}" -e "$1" | tr '\t' '-'
            ;;
    esac
}

# configure NAME [URL [TABLES]]: writes the configuration of a node.
configure() {
    local folder=$RUN/$1
    mkdir -p "$folder"
    cat >"$folder/sexton.toml" <<TOML
[database]
url = "${2:-$URL}"

[daemon]
name = "$1"
state_dir = "$folder/state"
$SETTINGS

[task.nothing]
kind = "noop"

[task.note]
command = ["sh", "-c", "echo \$SEXTON_TASK_ID-\$SEXTON_TASK_FENCE >>$EXECUTED; sleep 0.05"]

[task.long]
command = ["sh", "-c", "echo \$SEXTON_TASK_ID-\$SEXTON_TASK_FENCE >>$EXECUTED; sleep \${SECONDS_TO_SLEEP:-3}"]

${3:-}
TOML
}

# start NAME: starts the daemon of that configuration.
start() {
    "$SEXTON_BINARY" --config "$RUN/$1/sexton.toml" run >>"$RUN/$1/log" 2>&1 8>&- </dev/null &
    NODES[$1]=$!
    disown
}

is_ready() {
    "$SEXTON_BINARY" --config "$RUN/$1/sexton.toml" --json status 2>/dev/null | grep -q '"phase": *"running"'
}

# shows log|status|summary NAME PATTERN: what tells an operator what is wrong: a line of the node's log, or of a command.
# A command that does not end within 8 s shows nothing.
shows() {
    local line deadline=$((SECONDS + 30))
    until line=$(operator_sees "$1" "$2" | grep -E -- "$3" | head -n 1) && [ -n "$line" ]; do
        [ "$SECONDS" -lt "$deadline" ] || die "$2 does not show in its $1: $3"
        sleep 0.3
    done
    say "$1 of $2: $(sed -E 's/^ +//; s/ +/ /g' <<<"$line" | cut -c 1-240)"
}

operator_sees() {
    case $1 in
        log) cut -d ' ' -f 2- "$RUN/$2/log" ;;
        *) timeout 8 "$SEXTON_BINARY" --config "$RUN/$2/sexton.toml" "$1" 2>&1 || true ;;
    esac
}

# within SECONDS COMMAND...: waits until it holds.
within() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || { say "not within the time given: $*"; return 1; }
        sleep 0.1
    done
}

# nodes NAME...: configures and starts nodes, and waits until they run.
nodes() {
    for name in "$@"; do
        configure "$name"
        start "$name"
        within 60 is_ready "$name"
    done
}

# crash NAME: kills a daemon as a power cut would. Its commands continue.
crash() {
    kill -9 "${NODES[$1]}"
    while kill -0 "${NODES[$1]}" 2>/dev/null; do sleep 0.02; done
}

# stop NAME...: cleanly.
stop() {
    for name in "$@"; do
        kill -TERM "${NODES[$name]}"
        within 60 eval "! kill -0 ${NODES[$name]}"
        unset "NODES[$name]"
    done
}

# enqueue COUNT NAME: as an application does, in one statement.
enqueue() {
    local rows
    rows=$(printf "('$2'),%.0s" $(seq "$1"))
    sql "INSERT INTO sexton_task (name) VALUES ${rows%,}"
    ACCEPTED=$((ACCEPTED + $1))
}

number() {
    sql "SELECT COUNT(*) FROM $1"
}

is_done() {
    [ "$(number sexton_task)" = 0 ]
}

times() {
    number "(SELECT task_id FROM sexton_history WHERE verdict = 'completed' GROUP BY task_id HAVING COUNT(*) $1) x"
}

# finished SECONDS: waits until no task is left, and prints the account. It fails unless that is exact.
finished() {
    within "$1" is_done || say "left: $(sql "SELECT state, COUNT(*) FROM sexton_task GROUP BY state" | paste -sd ' ')"
    account
}

account() {
    local once twice interrupted superseded left lost unrecorded again
    once=$(times "= 1")
    twice=$(times "> 1")
    left=$(number sexton_task)
    interrupted=$(number "sexton_history WHERE outcome = 'interrupted'")
    superseded=$(number "sexton_history WHERE outcome = 'superseded'")
    lost=$((ACCEPTED - once - twice - left))
    sql "SELECT task_id, fence FROM sexton_history" | sort -u >"$RUN/recorded"
    unrecorded=$(sort -u "$EXECUTED" | comm -23 - "$RUN/recorded" | wc -l)
    again=$(cut -d - -f 1 "$EXECUTED" | sort | uniq -d | wc -l)
    say "accepted $ACCEPTED, finished once $once, twice $twice, lost $lost, left $left;" \
        "interrupted attempts $interrupted, superseded $superseded;" \
        "commands executed $(wc -l <"$EXECUTED"), of tasks executed again $again, not on record $unrecorded"
    # A database that forgets its last commits forgets the records of executions, too.
    [ -z "${FORGETS:-}" ] || unrecorded=0
    [ "$once/$twice/$lost/$left/$unrecorded" = "$ACCEPTED/0/0/0/0" ]
}
