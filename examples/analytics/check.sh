#!/usr/bin/env bash
# Runs test.py against the broker that `ferrocart-stack test-env` gives; part of `make test`. Says loudly when its
# libraries cannot be had.
set -euo pipefail
cd "$(dirname "$0")"
if ! cmp -s requirements.txt .venv/requirements.txt; then
    rm -rf .venv
    if ! ./setup.sh >/dev/null 2>&1; then
        rm -rf .venv
        echo "analytics: SKIPPED: its Python libraries could not be had (needs python3 with venv, and PyPI)"
        exit 0
    fi
    cp requirements.txt .venv/
fi
exec .venv/bin/python test.py "$FERROCART_TEST_KAFKA_BROKERS"
