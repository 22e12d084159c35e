import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from genray.cluster import snapshot
from genray.cluster.progress import Progress
from genray.cluster.queue import Status
from genray.cluster.view import View

VAE = Status("vae", 8, 3, 2, 1, 1, 5, 0, 0, 12.3456, "")
GAN = Status(
    "gan", 8, 0, 0, 8, 0, 0, 0, 0, None, "no trial was completed; the last failed with: a weight is not finite"
)


class Played:
    """Stands in for a conductor."""

    finished = False

    def __init__(self) -> None:
        self.now = [VAE, GAN]

    def status(self) -> list[Status]:
        return self.now

    def seconds_left(self) -> float | None:
        return 75.0


def test_plain_lines_say_what_each_model_has_done() -> None:
    stream = io.StringIO()
    with Progress(stream) as progress:
        progress.begin(Played(), "frechet")
        progress.update()  # at once after the first: nothing
    assert stream.getvalue().splitlines() == [
        "[0.0 s, about 1 min 15 s left]  "
        "vae: 6/8 trials, 1 running, 2 stopped, 1 failed, best 12.3  |  "
        "gan: 8/8 trials, 8 failed, no finalists: no trial was completed; the last failed with: a weight is not finite"
    ]


def test_what_is_said_while_the_state_is_looked_at_is_kept(tmp_path: Path) -> None:
    """A model that sees its search finished sets finalists aside, and says so."""
    (tmp_path / "sweep.yaml").write_text("name: mine\n")
    with Progress(io.StringIO(), folder=tmp_path) as progress:

        class Says(Played):
            def status(self) -> list[Status]:
                progress.say("finalist_0 is kept")
                return self.now

        progress.begin(Says(), "frechet")
    last = snapshot.read(tmp_path)
    assert last is not None
    assert last.said == ("finalist_0 is kept",)


def test_a_line_is_written_when_something_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genray.cluster.view.PLAIN_EVERY_S", 0.0)
    monkeypatch.setattr("genray.cluster.progress.TICK_S", 0.0)
    stream, played = io.StringIO(), Played()
    with Progress(stream) as progress:
        progress.begin(played, "frechet")
        progress.update()
        assert stream.getvalue().count("\n") == 1
        played.now = [replace(VAE, complete=5, finalists_done=2), GAN]
        progress.update()
    assert "2/5 finalists" in stream.getvalue().splitlines()[1]


def test_on_a_terminal_it_is_a_table_of_all_models() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=120)
    with Progress(view=View(console=console)) as progress:
        progress.begin(Played(), "frechet")
    shown = stream.getvalue()
    for words in ("best frechet", "6/8", "12.3", "0/5", "about 1 min 15 s left", "no trial was completed"):
        assert words in shown
