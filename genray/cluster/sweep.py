"""A sweep from its YAML to its comparison. All that can be refused is refused before Ray is imported."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from genray.cluster import environment
from genray.space import Sweep

if TYPE_CHECKING:
    from genray.cluster.mirror import Mirror


def sweep(
    space: Sweep,
    *,
    out: Path | str,
    resume: bool = False,
    address: str | None = None,
    storage: str | None = None,
    verbose: bool = False,
) -> Path:
    """Runs a sweep to its end and returns the folder of its comparison.

    What is done stands in `out`. With `resume` a sweep goes on from there: after a Ctrl-C, after a kill, or with more
    trials or models than before. On a cluster, runs send their files to `out`; or to `storage`, a URL below which the
    sweep is kept by the name of `out`, and found again by a driver on another machine; "shared" says that `out` is one
    folder on all machines. Raises UserError before anything starts, and KeyboardInterrupt on Ctrl-C.
    """
    out = Path(out).absolute()

    from genray.cluster import folder, mirror

    bucket = mirror.bucket_of(storage)
    seen = mirror.fetch(out, bucket)
    folder.check(out, space, resume=resume)
    with mirror.mirrored(out, bucket, seen) as kept:
        return _run(space, out, address, storage, verbose, kept)


def _run(
    space: Sweep, out: Path, address: str | None, storage: str | None, verbose: bool, mirror: Mirror | None
) -> Path:
    from genray.cluster.progress import Progress
    from genray.data import datasets
    from genray.preflight import check_sweep

    with Progress(folder=out) as progress:
        experiment = space.first_experiment(space.models[0])
        dataset = datasets.load(experiment.dataset, image_size=experiment.image_size)
        check_sweep(space, dataset.training_data)
        environment.prepare(address)
        progress.say(f"{space.name}: {', '.join(space.models)}; {space.num_trials} trials each; in {out}")
        progress.say("starting Ray")

        from genray.cluster import tuner

        tuner.run(space, out, dataset, address, storage, progress, verbose, mirror)
        if mirror is not None:
            mirror.level()  # what the last runs wrote is compared too
        progress.say("comparing")
        return _compare(out)


def _compare(out: Path) -> Path:
    from genray import report

    report.compare([out], out / "comparison", controls=None)
    return out / "comparison"
