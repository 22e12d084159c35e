"""Runs benchmarks, all or those named, each in a process of its own, and writes each report beside its script:
benchmarks/<topic>_<hardware>_<date>.md. A benchmark that fails leaves no report, and the others still run.
One that ends well without a report is passed over: it has said what it needs and does not find here.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common import hardware

FOLDER = Path(__file__).parent
WHEN_NAMED = {"long_run"}  # takes two hours


def names(folder: Path) -> list[str]:
    """Its scripts, without what they share."""
    return sorted(path.stem for path in folder.glob("[!_]*.py") if "def main()" in path.read_text())


def run(name: str, folder: Path) -> bool:
    """Writes the report that a benchmark printed, where it printed one; False where it failed."""
    print(f"launch/bench: {name} ...", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", f"{folder.name}.{name}"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=folder.parent)
    if done.returncode == 0 and done.stdout:
        report = folder / f"{name}_{hardware()}_{time.strftime('%Y-%m-%d')}.md"
        report.write_text(done.stdout)
        print(f"launch/bench: wrote {report.relative_to(folder.parent)}", file=sys.stderr, flush=True)
    return done.returncode == 0


def main(arguments: Sequence[str] | None = None, folder: Path = FOLDER) -> int:
    """Returns 0: all done or passed over; 1: one has failed; 2: one is not there."""
    unnamed = [name for name in names(folder) if name not in WHEN_NAMED]
    parser = argparse.ArgumentParser(prog="launch/bench", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"default: all of {', '.join(unnamed)}; only when named: {', '.join(sorted(WHEN_NAMED))}",
    )
    asked = parser.parse_args(arguments).names or unnamed
    if unknown := [name for name in asked if name not in names(folder)]:
        print(f"launch/bench: {unknown[0]!r} is no benchmark; there are {', '.join(names(folder))}", file=sys.stderr)
        return 2
    if failed := [name for name in asked if not run(name, folder)]:
        print(f"launch/bench: failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
