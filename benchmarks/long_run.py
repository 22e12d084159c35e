"""Whether a long sweep leaks: `genray sweep` for hours, as a user calls it, ended by Ctrl-C.

Every ten seconds: memory, open files and threads of the driver and of each process that does trials, the number of
processes, and what lies in temporary folders and in shared memory. Growth is a least-squares line over all that was
seen after the first trials, so that one late collection of garbage does not make it. Afterwards: what is left behind.
"""

import argparse
import contextlib
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import optuna
import psutil
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from benchmarks.common import header

ROOT = Path(__file__).parents[1]
MODELS = ("vae", "gan")
FIRST = 20  # trials that are not counted: processes import what they need
EVERY_S = 10.0
SHARED = Path("/dev/shm")  # noqa: S108  read alone
END_S = 120.0  # that a sweep has to end after Ctrl-C
SPACE = """
experiment: {{dataset: digits, epochs: 1000, evaluate_every: 100, checkpoint_every: 100, batch_size: 64}}
models: [{models}]
search:
  model.hidden: {{choice: [19, 64, 128]}}
  model.dropout: {{uniform: [0.0, 0.5]}}
  optimizer.learning_rate: {{loguniform: [1.0e-4, 1.0e-2]}}
optuna: {{sampler: random}}
scheduler: {{asha: {{grace_epochs: 100, reduction: 3}}}}
trials: 100000
finalists: {{seeds: 1}}
lanes: 2
"""


class Seen(NamedTuple):
    """At one time; of the processes that do trials, the largest."""

    seconds: float
    ended: int  # trials
    driver_bytes: int
    trial_bytes: int
    driver_files: int
    trial_files: int
    driver_threads: int
    trial_threads: int
    processes: int  # all that the sweep has started
    temporary: int  # files and folders
    shared_files: int  # in shared memory


def look(driver: psutil.Process, out: Path, temporary: Path, since: float) -> Seen:
    children = driver.children(recursive=True)
    trials = [child for child in children if _title(child).startswith(("ray::Trial", "ray::ResourceTrainable"))]
    return Seen(
        time.monotonic() - since,
        len(list(out.glob("*/trial_*"))),
        driver.memory_info().rss,
        _most(trials, lambda process: process.memory_info().rss),
        driver.num_fds(),
        _most(trials, lambda process: process.num_fds()),
        driver.num_threads(),
        _most(trials, lambda process: process.num_threads()),
        len(children),
        sum(1 for _ in temporary.rglob("*")),
        len(os.listdir(SHARED)),
    )


def _title(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.NoSuchProcess):
        return "".join(process.cmdline()[:1])
    return ""


def _most(processes: Sequence[psutil.Process], value: Callable[[psutil.Process], int]) -> int:
    found = [0]
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            found.append(value(process))
    return max(found)


def growth(seen: Sequence[Seen], key: str) -> tuple[float, str]:
    """A line over time through all values: its first, and by how much of that it has grown at the end."""
    times, values = ([float(getattr(each, name)) for each in seen] for name in ("seconds", key))
    slope, _ = np.polyfit(times, values, 1)
    middle, half = statistics.fmean(values), slope * (times[-1] - times[0]) / 2
    first = middle - half
    return first, f"{200 * half / first:+.1f} %" if middle else "none"


def states(out: Path) -> Counter[str]:
    storage = JournalStorage(JournalFileBackend(str(out / "study.journal")))
    return Counter(
        trial.state.name.lower()
        for model in MODELS
        for trial in optuna.load_study(study_name=model, storage=storage).trials
    )


def draw(seen: Sequence[Seen], path: Path) -> None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4), layout="constrained")
    minutes = [each.seconds / 60 for each in seen]
    for key, label in (("driver_bytes", "driver"), ("trial_bytes", "the larger process that does trials")):
        axes.plot(minutes, [getattr(each, key) / 1e6 for each in seen], label=label)
    axes.axvline(minutes[next(i for i, each in enumerate(seen) if each.ended >= FIRST)], color="grey", ls=":", lw=1)
    axes.set(xlabel="minutes", ylabel="resident memory [MB]", ylim=(0, None))
    twin = axes.twinx()
    twin.plot(minutes, [each.ended for each in seen], color="grey", lw=1)
    twin.set(ylabel="trials begun (grey)", ylim=(0, None))
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--plot", type=Path, help="a PNG of memory over time")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="long") as folder:
        space, out, temporary = Path(folder) / "space.yaml", Path(folder) / "sweep", Path(folder) / "tmp"
        temporary.mkdir()
        space.write_text(SPACE.format(models=", ".join(MODELS)))
        shared = set(os.listdir(SHARED))
        command = [sys.executable, "-m", "genray", "sweep", str(space), "--out", str(out)]
        told = Path(folder) / "told"
        with told.open("w") as file:
            process = subprocess.Popen(
                command, stdout=file, stderr=file, cwd=ROOT, env=os.environ | {"TMPDIR": str(temporary)}
            )
        driver, since = psutil.Process(process.pid), time.monotonic()
        seen, known = [], dict[int, psutil.Process]()
        while time.monotonic() - since < asked.hours * 3600:
            time.sleep(EVERY_S)
            if process.poll() is not None:
                raise SystemExit(told.read_text())
            seen.append(look(driver, out, temporary, since))
            known |= {child.pid: child for child in driver.children(recursive=True)}
        process.send_signal(signal.SIGINT)
        code = process.wait(END_S)
        time.sleep(EVERY_S)
        left = [child for child in known.values() if child.is_running()]
        temporary_left = sorted(path.name for path in temporary.iterdir())
        shared_left = sorted(set(os.listdir(SHARED)) - shared)
        counts = states(out)
    if asked.plot:
        draw(seen, asked.plot)
    after = [each for each in seen if each.ended >= FIRST]
    print(header("A long sweep", ["ray", "optuna", "torch"]))
    print(
        f"{asked.hours:g} hours of a sweep of {' and '.join(MODELS)} on the embedded digits, 2 lanes, ended by Ctrl-C "
        f"with exit code {code}. Trials: {', '.join(f'{n} {state}' for state, n in sorted(counts.items()))}. Growth "
        f"is of a line through {len(after)} values, every {EVERY_S:.0f} s from trial {FIRST} on.\n"
    )
    print("| | at first | growth | most |\n|---|---|---|---|")
    for label, key, unit in (
        ("driver's memory [MB]", "driver_bytes", 1e6),
        ("memory of a process that does trials [MB]", "trial_bytes", 1e6),
        ("driver's open files", "driver_files", 1),
        ("open files of a process that does trials", "trial_files", 1),
        ("driver's threads", "driver_threads", 1),
        ("threads of a process that does trials", "trial_threads", 1),
        ("processes", "processes", 1),
        ("files and folders in the temporary folder", "temporary", 1),
        ("files in shared memory", "shared_files", 1),
    ):
        first, grown = growth(after, key)
        most = max(getattr(each, key) for each in after)
        print(f"| {label} | {first / unit:.0f} | {grown} | {most / unit:.0f} |")
    print("\nLeft behind by the sweep, ten seconds after its end: ", end="")
    print(
        f"{len(left)} processes{''.join(f', {_title(child)}' for child in left)}; in the temporary folder "
        f"{', '.join(temporary_left) or 'nothing'}; in shared memory {', '.join(shared_left) or 'nothing'}."
    )


if __name__ == "__main__":
    main()
