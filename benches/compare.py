"""Compare mlc with onnxruntime and OpenVINO, side by side in one run.

usage: compare.py [--mlc PATH] [--runtime PATH] [--cpu NAME] [--threads N ...] [--parts PART ...]
                  [--rounds N] [--seconds S] [--only TEXT ...] [--json FILE]

parts, each a module here whose head says what its columns are
    speed      every case of tests/models and longer ones of SmolLM2, on one and on two threads      speed.py
    startup    builds, the first answer of a fresh process, and memory                               startup.py
    gemm       matrix products as a part of what the processor can do, and with cold weights         gemm.py

Every model is built once with its dimensions left symbolic.  All run the same inputs in turns, `rounds` times for `seconds`
each.  Times are medians over the rounds of medians; ratios are medians of the ratios of neighbouring turns, so that a
machine whose speed drifts does not decide.

needs: .venv of tests/setup.sh, into which this installs requirements.txt; cargo build --release -p mlc;
       cargo rustc -p mlc-runtime --profile small --crate-type cdylib; a C compiler as `cc` (gemm); Linux
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import gemm
import peers
import speed
import startup
from ours import Compiler
from workloads import ROOT, workloads

PARTS = ("speed", "startup", "gemm")


def processor() -> str:
    """The processor's name and its widest vectors."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        facts = dict(line.split(":", 1) for line in file if ":" in line)
    facts = {name.strip(): value.strip() for name, value in facts.items()}
    flags = facts.get("flags", "").split()
    widest = next((name for flag, name in [("avx512f", "AVX-512"), ("avx2", "AVX2")] if flag in flags), "SSE")
    return f"{facts.get('model name', 'processor')} ({widest})"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    runtime = ROOT / "target/small/libmlc_runtime.so"
    add = parser.add_argument
    add("--mlc", type=Path, default=ROOT / "target/release/mlc", help="the command (default: %(default)s)")
    add("--runtime", type=Path, default=runtime, help="the runtime as a library (default: %(default)s)")
    add("--cpu", default="host", help="what mlc builds for, as --cpu of mlc build (default: %(default)s)")
    add("--threads", type=int, nargs="+", default=[1, 2], metavar="N", help="threads of all (default: 1 2)")
    add("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure (default: all)")
    add("--rounds", type=int, default=5, help="turns a case (default: %(default)s)")
    add("--seconds", type=float, default=0.5, help="length of a turn (default: %(default)s)")
    add("--only", nargs="+", default=[""], metavar="TEXT", help="models whose path has this in it")
    add("--json", type=Path, metavar="FILE", help="also write what was measured, by round")
    return parser.parse_args()


def measure_models(args: argparse.Namespace, compiler: Compiler, folder: Path) -> tuple[list, list]:
    """The parts that need models: rows of speed, and starts."""
    rows, starts = [], []
    for workload in workloads(args.only, folder / "cases"):
        artifact = compiler.build(workload.path, folder / workload.name)
        if "startup" in args.parts:
            progress(f"{workload.name}: startup")
            starts.append(startup.measure(compiler, args.runtime, workload, artifact, args.rounds))
        if "speed" in args.parts:
            for threads in args.threads:
                progress(f"{workload.name}: {threads} thread(s)")
                rows += speed.measure(compiler, workload, artifact, threads, args.rounds, args.seconds)
    return rows, starts


def progress(text: str) -> None:
    print(f"{text} ...", file=sys.stderr, flush=True)


def main() -> int:
    args = parse()
    for path in (args.mlc, args.runtime):
        if not path.is_file():
            print(f"error: {path} is missing; see --help for what builds it", file=sys.stderr)
            return 1
    peers.install()
    compiler = Compiler(args.mlc, args.cpu)
    versions = ", ".join(f"{peer.name} {peer.version}" for peer in peers.PEERS)
    head = f"{processor()}; mlc for {args.cpu}; {versions}; {args.rounds} rounds of {args.seconds} s in turns"
    print(f"{head}\n", flush=True)
    found = {"head": head}
    with tempfile.TemporaryDirectory() as folder:
        if "gemm" in args.parts:
            progress("matrix products")
            products = gemm.measure(compiler, Path(folder), args.threads, args.rounds, args.seconds)
            print(f"## Matrix products\n\n{gemm.report(products)}", flush=True)
            found["gemm"] = [row.json() for row in products]
        rows, starts = measure_models(args, compiler, Path(folder)) if {"speed", "startup"} & {*args.parts} else ([], [])
    for threads in args.threads if rows else []:
        print(f"## {threads} thread(s)\n\n{speed.report(rows, threads)}")
    if starts:
        print(f"## Builds and fresh processes\n\n{startup.report(starts)}")
    found |= {"speed": [row.json() for row in rows], "startup": [start.json() for start in starts]}
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
