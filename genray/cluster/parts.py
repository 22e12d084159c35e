"""The folder of a study: what was found so far, which a resumed study goes on from. One process at a time works in it.

study.yaml            what was asked for
parts/NAME.json       what came of a part, written as soon as it is there: JSON, with a checksum
parts/NAME.begun      how far a part is that was cut off: a line of JSON with a checksum of both, then the state that it
                      goes on from
index.html study.json study.md figures/    the answer
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from genray import files
from genray.errors import UserError
from genray.studies.base import Budget, Outcome, Part, Saved


@dataclass(frozen=True)
class Asked:
    """Which study, and how much work it may cost."""

    study: str
    budget: Budget
    overrides: Mapping[str, Any] = field(default_factory=dict)  # of `--set`


def check(out: Path, asked: Asked, *, resume: bool) -> None:
    """Whether the study may work in this folder; changes nothing. Raises UserError."""
    if (out / "study.yaml").exists():
        if not resume:
            raise UserError(
                f"{out} holds a study already; go on with it by --resume, or give another folder with --out"
            )
        _check_same(files.read_yaml(out / "study.yaml"), asked, out)
    elif not files.holds_nothing(out, "study.yaml"):
        raise UserError(f"{out} is there and is not a study; give another folder with --out")
    elif resume:
        raise UserError(f"{out} holds no study to go on with; leave out --resume, or give its folder with --out")
    files.require_writable(out, "the study")


def _check_same(there: dict[str, object], asked: Asked, out: Path) -> None:
    for key, value in vars(asked).items():
        if key not in there and key != "overrides":
            raise UserError(f"{out / 'study.yaml'} is damaged: it lacks {key}; write {key}: {value} there")
        if (found := there.get(key, {})) != value:
            raise UserError(
                f"{out} holds a study whose {key} is {found!r}, got {value!r}; "
                f"give the same, or another folder with --out"
            )


@contextlib.contextmanager
def opened(out: Path, asked: Asked) -> Iterator[Shelf]:
    """The folder, while this process alone works in it, which `check` has allowed."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with files.locked(out, "study"):
            for folder in (out, out / "parts", out / "figures"):
                files.drop_half_written(folder)
            files.write_text(out / "study.yaml", files.to_yaml(vars(asked)))
            yield Shelf(out)
    except (PermissionError, NotADirectoryError) as error:
        raise UserError(f"cannot write the study to {out}: {error.strerror}; give another folder with --out") from None


class Record(NamedTuple):
    """What came of a part."""

    outcome: Outcome
    seconds: float
    made_with: Mapping[str, str] = MappingProxyType({})  # device, commit and versions; of old folders nothing


class Begun(NamedTuple):
    """How far a part is, and what it goes on from."""

    saved: Saved
    seconds: float


@dataclass(frozen=True)
class Shelf:
    """What came of the parts, and how far they are, a file each."""

    out: Path  # the study's folder

    def keep(self, part: Part, record: Record) -> None:
        files.write_json(self._path(part), _sealed(part, record._asdict() | {"made_with": dict(record.made_with)}))
        self.drop_begun(part)

    def drop_begun(self, part: Part) -> None:
        """Of a part that is done: a kill may have come between its outcome and this."""
        self._begun(part).unlink(missing_ok=True)

    def save(self, part: Part, begun: Begun) -> None:
        state = begun.saved.state
        head = _sealed(part, {"reached": begun.saved.reached, "seconds": begun.seconds}, state)
        files.write_bytes(self._begun(part), json.dumps(head).encode() + b"\n" + state)

    def records(self, parts: Sequence[Part]) -> dict[str, Record]:
        """Of those parts that were done, with the same arguments."""
        found = {part.name: self._read(part) for part in parts}
        return {name: record for name, record in found.items() if record is not None}

    def begun(self, parts: Sequence[Part]) -> dict[str, Begun]:
        """Of those parts that were cut off, with the same arguments."""
        found = {part.name: self._read_begun(part) for part in parts}
        return {name: begun for name, begun in found.items() if begun is not None}

    def _read(self, part: Part) -> Record | None:
        with _named_where_damaged(self._path(part)):
            if not self._path(part).exists():
                return None
            kept = _unsealed(json.loads(self._path(part).read_bytes()))
            return Record(kept["outcome"], kept["seconds"], kept.get("made_with", {})) if _is_of(part, kept) else None

    def _read_begun(self, part: Part) -> Begun | None:
        with _named_where_damaged(self._begun(part)):
            if not self._begun(part).exists():
                return None
            head, _, state = self._begun(part).read_bytes().partition(b"\n")
            kept = _unsealed(json.loads(head), state)
            return Begun(Saved(state, kept["reached"]), kept["seconds"]) if _is_of(part, kept) else None

    def _path(self, part: Part) -> Path:
        return self.out / "parts" / f"{part.name}.json"

    def _begun(self, part: Part) -> Path:
        return self.out / "parts" / f"{part.name}.begun"


@contextlib.contextmanager
def _named_where_damaged(path: Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UserError(f"{path} is damaged; remove it, and its part is done again") from None


def _sealed(part: Part, found: Mapping[str, Any], state: bytes = b"") -> dict[str, Any]:
    """What a file of a part holds, with its checksum."""
    kept = {"part": part.name, "arguments": dict(part.arguments), **found}
    return kept | {"sha256": _checksum(kept, state)}


def _unsealed(kept: dict[str, Any], state: bytes = b"") -> dict[str, Any]:
    """Raises ValueError for what is not as it was written."""
    seal, expected = kept.pop("sha256", None), _checksum(kept, state)
    if "part" not in kept:  # the first studies wrote a checksum of the state alone, and none of an outcome
        expected = hashlib.sha256(state).hexdigest() if state else None
    if seal != expected:
        raise ValueError("the checksum is another")
    return kept


def _checksum(kept: Mapping[str, Any], state: bytes) -> str | None:
    return hashlib.sha256(json.dumps(kept).encode() + b"\n" + state).hexdigest()


def _is_of(part: Part, kept: Mapping[str, Any]) -> bool:
    """Whether a file speaks of the part as it is now."""
    arguments = json.loads(json.dumps(dict(part.arguments)))
    return bool(kept.get("part", part.name) == part.name and kept["arguments"] == arguments)
