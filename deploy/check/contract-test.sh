#!/usr/bin/env bash
# A bounded piece of `make contract` for `make test`: on a platform of its own, of the binaries that are built already.
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly STACK=target/debug/ferrocart-stack FOLDER=target/contract/run
# Beside whatever runs on the usual ports.
export FERROCART_PORT_OFFSET=${FERROCART_PORT_OFFSET:-7000}

down() { "$STACK" down --folder "$FOLDER" --wipe >/dev/null 2>&1 || true; }

down
trap down EXIT
"$STACK" up --folder "$FOLDER" --products 60 >/dev/null
SECONDS_MAX=${SECONDS_MAX:-25} deploy/check/contract.sh "$FOLDER"
