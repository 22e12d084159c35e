"""One file a metric. `load("frechet")` imports `genray.metrics.frechet`; there is no registry to add a name to."""

import pkgutil

_NOT_METRICS = {"base", "features", "evaluate", "floor"}


def names() -> list[str]:
    """The metrics that are there: this folder's files, but for what they share."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name not in _NOT_METRICS)
