# Long locks. To be sourced after `lib.sh`.
# shellcheck shell=bash

# locks KIND SECONDS PATTERN: each table is locked in turn for so long, while two nodes work. The log names it.
locks() {
    local table seconds=$2
    database "$1"
    nodes one two
    for table in $(tables); do
        enqueue 200 nothing
        enqueue 20 note
        enqueue 2 long
        sleep 0.3
        hold "$table" "$seconds" >/dev/null
    done
    enqueue 20 note
    finished 120
    shows log one "$3"
    stop one two
}

tables() {
    case $KIND in
        postgres) sql "SELECT tablename FROM pg_tables WHERE tablename LIKE 'sexton_%' ORDER BY 1" ;;
        sqlite) echo file ;;
        *) sql "SELECT table_name FROM information_schema.tables WHERE table_schema = 'app' AND table_name LIKE 'sexton%' ORDER BY 1" ;;
    esac
}

hold() {
    case $KIND in
        postgres) sql "BEGIN; LOCK TABLE $1 IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep($2); COMMIT" ;;
        sqlite) sqlite3 -cmd '.timeout 20000' "${URL#sqlite://}" "BEGIN IMMEDIATE" ".shell sleep $2" "COMMIT" ;;
        *) sql "LOCK TABLES $1 WRITE; SELECT SLEEP($2); UNLOCK TABLES" ;;
    esac
}
