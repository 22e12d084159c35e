"""What grows in a long sweep: `genray sweep` of many short trials, as a user calls it, in a process of its own.

Time a trial over the last hundred trials against the first hundred, from one trial's end to another's, so that the
start of processes is left out; memory of the driver and of a lane; the size of the sweep's folder, where each trial
saves four checkpoints; and what works on that folder afterwards: `--resume` where nothing is left, `--resume` with more
trials, and `genray compare`, which writes the page.
"""

import argparse
import contextlib
import math
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import optuna
import psutil
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from benchmarks.common import header, spread

ROOT = Path(__file__).parents[1]
LANES = 2
WINDOW = 100  # trials whose time is compared
SPACE = """
experiment: {{dataset: digits, epochs: 4, batch_size: 256, evaluate_every: 4, checkpoint_every: 1, metrics: [frechet]}}
models: [vae]
search:
  model.hidden: {{int: [8, 32]}}
  optimizer.learning_rate: {{loguniform: [1.0e-4, 1.0e-2]}}
trials: {trials}
finalists: {{seeds: 1}}
lanes: {lanes}
"""


class Seen(NamedTuple):
    """What a command had taken at that time: resident memory in bytes, and the driver's seconds of a core."""

    when: float
    driver: int
    lane: int  # the largest
    cpu_s: float


def genray(*arguments: object) -> tuple[float, list[Seen]]:
    """Runs a command; returns its seconds, and what it took from second to second."""
    started, memory = time.time(), []
    command = [sys.executable, "-m", "genray", *map(str, arguments)]
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors, cwd=ROOT)
        seen = psutil.Process(process.pid)
        while process.poll() is None:
            times = seen.cpu_times()
            memory.append(Seen(time.time(), seen.memory_info().rss, lane_of(seen), times.user + times.system))
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(1)
        if process.returncode:
            errors.seek(0)
            raise SystemExit(errors.read().decode())
    return time.time() - started, memory


def lane_of(driver: psutil.Process) -> int:
    found = [0]
    for child in driver.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if child.cmdline()[:1] and child.cmdline()[0].startswith("ray::Trial"):
                found.append(child.memory_info().rss)
    return max(found)


def trials_of(out: Path) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(
        study_name="vae", storage=JournalStorage(JournalFileBackend(str(out / "study.journal")))
    ).trials


def ends(trials: Iterable[optuna.trial.FrozenTrial]) -> list[datetime]:
    return sorted(trial.datetime_complete for trial in trials if trial.datetime_complete)


def own_work(out: Path) -> list[float]:
    """Seconds of each trial from the first file it wrote to the last."""
    return [
        (run / "checkpoint" / "state.pt").stat().st_mtime - (run / "experiment.yaml").stat().st_mtime
        for run in out.glob("vae/trial_*")
    ]


def size(folder: Path) -> int:
    """Bytes of its files, checkpoints left out."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.parent.name != "checkpoint")
    return sum(path.stat().st_size for path in files)


def megabytes(memory: Sequence[Seen], process: str, until: float) -> str:
    """The most that it had up to that time."""
    return f"{max(getattr(seen, process) for seen in memory if seen.when <= until) / 1e6:.0f}"


def cpu_between(memory: Sequence[Seen], begin: datetime, end: datetime) -> float:
    """The driver's seconds of a core."""
    inside = [seen for seen in memory if begin.timestamp() <= seen.when <= end.timestamp()]
    return (inside[-1].cpu_s - inside[0].cpu_s) * (end - begin).total_seconds() / (inside[-1].when - inside[0].when)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    asked = parser.parse_args()
    window = min(WINDOW, asked.trials // 2 - LANES)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        space, out = Path(folder) / "space.yaml", Path(folder) / "sweep"
        space.write_text(SPACE.format(trials=asked.trials, lanes=LANES))
        whole, memory = genray("sweep", space, "--out", out)
        done, own = ends(trials_of(out)), own_work(out)
        runs, journal, tune = size(out / "vae"), (out / "study.journal").stat().st_size, size(out / ".ray")
        checkpoints = Counter(path.name for path in out.glob("vae/trial_*/checkpoint/*"))
        everything = size(out)
        again, _ = genray("sweep", space, "--out", out, "--resume")
        began = time.time()
        genray("sweep", space, "--out", out, "--resume", "--trials", asked.trials + LANES)
        more = trials_of(out)[asked.trials].datetime_start
        page, _ = genray("compare", out, "--out", Path(folder) / "page")
    beginning, ending = (done[LANES - 1], done[LANES - 1 + window]), (done[-1 - window], done[-1])
    first, last = ((end - begin).total_seconds() / window for begin, end in (beginning, ending))
    cpu_first, cpu_last = (1000 * cpu_between(memory, begin, end) / window for begin, end in (beginning, ending))
    early, late = done[window].timestamp(), done[-1].timestamp()
    print(header("Growth of a sweep", ["ray", "optuna", "torch"]))
    print(
        f"{asked.trials} trials of a VAE on the embedded digits, {LANES} lanes, own work of a trial "
        f"{spread(own)} s; {whole:.0f} s in all; the machine's load was {load:.1f} before.\n"
    )
    kept = ", ".join(f"{count} {name}" for name, count in sorted(checkpoints.items()))
    rows = [
        (f"a trial, first {window} [s]", f"{first:.3f}", ""),
        (f"a trial, last {window} [s]", f"{last:.3f}", ""),
        ("last against first", f"{last / first:.2f}", "1.5"),
        (f"driver's work a trial, first {window} [ms of a core]", f"{cpu_first:.0f}", ""),
        (f"driver's work a trial, last {window} [ms of a core]", f"{cpu_last:.0f}", ""),
        (f"driver's memory after {window} trials [MB]", megabytes(memory, "driver", early), ""),
        ("driver's memory after the last [MB]", megabytes(memory, "driver", late), ""),
        ("driver's memory, the page's writing included [MB]", megabytes(memory, "driver", math.inf), "1500"),
        (f"a lane's memory after {window} trials [MB]", megabytes(memory, "lane", early), ""),
        ("a lane's memory after the last [MB]", megabytes(memory, "lane", late), ""),
        ("sweep folder a trial, without checkpoints [MB]", f"{everything / asked.trials / 1e6:.3f}", "2"),
        ("of that, the runs' own files [MB]", f"{runs / asked.trials / 1e6:.3f}", ""),
        ("of that, Optuna's journal [MB]", f"{journal / asked.trials / 1e6:.4f}", ""),
        ("of that, what Tune writes [MB]", f"{tune / asked.trials / 1e6:.4f}", ""),
        ("checkpoints of all trials", kept, ""),
        ("`--resume` with nothing left, the page again [s]", f"{again:.1f}", "30"),
        (f"`--resume` with {LANES} more trials, to the first of them [s]", f"{more.timestamp() - began:.1f}", "30"),
        ("`genray compare`, which writes the page [s]", f"{page:.1f}", "10"),
    ]
    print("| | | at most |\n|---|---|---|")
    for row in rows:
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
