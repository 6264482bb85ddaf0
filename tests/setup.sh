#!/bin/sh
# Makes everything the tests need besides Rust: Python packages, models, reference data.
#
# usage: tests/setup.sh
#
# Writes only to .venv, .models and .node-tests at the root of the repository, which git
# ignores.  What is there and up to date is left alone.  PYTHON names the interpreter the
# environment is made with (default python3; 3.11 or newer).

set -eu
cd "$(dirname "$0")/.."

step() {
    printf '\n==> %s\n' "$1"
}

step "Python packages (.venv)"
if [ ! -x .venv/bin/python ]; then
    "${PYTHON:-python3}" -m venv .venv
fi
wanted=$(cat tests/requirements.txt tests/assembler.txt)
if [ "$(cat .venv/requirements.txt 2>/dev/null || true)" = "$wanted" ]; then
    echo "up to date"
else
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement tests/requirements.txt
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement tests/assembler.txt
    printf '%s\n' "$wanted" > .venv/requirements.txt
fi

step "ONNX backend tests (.node-tests)"
.venv/bin/python tests/node/make.py

step "models and data (.models, 1 GB)"
.venv/bin/python tests/models/fetch.py

step "reference results of the models (.models/*/cases*)"
.venv/bin/python tests/models/reference.py

step "done"
