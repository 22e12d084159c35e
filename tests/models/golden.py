"""Losses of the first steps of every model, step by step: a refactor must not move them.

python -m tests.models.golden            writes tests/models/golden/<model>.json for the models that have none
python -m tests.models.golden vae gan    writes these again; say in CHANGELOG.md why they moved
"""

import json
import sys
from pathlib import Path

from genray import models
from tests.models.steps import Steps, digit_batch, make, networks

FOLDER = Path(__file__).parent / "golden"
NUM_STEPS, BATCH_SIZE = 5, 16

Losses = dict[str, list[float]]  # phase → the loss of each step


def path(name: str) -> Path:
    return FOLDER / f"{name}.json"


def losses(name: str, network: str) -> Losses:
    """With the model's own defaults, on real digits."""
    steps = Steps(make(name, network=network))
    rows = [steps.all(digit_batch(BATCH_SIZE, step=step), step) for step in range(NUM_STEPS)]
    return {phase: [row[phase] for row in rows] for phase in rows[0]}


def main() -> None:
    chosen = sys.argv[1:] or [name for name in models.names() if not path(name).exists()]
    FOLDER.mkdir(exist_ok=True)
    for name in chosen:
        path(name).write_text(
            json.dumps({network: losses(name, network) for network in networks(name)}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
