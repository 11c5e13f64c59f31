#!/usr/bin/env bash
# Makes up requests from the public OpenAPI document and sends them to a running platform: no answer may be a failure
# of the server, and none may be undocumented. The first argument is the folder of `make run`; SECONDS_MAX bounds each
# of the runs, one by an administrator and one by a customer.
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly VERSION=4.32.5 FOLDER=${1:-.ferrocart/run}
readonly VENV=.ferrocart/schemathesis-$VERSION
seconds=${SECONDS_MAX:-120}

say() { printf 'contract: %s\n' "$*"; }

if [ ! -x "$VENV/bin/schemathesis" ]; then
    say "fetching schemathesis $VERSION"
    if ! { python3 -m venv "$VENV" && "$VENV/bin/pip" install -q "schemathesis==$VERSION"; } </dev/null; then
        rm -rf "$VENV"
        say "SKIPPED: schemathesis could not be had"
        exit 0
    fi
fi
[ -e "$FOLDER/accounts.json" ] || { say "nothing runs in $FOLDER: make run first" >&2; exit 2; }
api=${API:-$(python3 - "$FOLDER" <<'PY'
import json, sys
print(json.load(open(sys.argv[1] + "/stack.json"))["urls"]["gateway"])
PY
)}

token() {
    python3 - "$FOLDER/accounts.json" "$api" "$1" <<'PY'
import json, sys, urllib.request
accounts, api, role = sys.argv[1:]
account = next(a for a in json.load(open(accounts)) if a["role"] == role)
body = json.dumps({"email": account["email"], "password": account["password"]}).encode()
request = urllib.request.Request(api + "/v1/auth/token", body, {"content-type": "application/json"})
print(json.load(urllib.request.urlopen(request))["access_token"])
PY
}

failed=0
for role in admin customer; do
    say "made-up requests of the role $role, up to $seconds s"
    # Streams do not end; imports are lines and no JSON document.
    "$VENV/bin/schemathesis" run "$api/openapi.json" --no-color \
        -H "Authorization: Bearer $(token "$role")" \
        --checks not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance \
        --exclude-path-regex '(/events|:import|:export)$' --exclude-path '/v1/waitlist/{ticket}' \
        --phases examples,coverage,fuzzing --max-examples "${EXAMPLES_MAX:-15}" --max-time "$seconds" \
        --request-timeout 15 --continue-on-failure --generation-deterministic \
        --warnings off || failed=1
done
exit "$failed"
