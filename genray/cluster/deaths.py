"""Why a process died: by itself, with its machine, or of what its machine could not do. The last two are no fault of
the run."""

from __future__ import annotations

from typing import Literal

from genray.cluster.conductor import Cause

# What Ray says of an actor that was lost with its machine, or with the way to it: src/ray/gcs/gcs_actor_manager.cc,
# and ActorUnavailableError of ray/exceptions.py. Worker groups tell it in the text of another error. The last is said
# by a run whose folder another process has claimed, one that was given up while it could not be reached.
_OF_MACHINES = ("its node has died", "the actor's node was", "is unavailable:", "node was preempted", "Superseded: ")


class StorageFault(RuntimeError):
    """A storage out of reach. Another machine may do better."""


class DiskFault(RuntimeError):
    """A disk that its user has to mend: full, or read-only. Another machine may have room on its own."""


class MachineDeath(RuntimeError):
    """A machine of a group died, while the process that tells it lives on another."""


RAISED: dict[Literal["storage", "disk", "machine"], type[RuntimeError]] = {
    "storage": StorageFault,
    "disk": DiskFault,
    "machine": MachineDeath,
}

_OF_OURS = "creation task"  # the process started, and what makes it ours raised an error


def cause_of(text: str, *, started: bool = True) -> tuple[Cause, str]:
    """The cause, and the reason in one line, by what Ray says of the error. `started`: the process had come to its
    run."""
    text = text.strip()
    reason = text.splitlines()[-1].strip() if text else "no reason is known"
    for cause, kind in RAISED.items():
        if (name := f"{kind.__name__}: ") in text:
            return cause, reason.rpartition(name)[2]
    if any(words in text for words in _OF_MACHINES):
        return "machine", reason
    return "process" if started or _OF_OURS in text else "start", reason
