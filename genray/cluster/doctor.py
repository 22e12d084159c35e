"""Looks a cluster over, or this machine alone: one line a check, with the fix. Nothing is waited for without end."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from genray.cluster import environment
from genray.cluster.checks.base import Check, fail

NODES_S = 35.0  # for a first process on every machine
ASK_S = 15.0  # for anything after that
END_S = 300.0  # for all of it, were even a call of Ray to hang

Show = Callable[[Check], object]


def doctor(
    *,
    address: str | None = None,
    storage: str | None = None,
    dataset: str | None = None,
    show: Show = lambda check: None,
    verbose: bool = False,
) -> list[Check]:
    """All checks; each is handed to `show` as soon as it is there. `storage`: a URL, or the path of a shared folder.

    Raises UserError for a storage or dataset that is none, and where no cluster answers at the address.
    """
    environment.prepare(address)
    import ray

    from genray.cluster import resources
    from genray.cluster.checks import nodes
    from genray.cluster.checks.storage import refuse

    if storage is not None:
        refuse(storage)

    checks: list[Check] = []

    def add(*found: Check) -> None:
        for check in found:
            checks.append(check)
            show(check)

    need, what = _need(dataset)
    try:
        with resources.connected(address, data_bytes=need, verbose=verbose):
            there = nodes.alive()
            probes = nodes.probes(there)
            try:
                _look(there, probes, storage, need, what, add)
            finally:
                for actor in probes.values():
                    ray.kill(actor)
    except ray.exceptions.AuthenticationError as error:
        reason = str(error).split(". ")[0]
        add(
            fail(
                "connect",
                f"Ray must take this machine's token, got {reason}",
                "bring the head's ~/.ray/auth_token here",
            )
        )
    return checks


def _look(
    there: Sequence[Any], probes: dict[str, Any], storage: str | None, need: int, what: str, add: Callable[..., None]
) -> None:
    import ray

    from genray.cluster.checks import machines, network, nodes, security, versions
    from genray.cluster.checks import storage as storages

    node = ray._private.worker._global_node
    facts, silent = nodes.ask(probes, "facts", node.get_temp_dir_path(), timeout_s=NODES_S)
    answering = {name: actor for name, actor in probes.items() if name in facts}
    offsets, late = network.offsets(answering, ASK_S)
    add(nodes.check(there, silent | late))
    if not facts:
        return
    counted = {each.name: each.resources for each in there if each.name in facts}
    add(*versions.check(facts), *machines.gpus(facts, counted), *machines.memory(facts), *machines.disks(facts))
    add(*machines.object_store(facts, counted, need, what), network.clocks(offsets))
    url, head = node.webui_url or None, there[0]
    add(security.token(security.ask_gcs(node.gcs_address), security.ask_dashboard(url) if url else None))
    add(security.dashboard(url, _reached(head, url, answering), facts.get(head.name, {}).get("listening", {})))
    add(security.ports(facts))
    if storage is not None:
        add(*storages.check(storage, answering))
    seen = {name: len(fact["gpus"]["seen"]) for name, fact in facts.items()}
    add(*network.all_reduce([each for each in there if each.name in facts], seen))


def _reached(head: Any, url: str | None, probes: dict[str, Any]) -> dict[str, str]:
    """By machine, how a connection to the dashboard's port at the head's own address goes."""
    from genray.cluster.checks import nodes

    if not url or head.ip.startswith("127."):
        return {}
    return nodes.ask(probes, "connect", head.ip, int(url.rpartition(":")[2]), timeout_s=ASK_S)[0]


def _need(dataset: str | None) -> tuple[int, str]:
    """Bytes that a dataset takes in the object store, as a sweep puts it there: the largest of the known ones, if none
    is named."""
    from genray.data import datasets

    known = {}
    for each in datasets.describe():
        if each.shape and each.sizes:
            channels, height, width = each.shape
            known[each.name] = 3 * sum(each.sizes) * (channels * height * width + 8)
    if dataset is None:
        dataset = max(known, key=lambda name: known[name])
    elif dataset not in known:
        loaded = datasets.load(dataset)
        return 3 * sum(split.images.nbytes for split in (loaded.train, loaded.validation, loaded.test)), dataset
    return known[dataset], dataset


def to_json(checks: Sequence[Check]) -> str:
    return json.dumps({"ok": all(check.level != "FAIL" for check in checks), "checks": [asdict(c) for c in checks]})


@contextlib.contextmanager
def ended_in_time(say: Callable[[Check], object]) -> Iterator[None]:
    """Ends the process, with what it has said so far, were a call of Ray's to hang."""

    def end() -> None:
        say(
            fail(
                "doctor", f"all checks must end in {END_S:g} s; the one after the last line did not", "see `ray status`"
            )
        )
        os._exit(1)

    timer = threading.Timer(END_S, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
