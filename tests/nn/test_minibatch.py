import torch

from genray.nn.minibatch import MinibatchDiscrimination, pack, repelling, with_minibatch_stddev

# B images of a batch, D features, K kernels


def test_minibatch_discrimination_by_brute_force() -> None:
    torch.manual_seed(0)
    layer = MinibatchDiscrimination(6, num_kernels=3, kernel_size=2)
    features = torch.randn(5, 6)
    matrices = torch.einsum("bd,dkp->bkp", features, layer.tensor)
    expected = torch.zeros(5, 3)
    for i in range(5):
        for j in range(5):
            for k in range(3):
                expected[i, k] += torch.exp(-(matrices[i, k] - matrices[j, k]).abs().sum()) / 5
    output = layer(features)
    assert torch.equal(output[:, :6], features)
    torch.testing.assert_close(output[:, 6:], expected)


def test_images_that_are_all_the_same_are_as_close_as_can_be() -> None:
    layer = MinibatchDiscrimination(6, num_kernels=4)
    assert torch.equal(layer(torch.randn(1, 6).expand(8, 6))[:, 6:], torch.ones(8, 4))
    assert layer(10 * torch.randn(8, 6))[:, 6:].mean() < 0.5


def test_minibatch_discrimination_can_be_differentiated_twice() -> None:
    """As a penalty on the discriminator's slope needs it; against the formula written with plain operations."""
    torch.manual_seed(0)
    layer, features = MinibatchDiscrimination(4, 3).double(), torch.randn(5, 4).double()

    def plainly(x: torch.Tensor) -> torch.Tensor:
        m = torch.tensordot(x, layer.tensor, dims=1)
        return torch.cat([x, (-(m[:, None] - m[None]).abs().sum(3)).exp().mean(1)], dim=1)

    def penalty(f) -> torch.Tensor:
        slopes = torch.func.grad(lambda x: f(x).square().sum())(features)
        return torch.autograd.grad(slopes.square().sum(), layer.tensor)[0]

    torch.testing.assert_close(penalty(layer), penalty(plainly))


def test_packs_hold_each_image_as_often_and_keep_to_their_order() -> None:
    images = torch.arange(5.0)[:, None, None, None].expand(5, 2, 3, 3)
    packs = pack(images, 3)
    assert packs.shape == (5, 6, 3, 3)
    assert packs[:, ::2, 0, 0].tolist() == [[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 0], [4, 0, 1]]
    assert torch.equal(pack(images, 1), images)


def test_minibatch_stddev_by_brute_force() -> None:
    features = torch.randn(5, 3, 2, 4)
    spreads = [
        features[:, c, i, j].sub(features[:, c, i, j].mean()).square().mean().sqrt()
        for c in range(3)
        for i in range(2)
        for j in range(4)
    ]
    output = with_minibatch_stddev(features)
    assert torch.equal(output[:, :3], features)
    torch.testing.assert_close(output[:, 3:], (sum(spreads) / 24).expand(5, 1, 2, 4))


def test_a_batch_of_one_image_has_no_spread_and_still_a_slope() -> None:
    features = torch.randn(1, 3, 2, 2).expand(4, 3, 2, 2).clone().requires_grad_()
    spread = with_minibatch_stddev(features)[:, 3:]
    assert spread.max() < 1e-3
    assert torch.autograd.grad(spread.sum(), features)[0].isfinite().all()


def test_repelling_by_brute_force_and_at_its_ends() -> None:
    features = torch.randn(5, 3)
    total = 0.0
    for i in range(5):
        for j in range(5):
            if i != j:
                total += torch.cosine_similarity(features[i], features[j], dim=0).item() ** 2
    assert abs(repelling(features).item() - total / 20) < 1e-6
    assert repelling(torch.eye(4)).abs() < 1e-6
    torch.testing.assert_close(repelling(torch.randn(1, 3).expand(6, 3)), torch.tensor(1.0))
