# PostgreSQL's own programs. To be sourced after `lib.sh`.
# shellcheck shell=bash

need psql postgresql
PG=$(find /usr/lib/postgresql -maxdepth 2 -name bin | sort -V | tail -n 1)

as_postgres() {
    if [ "$(id -u)" = 0 ]; then
        setpriv --reuid=postgres --regid=postgres --init-groups -- "$@"
    else
        "$@"
    fi
}
