"""How soon a command says something: `genray --help`, and the first words, the first line of progress and the end of
a small sweep on this machine.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.common import header, spread

ROOT = Path(__file__).parents[1]
GENRAY = [sys.executable, "-m", "genray"]
SPACE = """
experiment: {dataset: digits, epochs: 40}
models: [vae]
search: {optimizer.learning_rate: {loguniform: [1.0e-4, 1.0e-2]}}
trials: 4
lanes: 2
"""


def run(*arguments: object) -> list[tuple[float, str]]:
    """What it says, each line with the seconds after which it stood there; the last is empty and tells of its end."""
    started = time.perf_counter()
    command = [*GENRAY, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT) as process:
        said = [(time.perf_counter() - started, line) for line in process.stdout]
    if process.returncode:
        raise SystemExit("".join(line for _, line in said))
    return [*said, (time.perf_counter() - started, "")]


def first(said: list[tuple[float, str]], start: str) -> float:
    return next(when for when, line in said if line.startswith(start))


def sweep() -> list[tuple[float, str]]:
    with tempfile.TemporaryDirectory() as folder:
        space = Path(folder) / "space.yaml"
        space.write_text(SPACE)
        return run("sweep", space, "--out", Path(folder) / "sweep")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    load = os.getloadavg()[0]
    run("--help")  # compiles what is not yet compiled
    helps = [run("--help")[-1][0] for _ in range(asked.repeats)]
    sweeps = [sweep() for _ in range(asked.repeats)]
    rows = (
        ("`genray --help`", helps, "0.5"),
        ("a sweep's first words", [said[0][0] for said in sweeps], ""),
        ("its first line of progress", [first(said, "[") for said in sweeps], "15"),
        ("its end: 4 trials of 40 epochs, 5 finalists, page", [said[-1][0] for said in sweeps], ""),
    )
    print(header("Starting", ["ray", "torch", "typer"]))
    print(f"{asked.repeats} repeats. Seconds: median (range); the machine's load was {load:.1f} before.\n")
    print("| | after | at most |\n|---|---|---|")
    for name, seconds, target in rows:
        print(f"| {name} | {spread(seconds)} | {target} |")


if __name__ == "__main__":
    main()
