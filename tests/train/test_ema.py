import torch

from genray.models.base import build
from genray.train.ema import Ema
from genray.train.flat import flatten_children
from tests.train.common import vae_config


def test_the_average_follows_its_recursion(tiny_spec: object) -> None:
    model = build(vae_config(), tiny_spec, seed=0)
    ema = Ema(model, flatten_children(model), decay=0.9)
    expected = [p.detach().clone() for p in model.parameters()]
    for step in range(1, 200):
        with torch.no_grad():
            for p in model.parameters():
                p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(step)))
        ema.update(step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = [decay * e + (1 - decay) * p.detach() for e, p in zip(expected, model.parameters(), strict=True)]
    for average, e in zip(ema.evaluated().parameters(), expected, strict=True):
        torch.testing.assert_close(average, e, rtol=1e-4, atol=1e-5)


def test_without_decay_it_is_the_model(tiny_spec: object) -> None:
    model = build(vae_config(), tiny_spec, seed=0)
    ema = Ema(model, flatten_children(model), decay=0.0)
    ema.update(1)
    assert ema.evaluated() is model
