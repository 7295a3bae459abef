#!/bin/sh
# keep_log.sh LOG COMMAND...: runs the command, keeps what it says in LOG, and repeats it without ptxas' statistics.
log=$1
shift
"$@" >"$log" 2>&1
status=$?
grep -v -e '^ptxas info' -e 'bytes stack frame' -e 'Compile time' "$log" >&2
exit $status
