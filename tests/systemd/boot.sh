# Boots a folder with a real systemd as its first process, and ends it again. To be sourced by `run`.
# shellcheck shell=bash
# Sets: LEADER (the systemd, as seen from outside), OUTER (what holds it), GROUP (its control group).

LEADER=""
OUTER=""
GROUP=""
OWN_MOUNT=""
OFFERED=()

# The place of cgroup2, which is not the usual one in many containers; mounted if it is nowhere.
find_cgroup2() {
    CGROUP2=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
    if [ -z "$CGROUP2" ]; then
        OWN_MOUNT=$(mktemp -d)
        mount -t cgroup2 cgroup2 "$OWN_MOUNT" || die "this machine has no cgroup2: systemd cannot be booted on it"
        CGROUP2=$OWN_MOUNT
    fi
}

# Hands on what controllers a group has. There may be none: the check that needs one says so.
offer_controllers() {
    local name names
    # Nothing at all is read where there are none.
    read -ra names <"$1/cgroup.controllers" || true
    for name in "${names[@]}"; do
        if ! grep -qw "$name" "$1/cgroup.subtree_control" && echo "+$name" >"$1/cgroup.subtree_control"; then
            OFFERED+=("$1 $name")
        fi 2>/dev/null
    done
}

# Takes that back, the last one first.
withdraw_controllers() {
    local at
    for ((at = ${#OFFERED[@]} - 1; at >= 0; at--)); do
        echo "-${OFFERED[at]#* }" >"${OFFERED[at]% *}/cgroup.subtree_control" || true
    done 2>/dev/null
    OFFERED=()
}

# Runs a command inside.
inside() {
    nsenter --target "$LEADER" --all env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 "$@"
}

# boot FOLDER LOG: by systemd-nspawn, or where that cannot, by unshare alone.
boot() {
    local folder=$1 log=$2 way
    find_cgroup2
    GROUP=$CGROUP2/sexton-test.$$
    mkdir "$GROUP" || die "no control group can be made in $CGROUP2: the tests need to be root of the machine's cgroup2"
    offer_controllers "$CGROUP2"
    for way in by_nspawn by_unshare; do
        (
            echo "$BASHPID" >"$GROUP/cgroup.procs"
            exec setsid bash "$HERE/$way" "$folder"
        ) </dev/null >"$log" 2>&1 &
        OUTER=$!
        if is_up; then
            # A group that hands controllers on has no processes itself.
            mkdir -p "$GROUP/outer"
            echo "$OUTER" >"$GROUP/outer/cgroup.procs"
            offer_controllers "$GROUP"
            echo "booted $way: $(inside systemctl --version | head -1)"
            return
        fi
        echo "no boot $way:"
        sed 's/^/    /' "$log"
        end_all
    done
    die "systemd cannot be booted on this machine, neither by systemd-nspawn nor by unshare"
}

# Waits until the systemd inside has started everything, for a minute at most.
is_up() {
    local deadline=$((SECONDS + 60)) state
    while [ "$SECONDS" -lt "$deadline" ] && kill -0 "$OUTER" 2>/dev/null; do
        LEADER=$(pgrep --parent "$OUTER" | head -1 || true)
        if [ -n "$LEADER" ]; then
            state=$(inside systemctl is-system-running 2>/dev/null || true)
            case $state in running | degraded) return 0 ;; esac
        fi
        sleep 0.05
    done
    return 1
}

# Ends everything inside, in good order if it will. Safe to call at any time, and twice.
shut_down() {
    local deadline=$((SECONDS + 15))
    # A power-off without further ado; a daemon that waits for a command would delay it.
    [ -z "$LEADER" ] || inside pkill -KILL --uid sexton 2>/dev/null || true
    if [ -n "$LEADER" ] && kill -s RTMIN+14 "$LEADER" 2>/dev/null; then
        # What holds it ends by itself then, and takes its own files away.
        while kill -0 "$OUTER" 2>/dev/null && [ "$SECONDS" -lt "$deadline" ]; do sleep 0.05; done
    fi
    end_all
    rmdir "$GROUP" 2>/dev/null || true
    withdraw_controllers
    if [ -n "$OWN_MOUNT" ]; then
        umount "$OWN_MOUNT" && rmdir "$OWN_MOUNT"
        OWN_MOUNT=""
    fi
}

# Kills what is left, and removes the control groups.
end_all() {
    local deadline=$((SECONDS + 10))
    [ -z "$LEADER" ] || kill -KILL "$LEADER" 2>/dev/null || true
    [ -z "$OUTER" ] || { kill -KILL "$OUTER" 2>/dev/null || true; wait "$OUTER" 2>/dev/null || true; }
    LEADER=""
    OUTER=""
    [ -d "$GROUP" ] || return 0
    echo 1 >"$GROUP/cgroup.kill"
    while [ "$SECONDS" -lt "$deadline" ]; do
        find "$GROUP" -mindepth 1 -depth -type d -exec rmdir {} + 2>/dev/null && break
        sleep 0.05
    done
}
