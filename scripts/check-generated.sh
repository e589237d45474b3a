#!/bin/sh
# Fails if go generate changes anything: then a source was changed without it, or a
# generated file by hand. What it generated stays, to be committed.
set -eu
cd "$(dirname "$0")/.."

state() {
	git diff HEAD
	git ls-files --others --exclude-standard -z | xargs -0 -r sha256sum
}

before=$(state | sha256sum)
go generate ./...
if [ "$before" != "$(state | sha256sum)" ]; then
	echo "check-generated: go generate changed files; read the difference and commit it:" >&2
	git status --short >&2
	exit 1
fi
