import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from engine.priors import Prior, load_prior, memory_file
from engine.priors.choices import choose_conditions
from engine.priors.shape import PriorShape
from engine.priors.transformer import Block, Conditions, to_codes, to_patches
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


def test_a_shape_is_read_from_a_file_s_words() -> None:
    assert PriorShape.of({**json.loads(json.dumps(asdict(SHAPE))), "kind": "prior"}) == SHAPE


def test_a_block_is_attention_and_a_perceptron_between_norms_that_follow_the_conditions() -> None:
    torch.manual_seed(3)
    block, x, modulation = Block(16, 2), torch.randn(3, 5, 16), torch.randn(3, 1, 96)
    block.shifts.data.normal_()
    shift1, scale1, gate1, shift2, scale2, gate2 = (modulation + block.shifts).split(16, -1)
    h = F.layer_norm(x, (16,)) * (1 + scale1) + shift1
    q, k, v = (one.view(3, 5, 2, 8).transpose(1, 2) for one in block.qkv(h).split(16, -1))
    mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(3, 5, 16)
    expected = x + (1 + gate1) * block.out(mixed)
    h = F.layer_norm(expected, (16,)) * (1 + scale2) + shift2
    expected = expected + (1 + gate2) * block.down(block.up(h).relu())
    torch.testing.assert_close(block(x, modulation), expected)


def test_predicted_latents_become_the_nearest_codes(prior: Prior) -> None:
    codes = torch.randint(SHAPE.codes, (2, 8, 8), generator=torch.Generator().manual_seed(1))
    book = prior.transformer.codebook / prior.transformer.codebook.std()
    latents = book[to_patches(codes)]
    assert torch.equal(prior.transformer.codes(latents), codes)
    apart = torch.cdist(book, book).fill_diagonal_(torch.inf).min()
    nudged = latents + 0.45 * apart * F.normalize(torch.randn_like(latents), dim=-1)
    assert torch.equal(prior.transformer.codes(nudged), codes)


def test_what_stands_where_depends_on_its_tint_and_its_memory(prior: Prior) -> None:
    def latents(**changes: Any) -> torch.Tensor:
        usual = {"things": [[0, 2]], "tints": [[2, 2]], "ground": [0], "layout": [1], "style": [1]}
        conditions = Conditions(**{name: torch.tensor(value) for name, value in {**usual, **changes}.items()})
        return prior.transformer(conditions).detach()[0]

    prior.transformer.small[0, 1], prior.transformer.small[2, 1] = 5, 6
    first, second = (torch.tensor(SHAPE.slots[1]) == thing for thing in (0, 1))
    assert latents().shape == (16, 4, SHAPE.code_width)
    for changes, most in (({"tints": [[0, 2]]}, first), ({"tints": [[2, 0]]}, second)):
        changed = (latents(**changes) - latents()).square().sum((1, 2))
        assert changed[most].mean() > 1.2 * changed[~most].mean()
    for changes in ({"ground": [1]}, {"layout": [0]}, {"things": [[1, 2]]}, {"style": [0]}):
        assert not torch.allclose(latents(**changes), latents(), atol=1e-3)


def test_of_a_text_only_its_words_are_read(prior: Prior) -> None:
    before, unknown = prior.read("a cat"), prior.read("a zyzzyva")
    assert [tuple(one.shape) for one in before] == [(1, 2, 4), (1, 2, 3), (1, 6), (1, 2), (1, 3)]
    with torch.no_grad():
        prior.reader.rows.weight[SHAPE.tokens + 1] += 5
    for one, other in zip(before, prior.read("a cat"), strict=True):
        torch.testing.assert_close(one, other)
    with torch.no_grad():
        prior.reader.rows.weight[SHAPE.tokens] += torch.linspace(-5, 5, SHAPE.reader_width)
    assert torch.equal(prior.read("a cat").things, before.things)
    assert not torch.allclose(prior.read("a zyzzyva").things, unknown.things, atol=1e-3)


def test_a_loaded_prior_proposes_and_learns_nothing(prior: Prior, tmp_path: Path) -> None:
    path = tmp_path / "embedded-prior.safetensors"
    assert memory_file(path) == tmp_path / "embedded-memory.safetensors"
    tensors = {name.replace("transformer.", "painter.", 1): t.contiguous() for name, t in prior.state_dict().items()}
    halves = {name: t.half() if t.is_floating_point() else t for name, t in tensors.items()}
    memory = {name: halves.pop(name) for name in ("painter.large", "painter.small", "painter.blank")}
    words = {name: value for name, value in asdict(SHAPE).items() if name != "spots"}
    save_file(halves, path, metadata={"config": json.dumps({"kind": "prior", **words})})
    save_file(memory, memory_file(path), metadata={"config": json.dumps({"spots": SHAPE.spots})})
    loaded = load_prior(path)
    assert loaded.shape == SHAPE
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    assert loaded.token_rows.dtype == torch.int32
    assert not propose(loaded, "a cat", 1).requires_grad
    assert not loaded.read("a cat").things.requires_grad
