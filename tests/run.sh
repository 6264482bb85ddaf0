#!/usr/bin/env bash
# Installs what the tests need (into .venv, .models and .node-tests) and runs them all.
set -euo pipefail
cd "$(dirname "$0")/.."
tests/setup.sh
cargo test --workspace
