#!/usr/bin/env bash
# Holds the dependencies against deny.toml: licences, sources, what is banned, and, where the database of known
# vulnerabilities (RustSec's) can be had, what is in it.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH="$HOME/.cargo/bin:$PATH"

say() { printf 'deps-check: %s\n' "$*"; }

deny=$(command -v cargo-deny || echo ".ferrocart/cargo-deny-$(<deploy/check/cargo-deny.version)/bin/cargo-deny")
if [ ! -x "$deny" ]; then
    say "SKIPPED: licences, sources and vulnerabilities of the dependencies (cargo-deny could not be had)"
    exit 0
fi
if ! found=$("$deny" --log-level warn check --hide-inclusion-graph bans licenses sources 2>&1); then
    printf '%s\n' "$found" >&2
    exit 1
fi
say "licences and sources of all dependencies are what deny.toml allows"
if ! timeout 120 "$deny" fetch db >/dev/null 2>&1; then
    say "SKIPPED: known vulnerabilities (RustSec's database could not be reached)"
    exit 0
fi
"$deny" --log-level warn check --disable-fetch --hide-inclusion-graph advisories
say "no dependency has a known vulnerability"
