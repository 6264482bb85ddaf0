#!/usr/bin/env python3
"""Registers, shared memory, spills and predicted occupancy of every kernel of models built for a GPU; needs no GPU.

For every folder with a `model.onnx` below --models: takes the text of the kernels, assembles it with NVIDIA's `ptxas`, and
prints what that says of each. Exits with 1 if a kernel spills, or does not assemble.

columns
    registers   of a thread
    shared      bytes that a block shares, as the text declares them
    local       bytes of a thread's own in the device's memory
    spilled     bytes of registers that are stored and loaded again
    blocks      blocks that fit a multiprocessor together, of --threads threads or as few as the kernel allows
    occupancy   part of a multiprocessor's warps that they are: a limit, nothing that was measured
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple


class Multiprocessor(NamedTuple):
    """What one has room for, as CUDA's programming guide lists it by compute capability."""

    warps: int
    blocks: int
    shared: int
    # Bytes of shared memory that each block takes besides its own.
    reserved: int
    registers: int = 65536


MULTIPROCESSORS = {
    "sm_75": Multiprocessor(32, 16, 64 << 10, 0),
    "sm_80": Multiprocessor(64, 32, 164 << 10, 1024),
    "sm_86": Multiprocessor(48, 16, 100 << 10, 1024),
    "sm_87": Multiprocessor(48, 16, 164 << 10, 1024),
    "sm_89": Multiprocessor(48, 24, 100 << 10, 1024),
    "sm_90": Multiprocessor(64, 32, 228 << 10, 1024),
    "sm_100": Multiprocessor(64, 32, 228 << 10, 1024),
    "sm_120": Multiprocessor(48, 24, 100 << 10, 1024),
}
# Registers are given to a warp in such pieces, warps are spread over so many schedulers, shared memory comes in such pieces.
REGISTERS, SCHEDULERS, SHARED = 256, 4, 128


def up(number: int, to: int) -> int:
    return -(-number // to) * to


def occupancy(it: Multiprocessor, registers: int, shared: int, threads: int) -> tuple[int, float]:
    """Blocks that fit together, and which part of the warps they are."""
    warps = -(-threads // 32)
    of_warp = up(max(registers, 1) * 32, REGISTERS)
    by_registers = it.registers // SCHEDULERS // of_warp * SCHEDULERS // warps
    by_shared = it.shared // up(max(shared + it.reserved, 1), SHARED)
    blocks = min(it.blocks, it.warps // warps, by_registers, by_shared)
    return blocks, blocks * warps / it.warps


def entries(text: str) -> dict[str, int]:
    """Most threads of a block of each entry, 0 where the text does not say."""
    found = re.findall(r"\.entry\s+(\w+)\s*\([^)]*\)\s*(?:\.(?:maxntid|reqntid)\s+(\d+)(?:\s*,\s*(\d+))?(?:\s*,\s*(\d+))?)?", text)
    return {name: int(x or 0) * int(y or 1) * int(z or 1) for name, x, y, z in found}


def described(said: str) -> dict[str, dict[str, int]]:
    """What `ptxas -v` says of each entry."""
    kernels = {}
    for part in re.split(r"Compiling entry function '", said)[1:]:
        number = lambda words: int((re.findall(rf"(\d+){words}", part) or ["0"])[0])
        spilled = number(" bytes spill stores") + number(" bytes spill loads")
        kernels[part.split("'")[0]] = {
            "registers": number(" registers"),
            "shared": number(" bytes smem"),
            "local": number(" bytes stack frame"),
            "spilled": spilled,
        }
    return kernels


def kernels_of(mlc: Path, model: Path, cpu: str, folder: Path) -> str:
    """The text of a model's kernels, which its artifact holds as it is."""
    command = [mlc, "build", model, "--target", "nvptx64", "--cpu", cpu, "--name", "model", "-o", folder]
    subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True)
    found = re.search(rb"\.version [0-9][^\0]*", (folder / "model.so").read_bytes())
    return found.group().decode() if found else ""


def main() -> int:
    root = Path(__file__).resolve().parent.parent
    installed = sorted(root.glob(".venv/lib/*/site-packages/nvidia/cu13/bin/ptxas"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mlc", type=Path, default=root / "target/release/mlc", help="the command")
    parser.add_argument("--models", type=Path, default=root / ".models", help="a folder of models")
    parser.add_argument("--only", default="", help="names of models, with commas")
    parser.add_argument("--cpu", default="sm_80", choices=MULTIPROCESSORS, help="the GPU to build and assemble for")
    parser.add_argument("--threads", type=int, default=128, help="threads of a block")
    parser.add_argument("--ptxas", default=installed[0] if installed else "ptxas", help="NVIDIA's assembler")
    args = parser.parse_args()
    multiprocessor, good = MULTIPROCESSORS[args.cpu], True
    columns = ["registers", "shared", "local", "spilled", "blocks", "occupancy"]
    print("".join(cell.ljust(22) for cell in ["model", "kernel"]) + "".join(cell.rjust(10) for cell in columns))
    for model in sorted(args.models.glob("*/model.onnx")):
        name = model.parent.name
        if args.only and name not in args.only.split(","):
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                text = kernels_of(args.mlc, model, args.cpu, Path(folder))
                file = Path(folder) / "kernels.ptx"
                file.write_text(text)
                command = [args.ptxas, f"-arch={args.cpu}", "-v", "-o", "/dev/null", file]
                done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True)
            except subprocess.CalledProcessError as error:
                print(f"{name}: {(error.stdout + error.stderr).strip()}")
                good = False
                continue
        most, kernels = entries(text), described(done.stdout + done.stderr)
        for kernel, it in kernels.items():
            threads = min(args.threads, most.get(kernel) or args.threads)
            blocks, part = occupancy(multiprocessor, it["registers"], it["shared"], threads)
            cells = [*it.values(), blocks, f"{part:.0%}"]
            print(f"{name:<22}{kernel:<22}" + "".join(str(cell).rjust(10) for cell in cells))
            good = good and it["spilled"] == 0
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
