#!/usr/bin/env bash
# Fuzzes every target for a while: run.sh [SECONDS]. Needs a stable toolchain and a C++ compiler; leaves `corpus` as it is.
# The input that crashes a target is kept in `artifacts`.
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:-20}
host=$(rustc -vV | sed -n 's/^host: //p')

# What cargo-fuzz does on a nightly toolchain: coverage for libFuzzer. Its sanitizers need one; safe code misses little.
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
  -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=16"
CARGO_TARGET_DIR=$PWD/target cargo build --release --quiet --target "$host"

found=$(mktemp -d)
trap 'rm -rf "$found"' EXIT
mkdir -p artifacts
for target in fuzz_targets/*.rs; do
  name=$(basename "$target" .rs)
  cp -r "corpus/$name" "$found/$name"
  if ! "target/$host/release/$name" "$found/$name" -max_total_time="$seconds" -max_len=4096 -timeout=10 \
    -rss_limit_mb=2048 -artifact_prefix="artifacts/$name-" >"$found/$name.log" 2>&1; then
    tail -n 40 "$found/$name.log" >&2
    echo "FAIL $name: the input is in frontend/fuzz/artifacts" >&2
    exit 1
  fi
  grep '^Done ' "$found/$name.log" | sed "s/^Done/$name:/"
done
