"""The same software on every machine: results of others would not be comparable, and Ray's processes not talk."""

from __future__ import annotations

from genray.cluster.checks.base import Check, Facts, each, fail, ok

_FIX = "bring the same checkout to every machine and run launch/setup there (`ray up CLUSTER.yaml` does both)"


def check(facts: Facts) -> list[Check]:
    found = {node: fact["versions"] for node, fact in facts.items()}
    keys = list(dict.fromkeys(key for versions in found.values() for key in versions))
    bad = []
    for key in keys:
        values = {node: versions.get(key, "missing") for node, versions in found.items()}
        if len(set(values.values())) > 1 or "missing" in values.values():
            bad.append(fail("versions", f"{key} must be the same on every machine, got {each(values)}", _FIX))
    if bad:
        return bad
    same: dict[str, str] = next(iter(found.values()), {})
    return [ok("versions", ", ".join(f"{key} {value}" for key, value in same.items()))]
