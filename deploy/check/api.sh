#!/usr/bin/env bash
# Refuses a public API that breaks what the last release promised: docs/openapi.json against docs/openapi-released.json.
# What is broken on purpose stands, with its reason, in docs/openapi-accepted.txt.
set -euo pipefail
cd "$(dirname "$0")/../.."

oasdiff=$(command -v oasdiff || echo ".ferrocart/oasdiff-$(<deploy/check/oasdiff.version)/oasdiff")
if [ ! -x "$oasdiff" ]; then
    echo "api-check: SKIPPED: breaking changes of the public API (oasdiff could not be had)"
    exit 0
fi
if ! "$oasdiff" breaking docs/openapi-released.json "${1:-docs/openapi.json}" \
    --err-ignore docs/openapi-accepted.txt --fail-on ERR; then
    echo "api-check: the public API breaks what docs/openapi-released.json promises" >&2
    exit 1
fi
echo "api-check: the public API keeps what the last release promised"
