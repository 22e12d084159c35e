"""Training as the steps that are to be taken for it, so that the same code serves a run alone and one among others."""

from __future__ import annotations

from collections.abc import Callable, Generator
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
