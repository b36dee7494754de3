# A storm of kills: three nodes, of which one after the other is killed and started again. To be sourced after `lib.sh`.
# shellcheck shell=bash

# storm: for DRILL_SECONDS (30 unless set), and then until all is done.
storm() {
    local end=$((SECONDS + ${DRILL_SECONDS:-30})) kills=0 names=(one two three) victim
    nodes "${names[@]}"
    while [ "$SECONDS" -lt "$end" ]; do
        enqueue 150 nothing
        enqueue 40 note
        victim=${names[$((RANDOM % 3))]}
        sleep "0.$((RANDOM % 9 + 1))"
        crash "$victim"
        kills=$((kills + 1))
        start "$victim"
    done
    say "$kills kills"
    finished 120
    stop "${names[@]}"
}
