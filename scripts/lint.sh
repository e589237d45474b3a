#!/bin/sh
# Checks format and style of all Go code and shell scripts. Says everything that
# is wrong before it fails.
set -u
cd "$(dirname "$0")/.." || exit 1
failed=0

fail() {
	echo "lint: $1" >&2
	failed=1
}

unformatted=$(git ls-files --cached --others --exclude-standard '*.go' | xargs gofmt -l)
[ -z "$unformatted" ] || fail "not formatted; run gofmt -w on: $unformatted"

go vet ./... || fail "go vet"
go tool -modfile=scripts/tools/go.mod staticcheck ./... || fail "staticcheck"
if [ -f integration/peers/go.mod ]; then
	(cd integration/peers && go vet ./...) || fail "go vet in integration/peers"
fi

# Every shell script, whatever its name.
scripts=$(git ls-files --cached --others --exclude-standard | while read -r file; do
	[ -f "$file" ] && head -n 1 "$file" 2>/dev/null | grep -aqE '^#!.*[/ ](ba|da)?sh( |$)' && echo "$file"
done)
# shellcheck disable=SC2086 # a list of files
[ -z "$scripts" ] || shellcheck $scripts || fail "shellcheck"

exit $failed
