"""Files that are written whole or not at all, and YAML that is read strictly."""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from genray.errors import UserError

_HALF = ".half"  # ends the name of a file that is being written
_MOST_VALUES = 100_000  # in YAML, where aliases of aliases can stand for more than any memory holds
_DEEPEST = 100  # levels of YAML, of which each takes Python some of its stack, here and in what reads the values
_MOST_BITS = 10_000  # of an integer, which Python would not write out beyond 4,300 digits
# YAML 1.2's numbers with a point or an exponent; 1.1 takes 1e-4 and -.5 for texts
_FLOAT = re.compile(r"(?=.*[.eE])[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$")
LOCK, OWNER = ".lock", ".owner"  # of who works in a folder; see genray/claim.py for the second
SEAL = "sha256"  # the key under which JSON holds the checksum of all else in it


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Writes a file beside `path`, flushes it to the disk and renames it: a reader sees the old file or the new one.

    Raises OSError, which names `path`.
    """
    with _errors_name(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=_HALF)
        try:
            with os.fdopen(descriptor, "wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)  # mkstemp makes 0600, which a colleague on a shared disk cannot read
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def _errors_name(path: Path) -> Iterator[None]:
    """The system names the half-written file, or none; torch.save raises an error of its own while it handles one."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        cause = error if isinstance(error, OSError) else error.__context__
        if not isinstance(cause, OSError) or cause.errno is None:
            raise
        raise OSError(cause.errno, cause.strerror, str(path)) from error


def write_bytes(path: Path, content: bytes) -> None:
    write_atomically(path, lambda file: file.write(content))


def write_text(path: Path, text: str) -> None:
    """UTF-8. Names of files may hold bytes that are none: they are shown as `UserError` shows them."""
    write_bytes(path, text.encode(errors="backslashreplace"))


def write_json(path: Path, value: Any) -> None:
    """Standard JSON: a number that is not finite is refused, as no other reader would take it."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def sealed(value: Mapping[str, Any]) -> dict[str, Any]:
    """With a checksum, by which a reader knows that nothing in it was changed."""
    content = json.loads(json.dumps({key: held for key, held in value.items() if key != SEAL}))
    text = json.dumps(content, sort_keys=True)
    return {**value, SEAL: hashlib.sha256(text.encode()).hexdigest()}


def is_sealed(value: Any) -> bool:
    return isinstance(value, dict) and SEAL in value and sealed(value)[SEAL] == value[SEAL]


def holds_nothing(folder: Path, first: str) -> bool:
    """Whether a folder is not there, or holds at most the marks of who worked there, and what a kill left of their
    write or of that of its `first` file."""
    if not folder.exists():
        return True
    half = (f".{first}.", f".{OWNER}.")
    return folder.is_dir() and all(p.name in (LOCK, OWNER) or p.name.startswith(half) for p in folder.iterdir())


def remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def drop_half_written(folder: Path) -> None:
    """Removes what kills left of `write_atomically` in a folder in which nobody else writes now."""
    for path in folder.glob(f".*{_HALF}"):
        path.unlink()


def set_aside(path: Path) -> Path:
    """A damaged or foreign file gives its name free, and is kept under another, which readers of events pass over."""
    aside = path.with_name(f"{path.name.replace('tfevents', 'events')}.damaged")
    with contextlib.suppress(FileNotFoundError):
        os.replace(path, aside)
    return aside


def require_writable(folder: Path, what: str) -> None:
    """Refuses a folder in which nothing can be written, or that cannot be made; leaves no trace."""
    try:
        place = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
        with tempfile.TemporaryDirectory(dir=place, prefix=".genray."):
            pass
    except OSError as error:
        raise UserError(f"cannot write {what} to {folder}: {error.strerror}; give another folder with --out") from None


@contextlib.contextmanager
def locked(folder: Path, what: str, *, wait: bool = False) -> Iterator[None]:
    """The folder while this process alone works in it; it is given back by the system when the process ends."""
    with (folder / LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise _in_use(folder, what) from None
        yield


def _in_use(folder: Path, what: str) -> UserError:
    return UserError(f"{folder} is in use by another {what} that is running; wait for it, or give another --out")


def refuse_locked(folder: Path, what: str) -> None:
    """Early, before anything is loaded or made; `locked` refuses who comes in between."""
    if is_locked(folder):
        raise _in_use(folder, what)


def is_locked(folder: Path, lock: str = LOCK) -> bool:
    """Whether a process works in the folder now, on this machine."""
    try:
        with (folder / lock).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no such file, or a file system without locks
        return False
    return False


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice, of which YAML would silently keep the last, aliases that stand for
    too much, integers that nobody could read, and 010, which is 8 to YAML 1.1 and 10 to 1.2. 1e-4 is a number."""

    def get_single_node(self) -> yaml.Node | None:
        node = super().get_single_node()
        if node is not None:
            _check_extent(node)
        return node

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        value, problem = super().construct_yaml_int(node), ""
        if value.bit_length() > _MOST_BITS:
            problem = f"an integer must have at most {_MOST_BITS} bits, got {value.bit_length()}"
        elif re.match("[-+]?0[0-9_]", node.value):
            problem = f"an integer must not begin with 0, got {node.value}"
        if problem:
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return value

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                problem = f"the key {key!r} stands twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Puts quotes around texts that `_StrictLoader` would read as numbers."""


_StrictLoader.add_constructor("tag:yaml.org,2002:int", _StrictLoader.construct_yaml_int)
for _each in (_StrictLoader, _Dumper):
    _each.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))


def _check_extent(root: yaml.Node) -> None:
    """Refuses a document that stands for too many values, or nested too deep, as where an alias holds itself."""
    left, waiting = _MOST_VALUES, [(root, _DEEPEST)]
    while waiting:
        node, levels = waiting.pop()
        parts = node.value if isinstance(node, yaml.CollectionNode) else []
        inner = [each for pair in parts for each in pair] if isinstance(node, yaml.MappingNode) else parts
        left -= len(inner)
        if left < 0 or levels == 0:
            problem = (
                f"values must be nested at most {_DEEPEST} deep, got more"
                if levels == 0
                else f"a file must hold at most {_MOST_VALUES} values, an alias's counted wherever it stands, got more"
            )
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        waiting += [(each, levels - 1) for each in inner]


def parse_yaml(text: str, source: str) -> Any:
    """YAML → plain values. `source` names the text in errors. No tags, no duplicate keys."""
    try:
        return yaml.load(text, Loader=_StrictLoader)  # noqa: S506  a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{source}, line {mark.line + 1}" if mark else source
        problem = getattr(error, "problem", None) or str(error)
        raise UserError(f"{where}: not valid YAML: {' '.join(problem.split())}; mend that line") from None
    except (TypeError, ValueError) as error:  # an unhashable key, a date that is none
        raise UserError(f"{source}: not valid YAML: {' '.join(str(error).split())}; mend that value") from None
    except RecursionError:
        raise UserError(f"{source}: not valid YAML: nested too deep; mend its brackets") from None


def to_yaml(value: Mapping[str, Any]) -> str:
    """Plain values → YAML that `parse_yaml` reads as they were."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False)
    return text


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UserError(f"cannot read {path}: {reason}; give the path of a YAML file") from None
    value = parse_yaml(text, str(path))
    if not isinstance(value, dict):
        raise UserError(
            f"{path} must hold a mapping of keys to values, got {type(value).__name__}; write lines of `key: value`"
        )
    return value
