#!/bin/sh
# Builds and runs every example: run.sh [path/to/mlc]. Skips, with a notice, what the machine lacks tools for.
set -u
here=$(cd "$(dirname "$0")" && pwd)
mlc=${1:-${MLC:-mlc}}
case $mlc in
    */*) mlc=$(cd "$(dirname "$mlc")" && pwd)/$(basename "$mlc") ;;
esac
command -v "$mlc" >/dev/null || { echo "run.sh: \`$mlc\` cannot be run: give the path of mlc" >&2; exit 2; }
[ -f "$here/digits.onnx" ] || { echo "run.sh: $here/digits.onnx is missing" >&2; exit 2; }

passed=0 failed=0 skipped=0 expected=

# example NAME "TOOLS IT NEEDS" COMMAND...: runs the command in the example's folder and compares the digit it prints.
example() {
    name=$1 needs=$2
    shift 2
    for tool in $needs; do
        if ! command -v "$tool" >/dev/null; then
            echo "skip $name: \`$tool\` is not installed"
            skipped=$((skipped + 1))
            return
        fi
    done
    if ! answer=$(cd "$here/$name" && "$@"); then
        echo "FAIL $name: \`$*\`"
        failed=$((failed + 1))
        return
    fi
    digit=$(printf '%s\n' "$answer" | sed -n 's/^digit //p')
    : "${expected:=$digit}"
    if [ -z "$digit" ] || [ "$digit" != "$expected" ]; then
        echo "FAIL $name: it says digit \`$digit\`, the first example said \`$expected\`"
        failed=$((failed + 1))
        return
    fi
    echo "ok   $name: digit $digit"
    passed=$((passed + 1))
}

fresh() {
    make -s clean && make -s "$@"
}

runtime() {
    (cd "$here/.." && cargo rustc -q -p mlc-runtime --profile small --crate-type cdylib) || return 1
    target=${CARGO_TARGET_DIR:-$here/../target}
    fresh run MLC="$mlc" RUNTIME="$(cd "$target/small" && pwd)"
}

example c-static "make cc" fresh run MLC="$mlc"
example c-runtime "make cc cargo" runtime
example rust-embed "cargo cc" env MLC="$mlc" cargo run -q
example aarch64 "make aarch64-linux-gnu-gcc qemu-aarch64" fresh run MLC="$mlc"

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
