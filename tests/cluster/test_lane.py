"""What a lane does with the events of several runs, without processes."""

from collections.abc import Iterator, Sequence

import pytest

from genray.cluster.work import Task
from genray.config import Experiment

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
