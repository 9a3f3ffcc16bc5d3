#!/bin/bash
# Many short processes: runs a program that spins for 10 ms of CPU time, over and over.
#
#     short.sh [--wait] [COUNT]
#
# Like the C programs (see target.h) it prints `ready PID`, works COUNT times or until stdin closes, and prints
# one line of nanoseconds. `total` is the CPU time of the shell and all it has run, as the kernel counts it
# (starting programs included, in steps of a clock tick: see times(2)); `spin` is what the programs say of
# themselves; `runs` is their number.
# The program is `spin` beside this script, or what SHORT_COMMAND names.
set -euo pipefail

command=${SHORT_COMMAND:-$(dirname "$(readlink -f "$0")")/spin}
wait=false
if [ "${1:-}" = --wait ]; then
    wait=true
    shift
fi
count=${1:-0}

echo "ready $$"
if $wait; then
    read -r _ || true
fi

goes_on() {
    if [ "$count" -gt 0 ]; then
        [ "$runs" -lt "$count" ]
        return
    fi
    # A time-out is a status above 128, the end of stdin is 1.
    local status=0
    read -r -t 0.001 _ || status=$?
    [ "$status" -ne 1 ]
}

runs=0
spin=0
while goes_on; do
    # The last line is `cpu total=N …`.
    said=$("$command" 0.01 </dev/null)
    said=${said##*cpu total=}
    spin=$((spin + ${said%% *}))
    runs=$((runs + 1))
done

# Two lines of `XmY.YYYs XmY.YYYs`, user and system: the shell's own, then its children's. A redirection, not a
# pipe: a subshell would have times of its own.
file=$(mktemp)
times >"$file"
total=$(tr 'ms' '  ' <"$file" | awk '{ sum += ($1 + $3) * 60 + $2 + $4 } END { printf "%.0f", sum * 1e9 }')
rm -f "$file"
echo "cpu total=$total spin=$spin runs=$runs"
