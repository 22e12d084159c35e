"""When a sweep that finds no machine gives up: over a clock and a cluster that are made up."""

from types import SimpleNamespace
from typing import Any

import pytest

from genray.config import Experiment

pytestmark = pytest.mark.ray  # imports it


class Scene:
    """A sweep with one run handed out, waiting up to 100 s; `room` says whether Ray holds room for it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from genray.cluster import waiting

        self.now, self.room, self.lanes = 0.0, False, 1
        self.said: list[str] = []
        self.conductor: Any = SimpleNamespace(lanes=1, halted="", num_handed_out=1)
        monkeypatch.setattr(waiting, "any_has_room", lambda experiment: self.room)
        monkeypatch.setattr(waiting, "there", lambda: "1 machine (free on 10.0.0.1: no CPU)")
        monkeypatch.setattr(waiting.resources, "recount_lanes", lambda experiment, wanted: self.lanes)
        monkeypatch.setattr(waiting.resources, "need_of", lambda experiment: {"CPU": 2.0, "GPU": 1.0})
        monkeypatch.setattr(waiting.autoscaler, "growth", lambda: None)
        experiment = Experiment.parse({"model": {"name": "vae"}, "workers": 2})
        self.waiting = waiting.Waiting(
            self.conductor, experiment, None, 100.0, self.said.append, clock=lambda: self.now
        )

    def until(self, now: float) -> str:
        while self.now < now:
            self.now += 0.1
            self.waiting.look()
        return str(self.conductor.halted)


def test_a_sweep_without_room_says_so_once_and_ends_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(monkeypatch)
    assert scene.until(95) == ""
    assert len(scene.said) == 1
    assert scene.until(105) == (
        "no machine had room for a run in 100 s: a run asks for 2 x (2 CPU and 1 GPU), Ray has 1 machine (free on "
        "10.0.0.1: no CPU), and nothing starts machines for it; start machines, lower experiment.resources, or wait "
        "longer with start_timeout_s"
    )


def test_the_wait_begins_anew_once_there_was_room_or_nothing_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(monkeypatch)
    scene.until(95)
    scene.room = True
    scene.until(105)
    scene.room = False
    assert scene.until(200) == ""
    scene.conductor.num_handed_out = 0
    scene.until(210)
    scene.conductor.num_handed_out = 1
    assert scene.until(300) == ""
    assert "no machine had room" in scene.until(320)


def test_lanes_follow_the_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(monkeypatch)
    scene.lanes = 7
    scene.until(5)
    assert scene.conductor.lanes == 7
    scene.lanes = 2
    scene.until(10)
    assert scene.conductor.lanes == 2


def test_room_is_that_of_this_program_and_large_enough() -> None:
    from genray.cluster.waiting import _holds

    created = {"state": "CREATED", "bundles": {0: {"CPU": 2.0}, 1: {"CPU": 2.0, "GPU": 0.5}}}
    assert _holds(created, {"CPU": 2.0, "GPU": 0.5})
    assert _holds(created, {"CPU": 1.0, "GPU": 0.0})
    assert not _holds(created, {"CPU": 2.0, "GPU": 1.0})
    assert not _holds(created | {"state": "PENDING"}, {"CPU": 1.0})
    assert not _holds({"state": "CREATED", "bundles": {0: {"node:__internal_head__": 0.001}}}, {"CPU": 1.0})
