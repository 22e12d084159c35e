"""Figures of studies: matplotlib without its global state, in the page's colours and type sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from genray.report.plots import DASHES, PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.edgecolor": "#8a8f98",
    "grid.color": "#e3e6ea",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}
PANEL_INCHES = (3.4, 2.8)  # of one panel, where nothing else is asked for

LINES = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-."}


def style() -> AbstractContextManager[None]:
    """In which figures are made and drawn."""
    return mpl.rc_context(STYLE)


def panels(
    rows: int = 1, columns: int = 1, *, size: tuple[float, float] = PANEL_INCHES, share_y: bool = False
) -> tuple[Figure, list[Axes]]:
    """A figure of rows x columns panels of `size` inches each; the panels row by row."""
    figure = Figure(figsize=(columns * size[0], rows * size[1]), layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False, sharey=share_y).flat)


def films(strips: Mapping[str, tuple[NDArray[np.uint8], str]]) -> Figure:
    """A strip of images for each name, below what is said of it, in the name's colour."""
    figure, axes = panels(len(strips), 1, size=(6.4, 0.95))
    for panel, (name, look) in zip(axes, looks(list(strips)).items(), strict=True):
        images, said = strips[name]
        film(panel, images, f"{name}: {said}", look["color"])
    return figure


def film(panel: Axes, images: NDArray[np.uint8], title: str, color: str = "black") -> None:
    """Images side by side, without axes: grey (N, H, W) or coloured (N, H, W, 3)."""
    panel.imshow(np.concatenate(list(images), axis=1), cmap="gray", vmin=0, vmax=255)
    panel.set_title(title, loc="left", color=color)
    panel.set(xticks=[], yticks=[])
    panel.grid(visible=False)


def legend(figure: Figure, panel: Axes, columns: int = 4) -> None:
    """Below all panels, of what is labelled in one of them."""
    handles, labels = panel.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns)


def looks(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """A colour and a dash for each name, in their order: keywords of matplotlib's `plot`."""
    return {
        name: {"color": PALETTE[i % len(PALETTE)], "linestyle": LINES[DASHES[i // len(PALETTE) % len(DASHES)]]}
        for i, name in enumerate(names)
    }
