"""Runs benchmarks, all or those named, each in a process of its own, and writes each report beside its script:
benchmarks/<topic>_<hardware>_<date>.md. A benchmark that fails leaves no report, and the others still run.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common import hardware

FOLDER = Path(__file__).parent


def names(folder: Path) -> list[str]:
    """Its scripts, without what they share."""
    return sorted(path.stem for path in folder.glob("[!_]*.py") if "def main()" in path.read_text())


def run(name: str, folder: Path) -> Path | None:
    """The report that a benchmark printed; None where it failed."""
    command = [sys.executable, "-m", f"{folder.name}.{name}"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=folder.parent)
    if done.returncode:
        return None
    report = folder / f"{name}_{hardware()}_{time.strftime('%Y-%m-%d')}.md"
    report.write_text(done.stdout)
    return report


def main(arguments: Sequence[str] | None = None, folder: Path = FOLDER) -> int:
    """Returns 0: all done; 1: one has failed; 2: one is not there."""
    parser = argparse.ArgumentParser(prog="launch/bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default: all of {', '.join(names(folder))}")
    asked = parser.parse_args(arguments).names or names(folder)
    if unknown := [name for name in asked if name not in names(folder)]:
        print(f"launch/bench: {unknown[0]!r} is no benchmark; there are {', '.join(names(folder))}", file=sys.stderr)
        return 2
    failed = []
    for name in asked:
        print(f"launch/bench: {name} ...", file=sys.stderr, flush=True)
        report = run(name, folder)
        if report is None:
            failed.append(name)
        else:
            print(f"launch/bench: wrote {report.relative_to(folder.parent)}", file=sys.stderr, flush=True)
    if failed:
        print(f"launch/bench: failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
