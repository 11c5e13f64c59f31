#!/usr/bin/env bash
# An environment of its own with the libraries, and the messages' Python code, generated from the contract.
set -euo pipefail
cd "$(dirname "$0")"
python3 -m venv .venv
.venv/bin/pip install --quiet --disable-pip-version-check -r requirements.txt
mkdir -p generated
.venv/bin/python -m grpc_tools.protoc --proto_path=../../proto --python_out=generated \
    ../../proto/ferrocart/events/v1/*.proto
