#!/bin/sh
# Runs every fuzz target for a while, one after the other, and fails with the
# first that finds something: fuzz.sh [TIME], such as fuzz.sh 10s.
set -eu
cd "$(dirname "$0")/.."
time=${1:-10s}

# go test -list prints the names of a package's targets, then the package.
targets=$(go test -list '^Fuzz' ./...)
printf '%s\n' "$targets" | awk '
	/^Fuzz/ { names[++n] = $1 }
	/^ok/   { for (i = 1; i <= n; i++) print $2, names[i]; n = 0 }
	/^\?/   { n = 0 }
' | while read -r package target; do
	echo "fuzz: $target in $package for $time"
	go test "$package" -run '^$' -fuzz "^$target\$" -fuzztime "$time" </dev/null
done
