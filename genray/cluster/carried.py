"""What other processes cannot import: a user's function, which goes to them with its module."""

from __future__ import annotations

import functools
import sys

from ray import cloudpickle

from genray.extractors.base import Extractor
from genray.extractors.function import Function


def carry(extractor: Extractor) -> None:
    """Lets a user's function be pickled by value. By name, a machine would need the file that lies here.

    Installed modules are left to be imported there, as everything else is.
    """
    embed = getattr(extractor, "embed", None)
    if not isinstance(embed, Function):
        return
    function = embed.function
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__module__", None) or ""
    module = sys.modules.get(name)
    installed = "site-packages" in (getattr(module, "__file__", None) or "")
    known = name.partition(".")[0] in {*sys.stdlib_module_names, "genray", "__main__"}  # the last goes by value anyway
    if module is not None and not installed and not known:
        cloudpickle.register_pickle_by_value(module)
