# A Debian 12 to boot, and what ends it again. To be sourced by `run` and `package`.
# shellcheck shell=bash

die() {
    echo "FAILED: $*"
    exit 1
}

install_missing() {
    local wanted=()
    command -v systemd-nspawn >/dev/null || wanted+=(systemd-container)
    command -v mmdebstrap >/dev/null || wanted+=(mmdebstrap)
    command -v nsenter >/dev/null && command -v unshare >/dev/null || wanted+=(util-linux)
    command -v pgrep >/dev/null || wanted+=(procps)
    command -v mount >/dev/null || wanted+=(mount)
    [ "${#wanted[@]}" -gt 0 ] || return 0
    echo "installing ${wanted[*]}"
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${wanted[@]}"
}

# A Debian 12 from where this machine has its own packages, once.
build_root() {
    local packages=systemd,systemd-sysv,dbus,procps,tzdata,jq source
    [ ! -e "$ROOT/.is-complete" ] || return 0
    rm -rf "$ROOT"
    # The lists that apt has tell from where; they are not there on a fresh image.
    source=$(debian_source)
    if [ -z "$source" ]; then
        apt-get update -q
        source=$(debian_source)
    fi
    [ -n "$source" ] || die "apt of this machine knows no Debian archive to build a system from"
    echo "building $ROOT"
    mmdebstrap --quiet --mode=root --variant=apt --include="$packages" \
        --keyring=/usr/share/keyrings/debian-archive-keyring.gpg bookworm "$ROOT" "deb $source bookworm main"
    # As a package's images have it: the first boot gives it a name.
    : >"$ROOT/etc/machine-id"
    touch "$ROOT/.is-complete"
}

debian_source() {
    # shellcheck disable=SC2016  # apt fills these in
    apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(LABEL)' 'Created-By: Packages' |
        awk '$2 == "Debian" && $3 == "Debian" { print $1; exit }'
}

clean_up() {
    # First of all the checks, if they were interrupted: nsenter waits for a process that the power-off stops.
    [ -z "$CHECKS" ] || pkill -KILL --parent "$CHECKS" || true
    shut_down
    rm -rf --one-file-system "$RUN" "$(dirname "$RUN")/.#$(basename "$RUN").lck"
    if [ -d "$GROUP" ]; then echo "FAILED: $GROUP is left behind"; fi
}

# Copies the Debian to a folder of its own, RUN, which is deleted at the end.
prepare() {
    install_missing
    # shellcheck source=tests/systemd/boot.sh
    . "$HERE/boot.sh"
    mkdir -p target
    build_root
    RUN=$(mktemp -d "$PWD/target/systemd-run.XXXXXX")
    trap clean_up EXIT
    trap 'exit 130' INT TERM
    cp -a "$ROOT/." "$RUN"
}

# Runs checks inside, in the background, so that a signal is heard meanwhile.
run_checks() {
    inside /opt/tests/check "$@" &
    CHECKS=$!
    wait "$CHECKS"
}

ROOT=target/systemd-root
CHECKS=""
