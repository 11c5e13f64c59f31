#!/usr/bin/env bash
# Holds the contract of the events to its style, and to what the last release promised; part of `make lint`.
#
# `released.binpb` is the contract as it was released last. With a release: `buf build proto -o proto/released.binpb`.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'proto: %s\n' "$*"; }

tools=.ferrocart/contract-tools/node_modules
if [ -x "$tools/.bin/buf" ]; then
    "$tools/.bin/buf" lint proto
    "$tools/.bin/buf" breaking proto --against proto/released.binpb
    say "nothing in it breaks who relies on the last release"
else
    say "SKIPPED: style and breaking changes of the contract (buf could not be had; it needs npm)"
fi
