#!/bin/sh
# Runs the tests of integration/'s folders, which need labs.
#
#   lab.sh folders [REGEXP]          prints the folders, or those with a test whose name matches
#   lab.sh run TESTS JOBS FOLDER...  runs all tests of the folders, JOBS of them side by side
#   lab.sh only TESTS REGEXP FOLDER...  runs the tests that match, one by one, and shows all
#
# TESTS holds the compiled tests: FOLDER.test. A process runs one test, for a lab waits more
# than it works. What a test prints is shown when it fails. A test that failed beside
# another is run once more when all others are done, alone: two labs share few cores, and
# what a lab measures in time may be the other's doing. One that passes then is no failure,
# but is named, with what it printed at first shown. More than three of these are a
# failure: something is wrong with the machine or with what all tests need.
set -u
usage=$(sed -n '2,/^set/s/^# \{0,1\}//p' "$0")
cd "$(dirname "$0")/../integration" || exit 1

# The tests that take longest, longest first: begun first, none of them is waited for alone
# at the end.
longest='TestOneTenantTakesNothingFromAnother TestRandomFaults TestDemo TestForgedTunnelNeighbour
	TestFloodToManyHosts TestScansLeaveOthersTheirAnswers TestLab TestMembersOfTheStoreLost TestNothingIsLeft'

# tests REGEXP FOLDER... prints the folder and the name of each test.
tests() {
	regexp=$1
	shift
	for folder; do
		awk -v folder="$folder" -v regexp="${regexp%%/*}" '
			sub(/^func /, "") && sub(/\(t \*testing\.T\).*/, "") && /^Test/ && $0 ~ regexp { print folder, $0 }' "$folder"/*_test.go
	done
}

folders() {
	for main in */main_test.go; do
		folder=${main%/*}
		[ -z "$(tests "$1" "$folder")" ] || echo "$folder"
	done
}

# Prints FOLDER TEST for all, the longest first.
order() {
	tests . "$@" | awk -v longest="$longest" '
		BEGIN { n = split(longest, names); for (i = 1; i <= n; i++) rank[names[i]] = i }
		{ print ($2 in rank ? rank[$2] : n + 1), $0 }' | sort -s -n -k 1,1 | cut -d ' ' -f 2-
}

run() {
	tests=$1 jobs=$2
	shift 2
	logs=$(mktemp -d) || exit 1
	trap 'rm -rf "$logs"' EXIT
	order "$@" >"$logs/tests"
	export tests logs

	# lab FOLDER TEST: sets the test's code, and leaves in the file log what it printed.
	# shellcheck disable=SC2016 # the inner shell expands them
	lab='
		start=$(date +%s) log=$logs/$1.$2
		cd "$1" && "$tests/$1.test" -test.count=1 -test.timeout 10m -test.run "^$2\$" >"$log" 2>&1
		code=$?
		took="$1 $2 $(($(date +%s) - start)) s"'
	# shellcheck disable=SC2016 # the inner shell expands them
	xargs -r -P "$jobs" -n 2 sh -c "$lab"'
		if [ $code -eq 0 ]; then
			echo "ok   $took"
		else
			echo "$1 $2" >"$log.failed"
			{ echo "FAIL $took"; cat "$log"; } >"$log.told"
			cat "$log.told"
		fi' lab <"$logs/tests"

	failed=
	second=
	find "$logs" -name '*.failed' -exec cat {} + | sort >"$logs/failed"
	while read -r folder name; do
		# Where many fail, it is not for want of a core.
		if [ "$jobs" -eq 1 ] || [ "$(wc -l <"$logs/failed")" -gt 8 ]; then
			failed="$failed $folder.$name"
			continue
		fi
		echo "labs: once more, alone: $folder $name"
		# shellcheck disable=SC2016 # the inner shell expands them
		if sh -c "$lab"'
			if [ $code -eq 0 ]; then
				echo "ok   $took"
			else
				echo "FAIL $took"
				cat "$log"
			fi
			exit $code' lab "$folder" "$name" </dev/null; then
			second="$second $folder.$name"
		else
			failed="$failed $folder.$name"
		fi
	done <"$logs/failed"

	for name in $second; do
		echo "labs: $name passed alone the second time; the first time it printed:"
		cat "$logs/$name.told"
	done
	echo "labs: $(wc -l <"$logs/tests") tests, $(echo "$failed" | wc -w) failed${failed:+:$failed}${second:+; passed alone the second time:$second}"
	if [ "$(echo "$second" | wc -w)" -gt 3 ]; then
		echo "labs: more than 3 tests passed alone only: that is not chance"
		return 1
	fi
	[ -s "$logs/tests" ] && [ -z "$failed" ]
}

only() {
	tests=$1 regexp=$2
	shift 2
	[ $# -gt 0 ] || { echo "labs: no test matches $regexp" >&2; return 1; }
	code=0
	for folder; do
		(cd "$folder" && "$tests/$folder.test" -test.count=1 -test.timeout 25m -test.v -test.run "$regexp") || code=1
	done
	return $code
}

case ${1-} in
folders) folders "${2:-.}" ;;
run | only) "$@" ;;
*)
	echo "$usage" >&2
	exit 2
	;;
esac
