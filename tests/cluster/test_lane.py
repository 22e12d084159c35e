"""What a lane does with the events of several runs, without processes."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import pytest

from genray.cluster.work import Task
from genray.config import Experiment

if TYPE_CHECKING:
    from genray.cluster.lane import Lane

pytestmark = pytest.mark.ray  # imports it

EXPERIMENT = Experiment.parse({"model": {"name": "vae"}})


def test_a_job_is_over_when_its_last_run_has_ended_and_stopping_it_stops_each() -> None:
    from genray.cluster.lane import Event, Lane

    class Scripted(Lane):
        """Two runs that report in turn, each until it is told to stop, or for three rows."""

        answers: list[bool]
        joined: list[list[str]]

        def close(self) -> None: ...

        def _begin(self, tasks: Sequence[Task]) -> None:
            self.answers, self.joined, self._events = [], [], self._script([task.run for task in tasks])

        def _script(self, left: list[str]) -> Iterator[Event]:
            for epoch in (1, 2, 3):
                for run in list(left):
                    yield Event("row", run, {"epoch": epoch})
                    if not self.answers[-1] or epoch == 3:
                        left.remove(run)
                        yield Event("done", run)

        def _join(self, tasks: Sequence[Task]) -> None:
            self.joined.append([task.run for task in tasks])

        def _answer(self, go_on: bool) -> None:
            self.answers.append(go_on)

        def _receive(self) -> Event:
            return next(self._events)

    lane, tasks = Scripted(), [Task(run, EXPERIMENT, finalist=True) for run in ("a", "b")]
    lane.start(tasks)
    told = []
    while not lane.ended:
        told.append(lane.next())
    assert [(event.kind, event.run) for event in told[-4:]] == [
        ("row", "a"),
        ("done", "a"),
        ("row", "b"),
        ("done", "b"),
    ]
    assert lane.answers == [True] * 6
    lane.start(tasks)
    lane.next()
    lane.stop()
    assert lane.ended
    assert lane.answers == [False, False]
    lane.start(tasks)
    lane.next()
    lane.take_in([Task("c", EXPERIMENT, finalist=True)])
    lane.refuse("a")
    assert (lane.answers, lane.joined) == ([False], [["c"]])
    told = [lane.next() for _ in range(5)]
    assert [(event.kind, event.run) for event in told[:2]] == [("done", "a"), ("row", "b")]
    assert lane.answers == [False, True, True, True]
    assert not lane.ended, "the one that was taken in has not ended"


def test_what_joins_a_job_that_is_over_is_a_job_of_its_own() -> None:
    from genray.cluster.local_lane import Joining

    one, other = (Task(run, EXPERIMENT, finalist=False) for run in ("a", "b"))
    joining = Joining()
    assert joining.take() == []
    assert joining.add([one])
    assert joining.take(last=True) == [one]
    assert joining.add([other])
    assert joining.take() == [other]
    assert joining.take(last=True) == []
    assert not joining.add([one])
    assert joining.take() == []


def one_run(events: list[object]) -> tuple["Lane", list[str]]:
    """A lane that has handed over the first row of its run, and what it does from then on."""
    from genray.cluster.lane import Event, Lane

    told = iter([Event("row", "a"), *events])
    calls: list[str] = []

    class Told(Lane):
        def close(self) -> None:
            self.stop()

        def _begin(self, tasks: Sequence[Task]) -> None: ...

        def _join(self, tasks: Sequence[Task]) -> None: ...

        def _answer(self, go_on: bool) -> None:
            calls.append(f"answer {go_on}")

        def _receive(self) -> Event:
            calls.append("wait")
            if isinstance(event := next(told), BaseException):
                raise event
            assert isinstance(event, Event)
            return event

    lane = Told()
    lane.start([Task("a", EXPERIMENT, finalist=False)])
    lane.next()
    calls.clear()
    return lane, calls


def test_ctrl_c_while_a_row_is_awaited_waits_for_no_other() -> None:
    lane, calls = one_run([KeyboardInterrupt()])
    with pytest.raises(KeyboardInterrupt):
        lane.next()
    lane.close()
    assert calls == ["answer True", "wait"]


@pytest.mark.parametrize("kind", ["died", "machine", "storage", "disk"])
def test_a_lane_that_ends_while_a_run_is_stopped_says_so(kind: str) -> None:
    """It would be given the next job, and wait for ever."""
    from genray.cluster.lane import Event
    from genray.cluster.trainable import Trial

    ending = Event(kind, reason="out of reach")  # type: ignore[arg-type]  # a parameter of the test
    lane, _ = one_run([ending])
    assert lane.stop() == ending
    trial = Trial.__new__(Trial)
    trial._lane, _ = one_run([ending])
    with pytest.raises((RuntimeError, OSError), match="out of reach"):
        trial.reset_config({})
    lane, _ = one_run([Event("stopped", "a")])
    assert lane.stop() is None
