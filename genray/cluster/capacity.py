"""How many workers machines have room for, those that are there and those that an autoscaler can start: pure counting.

A need is what one worker takes, {"CPU": 1, "GPU": 0.5}; a machine is what it has in all, whoever uses it now.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Amounts = Mapping[str, float]

HEAD = "node:__internal_head__"  # a resource that every cluster's head has
WORKER_BYTES = 1_200_000_000  # 1.07e9 resident, measured on Linux with torch 2.15's CUDA build: most is torch itself


@dataclass(frozen=True)
class NodeType:
    """Machines of one kind that an autoscaler starts: from `least`, which are always there, to `most`."""

    name: str
    resources: Amounts  # empty where nobody knows before the first is there
    least: int
    most: int


@dataclass(frozen=True)
class Growth:
    """What an autoscaler can make of a cluster: at most `most` machines beside the head. `types` is empty where it does
    not tell which."""

    types: tuple[NodeType, ...]
    most: int

    @property
    def is_known(self) -> bool:
        return bool(self.types) and all(kind.resources or not kind.most for kind in self.types)

    def amount(self, name: str) -> float:
        """Of one resource, on the machines that can be started."""
        return _fill(self, [kind.resources.get(name, 0.0) for kind in self.types])


def room_for(need: Amounts, machine: Amounts) -> int:
    """How many workers of that need a machine has room for. A fraction of a GPU lies on one GPU: 0.4 fits it twice."""
    rooms = []
    for name, amount in need.items():
        if amount:
            has = machine.get(name, 0.0)
            whole = amount >= 1 or name == "CPU"
            rooms.append(int(has / amount + 1e-9) if whole else int(has) * int(1 / amount + 1e-9))
    return min(rooms)


def rooms(need: Amounts, machines: Sequence[Amounts], growth: Growth | None, *, by_memory: bool) -> int:
    """How many workers the cluster has room for at the size that it can reach.

    Where its autoscaler does not tell what it can start, as many again as there is room for now, and at least one: the
    cluster grows in steps, for who asks again. With `by_memory`, no more than memory is enough for, where it is known.
    """

    def count(machine: Amounts) -> int:
        room = room_for(need, machine)
        return min(room, int(machine["memory"] // WORKER_BYTES)) if by_memory and "memory" in machine else room

    now = sum(count(machine) for machine in machines)
    if growth is None:
        return now
    if not growth.is_known:
        return now + max(now, 1) if len(machines) - 1 < growth.most else now
    heads = sum(count(machine) for machine in machines if is_head(machine))
    return max(now, heads + int(_fill(growth, [count(kind.resources) for kind in growth.types])))


def is_head(machine: Amounts) -> bool:
    return HEAD in machine


def _fill(growth: Growth, worth: Sequence[float]) -> float:
    """The most that machines can be worth together: those that are always there, then the best."""
    numbers = [kind.least for kind in growth.types]
    free = growth.most - sum(numbers)
    for i in sorted(range(len(worth)), key=lambda i: -worth[i]):
        more = max(0, min(free, growth.types[i].most - numbers[i]))
        numbers[i] += more
        free -= more
    return sum(number * each for number, each in zip(numbers, worth, strict=True))
