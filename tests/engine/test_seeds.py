"""Random numbers: the same for the same use of the same seed, on every machine and in every version."""

import itertools

import pytest
import torch

from engine.seeds import derive_seed, generators

PURPOSES = ("steps", "start", "score", "mask", "prompts")


@pytest.mark.parametrize(
    ("use", "derived"),
    [
        ((0, "steps"), 15793235383387715774),
        ((0, "start"), 5836529245451711556),
        ((1, "prompts", 7), 6900276832563272568),
    ],
)
def test_a_seed_means_the_same_picture_in_every_version(use, derived):
    assert derive_seed(*use) == derived


def test_no_two_uses_share_their_numbers():
    uses = list(itertools.product((0, 1, 2**29, 2**32 - 1), PURPOSES, (0, 1, 2)))
    derived = [derive_seed(*use) for use in uses]
    assert len({seed % 2**32 for seed in derived}) == len(uses), "a CPU's generator reads the lower half"
    assert max(derived) > 2**63


@pytest.mark.parametrize("purpose", PURPOSES)
def test_each_seed_has_its_generator(purpose):
    drawn = [torch.rand(3, generator=one).tolist() for one in generators((5, 6, 5), purpose, torch.device("cpu"))]
    assert drawn[0] == drawn[2] != drawn[1]
    one = torch.Generator().manual_seed(derive_seed(6, purpose))
    assert drawn[1] == torch.rand(3, generator=one).tolist()
