"""Pictures of a model's latent space: the way between two codes, the whole plane of two dimensions, where codes lie."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from genray.data.spec import Split
from genray.images import grid, to_uint8
from genray.models.base import HasDecoder, HasEncoder
from genray.samplers import HasCodes, encode

# N images, C channels, H height, W width, Z latent dimensions

NUM_STEPS = 8  # decoded images from one code to another
SIDE = 16  # images along a side of the plane
MAX_CODES = 2_000  # dots
FRAME, MARGIN = 400, 60  # pixels
COLORS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf")

Picture = NDArray[np.uint8]  # (H, W, C)


def interpolation(model: HasCodes, real: Tensor) -> Picture:
    """Rows of one of the `real` images (N, C, H, W), decoded codes on the straight line to the next, and that."""
    whole = len(real) // 2 * 2
    first, last = real[0:whole:2], real[1:whole:2]
    start, end = model.encode(first), model.encode(last)
    t = torch.linspace(0, 1, NUM_STEPS, device=real.device)[None, :, None]
    codes = start[:, None] * (1 - t) + end[:, None] * t  # (N, steps, Z)
    decoded = model.decode(codes.flatten(0, 1)).view(len(first), NUM_STEPS, *real.shape[1:])
    rows = torch.cat([first[:, None], decoded, last[:, None]], dim=1)
    return grid(to_uint8(rows.flatten(0, 1)), columns=NUM_STEPS + 2)


def manifold(model: HasDecoder, corners: tuple[Tensor, Tensor] | None, device: torch.device | str) -> Picture:
    """Images decoded on a grid over two latent dimensions, the first to the right, the second upwards.

    The grid has equal steps of probability under N(0, I), as in Kingma & Welling 2014, fig. 4, or with `corners`
    (lowest and highest values (2,)) equal steps between them.
    """
    places = (torch.arange(SIDE, device=device) + 0.5) / SIDE
    if corners is None:
        right = up = torch.special.ndtri(places)
    else:
        right, up = (low + (high - low) * places for low, high in zip(*corners, strict=True))
    codes = torch.cartesian_prod(up.flip(0), right).flip(1)
    return grid(to_uint8(model.decode(codes)), columns=SIDE)


def codes(model: HasEncoder, split: Split, device: torch.device | str) -> Picture:
    """Where the codes of a split's images lie, a colour a label; above two dimensions, their first two components."""
    shown = split.some(MAX_CODES)
    found = encode(model, shown, device)
    if found.shape[1] <= 2:
        names = [f"dimension {i + 1}" for i in range(2)]
        places = np.pad(found, ((0, 0), (0, 2 - found.shape[1])))
    else:
        places, shares = principal_components(found)
        names = [f"principal component {i + 1} ({share:.0%} of the variance)" for i, share in enumerate(shares)]
    return _scatter(places, shown.labels, names)


def principal_components(codes: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Codes (N, Z) along the two directions in which they vary most (N, 2), and the shares of the variance (2,).

    Of each direction and its opposite, the one with the largest entry above 0: one picture does not mirror the last.
    """
    centred = codes - codes.mean(0)
    _, spreads, directions = np.linalg.svd(centred, full_matrices=False)
    largest = np.take_along_axis(directions, np.abs(directions).argmax(1)[:, None], axis=1)
    variances = spreads**2
    return centred @ (directions * np.sign(largest))[:2].T, variances[:2] / max(variances.sum(), 1e-30)


def _scatter(places: NDArray[np.float64], labels: NDArray[np.int64] | None, names: list[str]) -> Picture:
    """Dots in a frame whose ends are told, with equal units on both axes. Matplotlib would take half a second."""
    middle, half = (places.max(0) + places.min(0)) / 2, max(float(np.ptp(places, axis=0).max()) / 2, 1e-6) * 1.05
    canvas = Image.new("RGB", (FRAME + 2 * MARGIN, FRAME + 2 * MARGIN), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=14)
    draw.rectangle((MARGIN, MARGIN, MARGIN + FRAME, MARGIN + FRAME), outline="grey")
    right, up = ((places - middle) / (2 * half) + 0.5).T * FRAME
    classes = [] if labels is None else sorted(set(labels.tolist()))
    for i, (x, y) in enumerate(zip(MARGIN + right, MARGIN + FRAME - up, strict=True)):
        color = COLORS[0 if labels is None else classes.index(labels[i]) % len(COLORS)]
        draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=color)
    for k, label in enumerate(classes if len(classes) <= len(COLORS) else []):
        x, y = MARGIN + FRAME + 12, MARGIN + 8 + 22 * k
        draw.ellipse((x, y, x + 10, y + 10), fill=COLORS[k])
        draw.text((x + 15, y + 5), str(label), fill="black", font=font, anchor="lm")
    ends = [[f"{m - half:.3g}", f"{m + half:.3g}"] for m in middle]
    for text, x, anchor in ((ends[0][0], 0, "lt"), (names[0], FRAME / 2, "mt"), (ends[0][1], FRAME, "rt")):
        draw.text((MARGIN + x, MARGIN + FRAME + 8), text, fill="black", font=font, anchor=anchor)
    for text, y, anchor in ((ends[1][0], FRAME, "rb"), (ends[1][1], 0, "rt")):
        draw.text((MARGIN - 8, MARGIN + y), text, fill="black", font=font, anchor=anchor)
    draw.text((MARGIN, MARGIN - 8), names[1], fill="black", font=font, anchor="lb")
    return np.asarray(canvas)
