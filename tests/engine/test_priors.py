import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from engine.priors import Prior, load_prior, memory_file
from engine.priors.choices import choose_conditions
from engine.priors.shape import PriorShape
from engine.priors.transformer import Conditions, to_codes, to_patches
from engine.third_party import tokenizer

WORDS = "a red apple two dogs cat on blue"
SHAPE = PriorShape(
    concepts=3,
    tints=2,
    grounds=5,  # two colours, the two graded, and a scene
    styles=2,
    slots=((0,) * 16, (0, 0, 1, 1) * 4),
    layout_choices=((0,), (1,)),
    spots=(((0, 0, 0, 0),), ((0, 2, 2, 0), (1, 2, 2, 4))),
    ground_kinds=((0.2,) * 5, (0.0, 0.0, 0.0, 0.0, 1.0)),
    ground_of=(0, 0, 1),
    style_choices=((1,), (0, 1), (0, 1)),
    ways=("", "sketch", ""),
    side=8,
    codes=10,
    width=16,
    depth=1,
    heads=2,
    code_width=4,
    tokens=len(set(tokenizer().encode(WORDS))),
    context=8,
    reader_width=8,
    reader_depth=1,
)


@pytest.fixture
def prior() -> Prior:
    torch.manual_seed(0)
    prior = Prior(SHAPE).eval()
    prior.transformer.codebook.normal_()
    with torch.no_grad():  # an untrained reader names a ground; this one leaves it open
        prior.reader.ground.bias[SHAPE.grounds] = 50
    prior.token_rows.copy_(torch.tensor(sorted(set(tokenizer().encode(WORDS)))))
    return prior


def propose(prior: Prior, text: str, seed: int, count: int = 3) -> torch.Tensor:
    return prior.propose(text, count, torch.Generator().manual_seed(seed)).codes


def understand(prior: Prior, text: str, count: int, seed: int = 0) -> Conditions:
    return choose_conditions(prior.read(text), prior.shape, count, torch.Generator().manual_seed(seed))


def test_proposals_are_codes_on_the_grid(prior: Prior) -> None:
    codes = propose(prior, "a red apple", 1)
    assert codes.shape == (3, 8, 8)
    assert codes.dtype == torch.long
    assert 0 <= int(codes.min()) <= int(codes.max()) < SHAPE.codes


def test_the_generator_decides(prior: Prior) -> None:
    assert torch.equal(propose(prior, "a cat", 1), propose(prior, "a cat", 1))
    grounds = [set(understand(prior, "a cat", 8, seed).ground.tolist()) for seed in range(40)]
    assert max(map(len, grounds)) == 1  # of several, a perceptor would always choose the one that it likes best
    assert len(set.union(*grounds)) > 1


def test_the_ground_suits_the_thing(prior: Prior) -> None:
    with torch.no_grad():
        prior.reader.things.bias[2] = 50  # whose kind of surroundings is the second
    assert {int(understand(prior, "a cat", 1, seed).ground) for seed in range(20)} == {4}


@pytest.mark.parametrize("text", ["", "   ", "zyzzyva qwertz", "a red apple " * 40, "🦊", "猫"])
def test_any_text_is_read(prior: Prior, text: str) -> None:
    assert len(prior.tokenise(text)) == SHAPE.context
    assert propose(prior, text, 0).shape == (3, 8, 8)


def test_patches_are_the_codes_two_by_two() -> None:
    codes = torch.arange(2 * 64).view(2, 8, 8)
    patches = to_patches(codes)
    assert patches[0, 1].tolist() == [2, 3, 10, 11]
    assert torch.equal(to_codes(patches), codes)


def test_a_second_thing_has_a_place(prior: Prior) -> None:
    with torch.no_grad():
        for bias in (prior.reader.things.bias, prior.reader.arrangement.bias):
            bias.zero_()
        prior.reader.things.weight.zero_()
        prior.reader.things.bias[1] = 5  # both questions answered with a thing, and yet one place only
        prior.reader.arrangement.bias[0] = 50
    assert understand(prior, "two dogs", 4).layout.tolist() == [1] * 4


def test_memory_shows_each_thing_in_its_place(prior: Prior) -> None:
    prior.transformer.large[2, 1, 0] = 7
    prior.transformer.small[0, 1], prior.transformer.small[2, 1] = 5, 6
    one = torch.tensor
    shown = Conditions(one([[2, 3], [0, 2]]), one([[2, 2], [2, 2]]), one([0, 0]), one([0, 1]), one([1, 1]))
    alone, pair = prior.transformer.recall(shown)
    assert (alone == 7).all()
    assert (pair[:, 2:6, :4] == 5).all()
    assert (pair[:, 2:6, 4:] == 6).all()
    assert (pair[:, :2] == 0).all()


def test_a_file_gives_the_same_prior(prior: Prior, tmp_path: Path) -> None:
    path = tmp_path / "prior.safetensors"
    state = {name.replace("transformer.", "painter.", 1): tensor for name, tensor in prior.state_dict().items()}
    tensors = {name: tensor.contiguous() for name, tensor in state.items()}
    memory = {name: tensors.pop(name) for name in ("painter.large", "painter.small", "painter.blank")}
    save_file(tensors, path, metadata={"config": json.dumps({"kind": "prior", **asdict(SHAPE)})})
    save_file(memory, memory_file(path), metadata={"config": "{}"})
    assert torch.equal(propose(load_prior(path), "a red apple", 5), propose(prior, "a red apple", 5))


def test_a_thing_does_not_stand_on_a_ground_of_its_own_colour(prior: Prior) -> None:
    with torch.no_grad():  # everything is read as having the second tint
        prior.reader.tints.bias[1] = 50
    grounds = {int(ground) for seed in range(60) for ground in understand(prior, "a red apple", 4, seed).ground}
    assert grounds == {0, 2, 4}


def test_a_style_picks_the_artist_or_the_way_of_drawing(prior: Prior) -> None:
    def said(style: int) -> tuple[set[int], str]:
        with torch.no_grad():
            prior.reader.style.bias.zero_()[style] = 50
        artists = understand(prior, "a cat", 40).style
        return set(artists.tolist()), prior.propose("a cat", 1, torch.Generator().manual_seed(0)).way

    assert said(0) == ({1}, "")
    assert said(1) == ({0, 1}, "sketch")


def test_each_known_token_has_its_row_and_all_others_share_one(prior: Prior) -> None:
    encode, rows = tokenizer().encode, prior.token_rows.tolist()
    known = [rows.index(token) for token in encode("a red apple")]
    nothing = SHAPE.tokens + 1
    for _ in range(2):
        assert prior.tokenise("a red apple") == known + [nothing] * (SHAPE.context - 3)
    assert prior.tokenise("apple") == [known[0], known[2]] + [nothing] * (SHAPE.context - 2), "read as “an apple”"
    assert set(prior.tokenise("a zyzzyva")[1:]) == {SHAPE.tokens, nothing}
    assert len(prior.tokenise("red apple " * 100)) == SHAPE.context
