#!/bin/sh
# lab.sh LABTEST [JOBS]: runs all lab tests of the compiled LABTEST, each in a process of
# its own and JOBS of them side by side, for a lab waits more than it works. What a test
# prints is shown when it fails. Ends with 1 if any does.
set -u
binary=$1
jobs=${2:-2}
logs=$(mktemp -d) || exit 1
trap 'rm -rf "$logs"' EXIT
cd "$(dirname "$0")/../integration" || exit 1
"$binary" -test.list . >"$logs/list" || { cat "$logs/list"; exit 1; }
grep '^Test' "$logs/list" >"$logs/tests"
export binary logs

# shellcheck disable=SC2016 # the inner shell expands them
xargs -P "$jobs" -n 1 sh -c '
	start=$(date +%s)
	if "$binary" -test.count=1 -test.timeout 10m -test.run "^$1\$" >"$logs/$1" 2>&1; then
		echo "ok   $1 $(($(date +%s) - start)) s"
	else
		touch "$logs/$1.failed"
		{ echo "FAIL $1 $(($(date +%s) - start)) s"; cat "$logs/$1"; } >"$logs/$1.told"
		cat "$logs/$1.told"
	fi' lab <"$logs/tests"

failed=$(find "$logs" -name '*.failed' -exec basename {} .failed \; | sort | tr '\n' ' ')
echo "labs: $(wc -l <"$logs/tests") tests, $(echo "$failed" | wc -w) failed${failed:+: $failed}"
[ -z "$failed" ]
