"""`genray cluster …`: what a user does from the laptop with a cluster that `ray up` has started."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genray.cli.options import Set, Space, Trials
from genray.endings import Stopped
from genray.errors import Fault, UserError

if TYPE_CHECKING:
    from genray.cluster.remote.head import Head
    from genray.cluster.remote.jobs import Job
    from genray.cluster.remote.settings import Cluster

cluster = typer.Typer(
    help="Sweeps on a cluster that `ray up CLUSTER.yaml` has started.",
    epilog="Begin with: genray cluster submit CLUSTER.yaml search_spaces/quickstart.yaml",
    rich_markup_mode=None,
)

Yaml = Annotated[Path, typer.Argument(metavar="CLUSTER.yaml", help="The file that `ray up` was given.")]
JobId = Annotated[str | None, typer.Argument(metavar="[JOB]", help="From `genray cluster jobs`. Default: the latest.")]
Stoppable = Annotated[str, typer.Argument(metavar="JOB", help="From `genray cluster jobs`.")]
Name = Annotated[str | None, typer.Option(help="Of the sweep on the cluster. Default: the file's `name`.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the sweep of that name.")]
Storage = Annotated[
    str | None,
    typer.Option(
        metavar="URL|shared", help="Where results are kept. Default: as CLUSTER.yaml says, or the head's disk."
    ),
]
Hours = Annotated[float | None, typer.Option(metavar="H", help="Refuse a sweep that needs more GPU hours.")]
Detach = Annotated[bool, typer.Option("--detach", help="Submit and return; `attach` follows it later.")]
Down = Annotated[bool, typer.Option("--down", help="Take the cluster down when the page is here.")]
Checkpoints = Annotated[bool, typer.Option("--checkpoints", help="Fetch trained weights too.")]
Out = Annotated[Path | None, typer.Option(metavar="DIR", help="Default: runs/NAME.")]


@cluster.command()
def submit(
    cluster: Yaml,
    space: Space,
    trials: Trials = None,
    set_: Set = None,
    name: Name = None,
    resume: Resume = False,
    storage: Storage = None,
    max_gpu_hours: Hours = None,
    detach: Detach = False,
    down: Down = False,
    checkpoints: Checkpoints = False,
) -> None:
    """Sends a sweep to the cluster, follows it, and fetches its page.

    Says first what it will need. The sweep goes on if this machine sleeps or is switched off.

    \b
    Examples:
      genray cluster submit cluster.yaml search_spaces/quickstart.yaml
      genray cluster submit cluster.yaml search_spaces/compare.yaml --trials 32 --name compare32 --down
      genray cluster submit cluster.yaml search_spaces/compare.yaml --resume
    """
    from genray import arguments
    from genray.cluster.remote import fetch, settings, token
    from genray.cluster.remote import submit as remote
    from genray.cluster.remote.find import find

    known = settings.read(cluster)
    if detach and down:
        raise UserError(
            "--down takes the cluster down when the page is fetched, and --detach fetches none; leave out one"
        )
    sweep = arguments.sweep_of(space, trials=trials, overrides=set_ or ())
    request = remote.Request(
        sweep=sweep,
        name=name or sweep.name,
        place=settings.place_of(known, name or sweep.name, storage),
        resume=resume,
        max_gpu_hours=max_gpu_hours or known.settings.max_gpu_hours,
    )
    out = fetch.folder_of(request.name)
    fetch.check(out, known, request.place.folder)
    secret, head = token.read(), find(known)
    job = remote.submit(known, head, secret, request)
    typer.echo(f"{job.id} is on {known.name}; see it again: genray cluster attach {cluster} {job.id}", err=True)
    if not request.place.outlives_head:
        typer.echo(f"results are on the head's disk, in {job.folder}, and go with it (`ray down`)", err=True)
        if down and not checkpoints:
            typer.echo("--down: trained weights go with the head too; --checkpoints fetches them before", err=True)
    if not detach:
        _to_the_end(known, head, secret, job, out, checkpoints=checkpoints, down=down)


@cluster.command()
def attach(
    cluster: Yaml,
    job: JobId = None,
    checkpoints: Checkpoints = False,
    down: Down = False,
) -> None:
    """Follows a job again, and fetches its page.

    \b
    Example:
      genray cluster attach cluster.yaml
    """
    from genray.cluster.remote import fetch

    known, head, secret, found = _job(cluster, job)
    out = fetch.folder_of(found.sweep)
    fetch.check(out, known, found.folder)
    typer.echo(f"{found.id} on {known.name}", err=True)
    _to_the_end(known, head, secret, found, out, checkpoints=checkpoints, down=down)


@cluster.command()
def jobs(cluster: Yaml) -> None:
    """Lists the sweeps of the cluster, the latest first.

    \b
    Example:
      genray cluster jobs cluster.yaml
    """
    from genray import console
    from genray.cluster.remote.jobs import Jobs
    from genray.report.words import duration

    _, head, secret = _head(cluster)
    with head.tunnel() as port:
        rows = [(job.id, job.state.lower(), job.sweep, duration(job.age_s)) for job in Jobs(port, secret).sweeps()]
    typer.echo(console.table([("JOB", "STATE", "SWEEP", "TIME"), *rows]) if rows else "no sweep yet")


@cluster.command()
def stop(cluster: Yaml, job: Stoppable) -> None:
    """Stops a job. What it has done stays; `submit --resume` goes on from there.

    \b
    Example:
      genray cluster stop cluster.yaml quickstart-20260131-120000
    """
    from genray.cluster.remote.stop import stop as stop_

    _, head, secret, found = _job(cluster, job)
    typer.echo(stop_(head, secret, found))


@cluster.command()
def fetch(cluster: Yaml, job: JobId = None, out: Out = None, checkpoints: Checkpoints = False) -> None:
    """Fetches what a sweep has so far: its page, tables, pictures and curves.

    \b
    Examples:
      genray cluster fetch cluster.yaml
      genray cluster fetch cluster.yaml quickstart-20260131-120000 --out runs/copy --checkpoints
    """
    from genray.cluster.remote import fetch as remote

    known, head, _, found = _job(cluster, job)
    folder = out or remote.folder_of(found.sweep)
    remote.fetch(known, head, found, folder, checkpoints=checkpoints)
    remote.show(folder)


@cluster.command()
def board(cluster: Yaml) -> None:
    """Opens TensorBoard and Ray's dashboard through a tunnel.

    \b
    Example:
      genray cluster board cluster.yaml
    """
    from genray.cluster.remote.board import board as board_

    known, head, _ = _head(cluster)
    board_(known, head)


@cluster.command()
def doctor(cluster: Yaml) -> None:
    """Checks the cluster: versions, GPUs, storage, clocks, token, ports; a line each, with the fix.

    \b
    Example:
      genray cluster doctor cluster.yaml
    """
    from genray.cluster.remote.doctor import doctor as doctor_

    known, head, _ = _head(cluster)
    raise typer.Exit(doctor_(known, head))


@cluster.command()
def token() -> None:
    """Makes the secret that clusters are started with, once for this machine; `ray up` needs it.

    \b
    Example:
      genray cluster token
    """
    from genray.cluster.remote import token as remote

    made = remote.make()
    typer.echo(f"{'made' if made else 'there already:'} {remote.path()}")


def _head(yaml: Path) -> tuple[Cluster, Head, str]:
    from genray.cluster.remote import settings, token
    from genray.cluster.remote.find import find

    known = settings.read(yaml)
    return known, find(known), token.read()


def _job(yaml: Path, job: str | None) -> tuple[Cluster, Head, str, Job]:
    from genray.cluster.remote.jobs import Jobs

    known, head, secret = _head(yaml)
    with head.tunnel() as port:
        return known, head, secret, Jobs(port, secret).find(job)


def _to_the_end(known: Cluster, head: Head, secret: str, job: Job, out: Path, *, checkpoints: bool, down: bool) -> None:
    from genray.cluster.remote import fetch
    from genray.cluster.remote.down import take_down
    from genray.cluster.remote.follow import follow

    try:
        follow(known, head, secret, job)
        fetch.fetch(known, head, job, out, checkpoints=checkpoints)
    except (UserError, Fault, Stopped):
        if down:
            typer.echo(f"{known.name} stays up; `ray down {known.path}` takes it down", err=True)
        raise
    fetch.show(out)
    if down:
        take_down(known)
