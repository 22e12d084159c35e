"""Who works on what lies in a storage, where several processes may believe that they do."""

from __future__ import annotations

import contextlib
import os
import socket
import uuid
from typing import NamedTuple

from genray import files
from genray.storage import Storage, patiently


class Turn(NamedTuple):
    """Of something that one giver gives out several times, until it is done: which time this is."""

    giver: str
    number: int


class Superseded(RuntimeError):
    """Another process has taken this over, because this one was believed to be dead."""


class Claim:
    """A mark in the storage that says who works on something: the one to whom its giver gave it last, however late
    others come to it; of several givers, whoever came last. A process that was cut off from the network, and comes back
    after its work was given to another, finds that out before it writes."""

    def __init__(self, storage: Storage, prefix: str, turn: Turn | None = None) -> None:
        """Raises Superseded."""
        self._storage, self._name, self._turn = storage, f"{prefix}/{files.OWNER}", turn
        who = f"{socket.gethostname()} {os.getpid()} {uuid.uuid4()}"
        self._owner = "\n".join(map(str, (who, *(turn or ()))))
        if turn is not None:
            with contextlib.suppress(FileNotFoundError):
                owner = self._read()
                if (number := self._number(owner)) is not None and number > turn.number:
                    raise self._superseded(owner)
        self._write()

    def check(self) -> None:
        """Raises Superseded."""
        if (owner := self._read()) == self._owner:
            return
        number = self._number(owner)
        if self._turn is None or number is None or number > self._turn.number:
            raise self._superseded(owner)
        self._write()  # one of an earlier turn had read the mark before this one wrote it

    def _number(self, owner: str) -> int | None:
        """Of the owner's turn; None where another gave it."""
        _, giver, number = (*owner.splitlines(), "", "", "")[:3]
        return int(number) if self._turn is not None and giver == self._turn.giver and number.isdigit() else None

    def _superseded(self, owner: str) -> Superseded:
        who, *_ = owner.splitlines() or [""]
        return Superseded(f"{self._name} says that {who} works on this now")

    def _read(self) -> str:
        return patiently(lambda: self._storage.read(self._name)).decode(errors="replace")

    def _write(self) -> None:
        patiently(lambda: self._storage.write(self._name, self._owner.encode()))
