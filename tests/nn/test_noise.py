import torch
from scipy import stats

from genray.nn.noise import Noise, dropout


def test_equal_keys_give_equal_draws_and_others_do_not() -> None:
    assert torch.equal(Noise(0, 5, "elbo").normal(4, 3), Noise(0, 5, "elbo").normal(4, 3))
    draws = [Noise(*key).normal(4, 3) for key in [(0, 5, "elbo"), (1, 5, "elbo"), (0, 6, "elbo"), (0, 5, "prior")]]
    for i, a in enumerate(draws):
        for b in draws[:i]:
            assert not torch.isclose(a, b).any()


def test_ranks_slice_one_global_draw() -> None:
    whole = Noise("k")
    parts = [Noise("k", rank=rank, world_size=4) for rank in range(4)]
    for _ in range(3):  # later draws too: ranks must stay in step
        assert torch.equal(whole.normal(8, 5), torch.cat([part.normal(2, 5) for part in parts]))
        assert torch.equal(whole.uniform(8), torch.cat([part.uniform(2) for part in parts]))


def test_draws_follow_their_distributions() -> None:
    noise = Noise("distribution")
    assert stats.kstest(noise.normal(20_000).numpy(), "norm").pvalue > 0.01
    assert stats.kstest(noise.uniform(20_000).numpy(), "uniform").pvalue > 0.01


def test_the_global_random_state_is_left_alone() -> None:
    before = torch.get_rng_state()
    Noise("k").dropout(torch.ones(8, 8), 0.5)
    assert torch.equal(torch.get_rng_state(), before)


def test_dropout_keeps_the_mean_and_its_rate() -> None:
    x = torch.ones(400, 100)
    dropped = dropout(x, 0.3, Noise("k"))
    assert abs((dropped == 0).float().mean().item() - 0.3) < 0.01  # 40,000 draws: standard error 0.0023
    assert torch.allclose(dropped[dropped > 0], torch.tensor(1 / 0.7))
    assert dropout(x, 0.3, None) is x
