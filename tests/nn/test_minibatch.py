import torch

from genray.nn.minibatch import MinibatchDiscrimination, pack

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

    def penalty(f) -> torch.Tensor:  # type: ignore[no-untyped-def]
        slopes = torch.func.grad(lambda x: f(x).square().sum())(features)
        return torch.autograd.grad(slopes.square().sum(), layer.tensor)[0]

    torch.testing.assert_close(penalty(layer), penalty(plainly))


def test_packs_hold_each_image_as_often_and_keep_to_their_order() -> None:
    images = torch.arange(5.0)[:, None, None, None].expand(5, 2, 3, 3)
    packs = pack(images, 3)
    assert packs.shape == (5, 6, 3, 3)
    assert packs[:, ::2, 0, 0].tolist() == [[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 0], [4, 0, 1]]
    assert torch.equal(pack(images, 1), images)
