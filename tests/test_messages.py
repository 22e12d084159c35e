"""Every error of a user's own says the value that was given and, after a semicolon, what to do; what a check of YAML
raises becomes one of them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

GENRAY = Path(__file__).parents[1] / "genray"
OURS = {"UserError", "Unreachable", "NoRay", "Unknown"}
RAISED = OURS | {"ValueError"}

PASSED_ON = "the text is made elsewhere, by what is named in it"
CAUGHT = "who reads the file catches it, names the file and says what to do"
NO_VALUE = "nothing was given that could be shown"
OPTIONS = "the options that it names are what was given"
# Beginnings of messages that lack a value or a fix of their own, and why.
EXCEPTIONS = {
    "{_one_line(error, source)}": PASSED_ON,  # tests/test_strict.py
    "{_why_no_room(experiment, need, growth)}": PASSED_ON,
    "{reason(error)}": PASSED_ON,
    "{reason}": PASSED_ON,
    "a pack {reason}": PASSED_ON,
    "--{error}": PASSED_ON,
    "{where} ({model}): {error}": PASSED_ON,
    "the checksum is another": CAUGHT,
    "its weights do not have the hash that it names": CAUGHT,
    "it must be a JSON object, got ": CAUGHT,
    "it is nested too deep": CAUGHT,
    "{key} must be a number, got ": CAUGHT,
    "{value.name} is of one number of images alone": CAUGHT,
    "{_refusal(": PASSED_ON,
    "nothing to compare; ": NO_VALUE,
    "the cluster has no sweep yet; ": NO_VALUE,
    "the cluster refuses the token of this machine: ": "a secret is not shown",
    "memorization needs features of the training split, got none; ": NO_VALUE,
    "parzen needs images to choose sigma on; ": NO_VALUE,
    "--complete takes neither --label nor --sampled-from; ": OPTIONS,
    "--down takes the cluster down when the page is fetched, and --detach fetches none; ": OPTIONS,
}


def text_of(node: ast.expr) -> str:
    """A message, with what is put into it in braces."""
    match node:
        case ast.Constant(value=str(text)):
            return text.replace("{", "(").replace("}", ")")
        case ast.JoinedStr(values=values):
            return "".join(map(text_of, values))
        case ast.FormattedValue(value=value):
            return "{" + ast.unparse(value) + "}"
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return text_of(left) + text_of(right)
    return "{" + ast.unparse(node) + "}"


def words_of(node: ast.expr) -> str:
    """A message, with {} for whatever is put into it."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(map(words_of, parts))
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return words_of(left) + words_of(right)
    return "{}"


def has_value(node: ast.expr) -> bool:
    return any(isinstance(inner, ast.FormattedValue) for inner in ast.walk(node))


def has_fix(node: ast.expr) -> bool:
    """After a semicolon; or the names that are known, which `nearest` tells."""
    calls = [inner.func for inner in ast.walk(node) if isinstance(inner, ast.Call)]
    known = any(isinstance(call, ast.Name) and call.id == "nearest" for call in calls)
    return known or bool(words_of(node).partition(";")[2].strip())


def messages(code: str) -> Iterator[tuple[int, ast.expr]]:
    """Of each error of a user's that a file makes, and what its checks of YAML raise."""
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.Call(func=ast.Name(id=name), args=[message]) if name in RAISED:
                yield node.lineno, message


FOUND = {
    f"{path.relative_to(GENRAY)}:{line}": message
    for path in sorted(GENRAY.rglob("*.py"))
    for line, message in messages(path.read_text())
}


def test_every_message_has_a_value_and_a_fix() -> None:
    assert len(FOUND) > 150
    bad = {
        place: text_of(message)
        for place, message in FOUND.items()
        if not (has_value(message) and has_fix(message)) and not text_of(message).startswith(tuple(EXCEPTIONS))
    }
    assert not bad


@pytest.mark.parametrize("beginning", EXCEPTIONS)
def test_each_exception_is_one(beginning: str) -> None:
    found = [message for message in FOUND.values() if text_of(message).startswith(beginning)]
    assert found
    assert not any(has_value(message) and has_fix(message) for message in found)


@pytest.mark.parametrize(
    ("code", "good"),
    [
        ('UserError(f"n must be >= 1, got {n}; raise --num")', True),
        ('UserError(f"{n!r} is not a model{nearest(n, names())}")', True),
        ('UserError(f"n must be >= 1, " f"got {n}; " + "raise it")', True),
        ('UserError(f"n must be >= 1, got {n}")', False),
        ('UserError(f"n must be >= 1, got {n};")', False),
        ('UserError("n must be >= 1; raise it")', False),
        ("UserError(f\"n must be >= 1, got {'; '.join(n)}\")", False),
        ("UserError(why)", False),
    ],
)
def test_what_counts(code: str, good: bool) -> None:
    [(_, message)] = messages(code)
    assert (has_value(message) and has_fix(message)) is good


def test_all_make_their_message_where_it_is_seen() -> None:
    """No call escapes: each has one argument, by a name that is looked for."""
    classes = set[str]()
    for path in sorted(GENRAY.rglob("*.py")):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        calls = [ast.unparse(node.func).rpartition(".")[2] for node in nodes if isinstance(node, ast.Call)]
        assert len([name for name in calls if name in RAISED]) == len(list(messages(path.read_text()))), path
        for node in nodes:
            if isinstance(node, ast.ClassDef) and OURS & {ast.unparse(base) for base in node.bases}:
                classes.add(node.name)
    assert classes | {"UserError"} == OURS
