"""Whose features the metrics look at: ours, a known network's, or a function of the user's own.

An experiment names one by `extractor`: `classifier` (the default, in classifier.py), another of `names()`, a name that
`register_extractor` was given, or `module:function`. Classes are always told by our classifier of the dataset,
whichever network the features are of: Inception's thousand classes know no digits.
"""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import TYPE_CHECKING

from genray.errors import UserError, nearest
from genray.extractors.function import Function, import_function, registered

if TYPE_CHECKING:
    from genray.data.spec import TrainingData
    from genray.extractors.base import Extractor
    from genray.extractors.embedding import Embedding, Network

DEFAULT = "classifier"
_NETWORKS = {  # name → module of this package, and which of its networks
    "inception": ("inception", "INCEPTION"),
    "dinov2": ("dinov2", "LARGE"),
    "dinov2_vits14": ("dinov2", "SMALL"),
}


def names() -> list[str]:
    """What `extractor` may name, beside `module:function`."""
    return sorted({DEFAULT, *_NETWORKS, *registered()})


def make(name: str, data: TrainingData) -> Extractor:
    """The extractor of that name for a dataset; our classifier of it is trained where that was not done before.

    Raises UserError for a name that is not there, a package or weights that are missing, a function that cannot be
    imported or does not give features.
    """
    embedding = find(name, data)

    from genray.extractors.embedding import WithClasses
    from genray.extractors.trained import extractor_for

    classifier = extractor_for(data)
    return classifier if embedding is None else WithClasses(**vars(embedding), classifier=classifier)


def find(name: str, data: TrainingData) -> Embedding | None:
    """The same without its classifier, which takes time; None for ours, which has one. Finds all that can be wrong."""
    if name == DEFAULT:
        return None
    if name in _NETWORKS:
        embedding = _network(name).embedding()
        return replace(embedding, recipe={"extractor": name, **embedding.recipe})
    function = registered().get(name)
    if function is None and ":" in name:
        function = import_function(name)
    if function is None:
        raise UserError(
            f"extractor: {name!r} is not an extractor{nearest(name, names())}; another is named as module:function, "
            f"or given a name by genray.register_extractor in the same program"
        )
    return Function(name, function).embedding(data)


def stored_bytes(name: str, num_images: int) -> int:
    """Of the weights and of so many images' features, as far as that is known: what processes share."""
    if name not in _NETWORKS:
        return 0
    network = _network(name)
    return network.weights.num_bytes + 4 * network.num_features * num_images


def _network(name: str) -> Network:
    module, which = _NETWORKS[name]
    network: Network = getattr(importlib.import_module(f"genray.extractors.{module}"), which)
    return network
