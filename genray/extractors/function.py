"""A function of the user's own as an extractor: by `register_extractor`, or by `module:function` in YAML."""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genray.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from genray.data.spec import TrainingData
    from genray.extractors.embedding import Embedding

# n images, C channels, H height, W width, D feature dimensions

_NUM_PROBED = 16  # training images, on which a function shows what it gives

UserFunction = Callable[..., Any]  # images uint8 (n, C, H, W) → features (n, D), an array or a tensor

_registered: dict[str, UserFunction] = {}


def register_extractor(name: str, function: UserFunction) -> None:
    """Lets `extractor: name` mean a function, in this program. A name that is given again means the newer one.

    `function` takes images, uint8 (n, C, H, W), and returns their features, floats (n, D), as an array or a tensor.
    Raises UserError for a name that has another meaning.
    """
    from genray import extractors

    if not name or ":" in name or (name in extractors.names() and name not in _registered):
        raise UserError(
            f"an extractor's name must be new and without ':', got {name!r} "
            f"(there are {', '.join(extractors.names())}); give another"
        )
    if not callable(function):
        raise UserError(
            f"extractor {name} must be a function of images, got {type(function).__name__}; give a function"
        )
    _registered[name] = function


def registered() -> dict[str, UserFunction]:
    """By name."""
    return dict(_registered)


def import_function(name: str) -> UserFunction:
    """What `module:function` names, of an installed module or of a file in the working directory."""
    module_name, _, attribute = name.partition(":")
    if not all(part.isidentifier() for part in module_name.split(".")) or not attribute.isidentifier():
        raise UserError(f"extractor: {name!r} must be module:function, as in my_features:embed; mend it")
    if (here := os.getcwd()) not in sys.path:
        sys.path.append(here)  # at the end: a file here may have the name of a module that is needed
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever the user's module raises
        raise UserError(
            f"extractor: {module_name} cannot be imported ({_told(error)}); mend it, or run genray in the folder that "
            f"holds {module_name.partition('.')[0]}.py"
        ) from None
    function = getattr(module, attribute, None)
    if not callable(function):
        there = sorted(n for n, v in vars(module).items() if callable(v) and not n.startswith("_"))
        raise UserError(
            f"extractor: {module_name} holds no function {attribute!r} (it holds {', '.join(there[:10]) or 'none'}); "
            f"name one that it holds"
        )
    found: UserFunction = function
    return found


@dataclass(frozen=True)
class Function:
    """A user's function under its name."""

    name: str
    function: UserFunction

    def __call__(self, images: NDArray[np.uint8], device: object) -> Any:
        """Raises UserError with what the function raised. `device` is the function's own to choose."""
        try:
            return self.function(images)
        except Exception as error:  # whatever the user's function raises
            raise UserError(
                f"extractor {self.name} failed on images {images.dtype} {images.shape}: {_told(error)}; mend it"
            ) from error

    def embedding(self, data: TrainingData) -> Embedding:
        """With a hash of what it does: distances between the features of some training images. So other weights are
        another extractor, and three digits of each are the same on another machine.

        Raises UserError where features are not finite, or do not fit the images.
        """
        import numpy as np

        from genray.extractors.embedding import Embedding

        probed = Embedding(self.name, "", {}, self).array(data.train.some(_NUM_PROBED).images)
        if bad := int((~np.isfinite(probed)).any(1).sum()):
            raise UserError(
                f"extractor {self.name} must give finite features, got NaN or infinity in those of {bad} of "
                f"{len(probed)} training images; mend it"
            )
        wide = probed.astype(np.float64)
        distances = np.linalg.norm(wide[1:] - wide[:-1], axis=1)
        seen = [np.abs(wide).mean(), wide.std(), distances.mean(), distances.max(initial=0.0)]
        text = " ".join([str(probed.shape[1]), *(f"{value:.2e}" for value in seen)])
        recipe = {"extractor": self.name, "num_features": probed.shape[1]}
        return Embedding(self.name, hashlib.sha256(text.encode()).hexdigest()[:16], recipe, self)


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
