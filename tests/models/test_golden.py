import json

import pytest

from genray import models
from tests.models import golden
from tests.models.steps import networks


@pytest.mark.parametrize(("name", "network"), [(name, kind) for name in models.names() for kind in networks(name)])
def test_losses_are_those_of_the_golden_run(name: str, network: str) -> None:
    path = golden.path(name)
    assert path.exists(), "a new model needs its golden losses: python -m tests.models.golden"
    expected = json.loads(path.read_text())[network]
    actual = golden.losses(name, network)
    assert actual.keys() == expected.keys()
    for phase, values in expected.items():
        assert actual[phase] == pytest.approx(values, rel=1e-4)
