# What the checks have in common. To be sourced inside the booted system.
# shellcheck shell=bash

RESULTS=/run/sexton-tests
UNIT=sexton.service

# check WHAT COMMAND...: one line for each, and what the command wrote if it failed.
check() {
    local what=$1 said
    shift
    if said=$("$@" 2>&1); then
        echo "ok      $what"
        echo "$what" >>"$RESULTS/ok"
    else
        echo "FAILED  $what"
        [ -z "$said" ] || echo "${said//$'\n'/$'\n'            }" | sed '1s/^/            /'
        echo "$what" >>"$RESULTS/failed"
    fi
}

# is and isnt ACTUAL EXPECTED, matches ACTUAL REGEX: say what they saw instead.
is() {
    [ "$1" = "$2" ] || { echo "it is '$1', and not '$2'"; return 1; }
}

isnt() {
    [ "$1" != "$2" ] || { echo "it is still '$1'"; return 1; }
}

matches() {
    [[ $1 =~ $2 ]] || { echo "'$1' does not match '$2'"; return 1; }
}

# within SECONDS COMMAND...: asks again until it holds.
within() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        if [ "$SECONDS" -ge "$deadline" ]; then
            "$@" || echo "not within the time given: $*"
            return 1
        fi
        sleep 0.1
    done
}

# The command line, as the daemon's user.
sexton() {
    setpriv --reuid=sexton --regid=sexton --init-groups --no-new-privs \
        /usr/bin/sexton --config /etc/sexton/sexton.toml "$@"
}

property() {
    systemctl show --property="$1" --value "$UNIT"
}

property_is() {
    is "$(property "$1")" "$2"
}

pid_is_not() {
    local pid
    pid=$(property MainPID)
    [ "$pid" != 0 ] && [ "$pid" != "$1" ] && property_is ActiveState active
}

# A daemon that has only just begun, with its settings laid over the unit's: fresh [LINE...].
fresh() {
    local folder=/run/systemd/system/$UNIT.d
    systemctl stop "$UNIT"
    systemctl reset-failed "$UNIT" 2>/dev/null || true
    pkill -KILL --uid sexton || true
    within 5 no_processes
    rm -rf /var/lib/sexton "$folder"
    if [ "$#" -gt 0 ]; then
        mkdir -p "$folder"
        printf '%s\n' '[Service]' "$@" >"$folder/test.conf"
    fi
    systemctl daemon-reload
    systemctl start "$UNIT"
    # It is ready before the database is: it can wait for that.
    within 10 sexton history
}

no_processes() {
    ! pgrep --uid sexton
}

# What the journal has of the unit since a mark.
mark() {
    journalctl --sync
    journalctl --unit "$UNIT" --lines 1 --show-cursor --output cat | sed -n 's/^-- cursor: //p'
}

journal_since() {
    local mark=$1
    shift
    journalctl --sync
    journalctl --unit "$UNIT" ${mark:+--after-cursor "$mark"} "$@"
}

journal_says() {
    journal_since "$1" --output cat | grep -E "$2" || { echo "the journal does not say '$2'"; return 1; }
}

# Enqueues a task, and waits until its command runs: prints the task's number.
running() {
    local id
    id=$(sexton --json task add "$1" | jq .id)
    within 10 is_running "$1" >&2
    echo "$id"
}

is_running() {
    pgrep --uid sexton --full "^sexton: \[[^]]*\] $1 "
}

# The process of a command that sleeps for so long.
sleeping() {
    within 5 pgrep --uid sexton --full --exact "sleep $1" >&2
    pgrep --uid sexton --full --exact "sleep $1"
}

# history_is NAME OUTCOMES: all attempts of a definition, oldest first.
history_is() {
    is "$(sexton --json history --name "$1" | jq --raw-output '[.[].outcome] | reverse | join(" ")')" "$2"
}

# The groups of commands below the unit's.
no_command_groups() {
    ! find "/sys/fs/cgroup$(property ControlGroup)" -mindepth 1 -type d ! -name daemon | grep .
}

status_matches() {
    matches "$(property StatusText)" "$1"
}
