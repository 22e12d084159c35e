"""Training as the steps that are to be taken for it, so that the same code serves a run alone and one among others."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import TypeVar

T = TypeVar("T")
Course = Generator[int, None, T]  # steps, each of which is to be taken before the next is asked for; what comes of them


def taken(steps: Course[T], take: Callable[[int], object]) -> T:
    """What comes of the steps, when `take` takes them."""
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        take(step)


def taken_together(courses: Sequence[Course[T]], take: Callable[[list[int]], object]) -> list[T]:
    """What comes of each of several courses of one length, when `take` takes the steps of all at once."""
    results: list[T] = []
    while not results:
        steps = []
        for course in courses:
            try:
                steps.append(next(course))
            except StopIteration as end:
                results.append(end.value)
        if not results:
            take(steps)
    return results
