"""Whether every machine can write where a sweep is kept, and reads what the others wrote."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Any

from genray.cluster.checks.base import Check, fail, joined, ok
from genray.cluster.checks.nodes import ask, gather
from genray.errors import UserError
from genray.storage import Bucket

STORAGE_S = 15.0


def refuse(url: str) -> None:
    """Raises UserError for what is neither a URL of a storage nor an absolute path."""
    if "://" in url:
        Bucket(url)
    elif not url.startswith("/"):
        raise UserError(f"--storage takes a URL, or a folder's absolute path, got {url!r}; begin it with /")


def check(url: str, probes: Mapping[str, Any]) -> list[Check]:
    """A URL, or the path of a folder that all machines share."""
    is_url = "://" in url
    names = {node: f".doctor-{secrets.token_hex(6)}" for node in probes}
    written, bad = _each(probes, "write", {node: (url, name, name.encode()) for node, name in names.items()})
    checks = [_failed(url, "write to", why, is_url) for why in [bad] if why]
    if not written:
        return checks
    author = next(iter(written))
    readers = {node: actor for node, actor in probes.items() if node in written}
    read, unread = ask(readers, "read", url, names[author], timeout_s=STORAGE_S)
    if wrong := [node for node, content in read.items() if content != names[author].encode()]:
        unread |= dict.fromkeys(wrong, "other content than was written")
    if unread and not is_url:
        unread = {node: f"what {author} wrote is not there ({why})" for node, why in unread.items()}
    checks += [_failed(url, "read from", unread, is_url)] if unread else []
    _, left = _each(readers, "remove", {node: (url, names[node]) for node in readers})
    if left:
        checks.append(_failed(url, "remove from", left, is_url))
    return checks or [ok("storage", f"{_shown(url)}: {joined(written)} can write, and read what another wrote")]


def _shown(url: str) -> str:
    """Without the keys that a URL may hold."""
    return re.sub(r"//[^/@]*@", "//", url)


def _each(
    probes: Mapping[str, Any], method: str, arguments: Mapping[str, tuple[Any, ...]]
) -> tuple[dict[str, Any], dict[str, str]]:
    calls = {node: getattr(actor, method).remote(*arguments[node]) for node, actor in probes.items()}
    return gather(calls, STORAGE_S)


def _failed(url: str, action: str, why: Mapping[str, str], is_url: bool) -> Check:
    """One line, with every machine that it is so on."""
    found = "; ".join(f"{node}: {reason}" for node, reason in why.items())
    fix = (
        "give those machines the right to it (an instance role, or keys in their environment) and a network to it"
        if is_url
        else "mount the same shared folder at this path on every machine, writable, or give a URL (s3://, gs://)"
    )
    return fail("storage", f"every machine must {action} {_shown(url)}, got {found}", fix)
