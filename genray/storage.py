"""Where a sweep is kept when its runs are done on other machines: files by name, each written whole or not at all."""

from __future__ import annotations

import errno
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

from genray import files
from genray.errors import UserError

CONNECTIONS = 8
PATIENCE_S = 180.0  # for a storage that does not answer: a lost network comes back, most of the time
_FIRST = "experiment.yaml"  # pushed before all else: by it a folder is known as a run's
_LATE = ("checkpoint/", "result.json")  # pushed after all else: what they speak of must be there before them

_T = TypeVar("_T")


class Stamp(NamedTuple):
    """What tells that a file has changed."""

    size: int
    modified_ns: int


class Storage(ABC):
    """Names are relative, with slashes: "vae/trial_0007/metrics.jsonl". Raises OSError where it cannot be reached."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Raises FileNotFoundError."""

    @abstractmethod
    def write(self, name: str, content: bytes) -> None: ...

    @abstractmethod
    def list(self, folder: str) -> dict[str, Stamp]:
        """All files below a folder, by names relative to it. Hidden files are left out. Empty where there is none."""

    @abstractmethod
    def move(self, folder: str, to: str) -> None:
        """Renames a folder, if it is there."""


class Disk(Storage):
    """A folder of this machine, or one that every machine sees under this path."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, name: str) -> bytes:
        return (self._path / name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        files.write_bytes(self._path / name, content)

    def list(self, folder: str) -> dict[str, Stamp]:
        return stamps(self._path / folder)

    def move(self, folder: str, to: str) -> None:
        if (old := self._path / folder).exists():
            (self._path / to).parent.mkdir(parents=True, exist_ok=True)
            old.rename(self._path / to)


class Bucket(Storage):
    """Object storage: s3://bucket/folder, gs://bucket/folder, by Arrow's file systems, which find the credentials as
    the provider's own tools do. An object appears when it is complete."""

    def __init__(self, url: str) -> None:
        """Raises UserError for what is no such URL."""
        from pyarrow import ArrowException, fs

        try:
            self._fs, self._path = fs.FileSystem.from_uri(url)
        except (ArrowException, ValueError, OSError) as error:
            reason = (str(error).splitlines() or [""])[0]
            raise UserError(
                f"--storage takes a URL like s3://bucket/folder, got {url!r}: {reason}; give one of that form"
            ) from None
        if not self._path:
            raise UserError(
                f"--storage takes a URL like s3://bucket/folder, got {url!r}, which names no bucket; add the bucket"
            )
        self.url = url

    def __reduce__(self) -> tuple[type[Bucket], tuple[str]]:
        return Bucket, (self.url,)

    def read(self, name: str) -> bytes:
        with self._fs.open_input_stream(self._at(name)) as stream:
            content: bytes = stream.read()
            return content

    def write(self, name: str, content: bytes) -> None:
        with self._fs.open_output_stream(self._at(name)) as stream:
            stream.write(content)

    def list(self, folder: str) -> dict[str, Stamp]:
        from pyarrow import fs

        top = self._at(folder).rstrip("/")
        selector = fs.FileSelector(top, allow_not_found=True, recursive=True)
        return {
            info.path.removeprefix(top + "/"): Stamp(info.size, info.mtime_ns or 0)
            for info in self._fs.get_file_info(selector)
            if info.type == fs.FileType.File and not info.base_name.startswith(".")
        }

    def move(self, folder: str, to: str) -> None:
        for name in self.list(folder):
            self._fs.copy_file(self._at(f"{folder}/{name}"), self._at(f"{to}/{name}"))
        for name in self.list(folder):
            self._fs.delete_file(self._at(f"{folder}/{name}"))

    def _at(self, name: str) -> str:
        return f"{self._path}/{name}".rstrip("/")


def stamps(folder: Path) -> dict[str, Stamp]:
    """The files below a folder of this machine, as `Storage.list` gives them."""
    return dict(_walk(folder, folder))


def _walk(folder: Path, top: Path) -> Iterator[tuple[str, Stamp]]:
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _walk(path, top)
            continue
        try:
            stat = path.stat()
        except FileNotFoundError:  # replaced at this moment: the next call sees it
            continue
        yield path.relative_to(top).as_posix(), Stamp(stat.st_size, stat.st_mtime_ns)


def pull(
    storage: Storage, prefix: str, folder: Path, seen: Mapping[str, Stamp], wanted: Callable[[str], bool] = bool
) -> dict[str, Stamp]:
    """Brings the files that are not as they were when `seen`, and returns what is there now."""
    there = {name: stamp for name, stamp in patiently(lambda: storage.list(prefix)).items() if wanted(name)}

    def bring(name: str) -> None:
        try:
            files.write_bytes(folder / name, patiently(lambda: storage.read(f"{prefix}/{name}")))
        except FileNotFoundError:  # renamed at this moment: the next call sees it
            del there[name]

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(bring, [name for name, stamp in there.items() if seen.get(name) != stamp]))
    return there


def push(
    folder: Path, storage: Storage, prefix: str, sent: Mapping[str, Stamp], wanted: Callable[[str], bool] = bool
) -> dict[str, Stamp]:
    """Sends the files that are not as they were when `sent`, and returns what is sent now. What is there of a run that
    is killed in between is a run, whose checkpoint is never newer than the rows that it speaks of."""
    now = {name: stamp for name, stamp in stamps(folder).items() if wanted(name)}
    for name in sorted(now, key=lambda name: (name != _FIRST, name.startswith(_LATE), name)):
        if sent.get(name) != now[name]:
            content = (folder / name).read_bytes()
            patiently(lambda: storage.write(f"{prefix}/{name}", content))  # noqa: B023  called before the next turn
    return now


def patiently(action: Callable[[], _T]) -> _T:
    """Tries again for a while where the storage cannot be reached. What is not there, not allowed or full stays so."""
    began, pause = time.monotonic(), 0.5
    while True:
        try:
            return action()
        except (FileNotFoundError, PermissionError):
            raise
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS) or time.monotonic() - began > PATIENCE_S:
                raise
        time.sleep(pause)
        pause = min(2 * pause, 10.0)
