"""Which runs may be trained as one: those of the same operations on tensors of the same shapes."""

from __future__ import annotations

from collections.abc import Sequence

from genray.config import Experiment
from genray.overrides import flatten

_SAME = {"dataset", "image_size", "batch_size", "precision", "epochs", "budget", "model"}


def signature(experiment: Experiment) -> dict[str, object]:
    """What members of a pack have in common, by dotted key. Of the model's real numbers (loss weights, dropout) it is
    whether they are 0, where losses leave a term out; but the number itself where it says at which steps losses branch.
    Seeds, rates, metrics and the like are each member's own.
    """
    found = flatten(experiment.model_dump(mode="json", include=_SAME))
    own = {key for key, value in found.items() if key.startswith("model.") and isinstance(value, float)}
    own -= {f"model.{name}" for name in experiment.model.branching}
    return {key: value != 0 if key in own else value for key, value in found.items()}


def alike(one: Experiment, other: Experiment) -> bool:
    """Whether nothing that experiments say speaks against their being one."""
    return why_apart([one, other]) is None


def why_apart(experiments: Sequence[Experiment]) -> str | None:
    """Why these runs cannot be one, in words that follow "a pack"; None where nothing speaks against it."""
    first = experiments[0]
    if first.limit.seconds is not None:
        return f"takes a budget of epochs or images, got {first.limit.text}: members share the clock"
    if any(experiment.workers > 1 for experiment in experiments):
        return f"trains on one worker, got workers={max(e.workers for e in experiments)}; set workers to 1"
    mine = signature(first)
    for number, other in enumerate(experiments[1:], start=1):
        theirs = signature(other)
        for key in sorted(mine.keys() | theirs.keys(), key=lambda key: (key != "model.name", key)):
            if mine.get(key) != theirs.get(key):
                values = [flatten(e.model_dump(mode="json")).get(key) for e in (first, other)]
                is_own = all(isinstance(v, float) for v in values) and not isinstance(mine[key], float)
                rule = "0 in all members or in none" if is_own else "one for all"
                return f"has {key} {rule}, got {values[0]!r} and, of member {number}, {values[1]!r}"
    return None
