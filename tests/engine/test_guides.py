"""A guide's loss and gradient are those that its parts say: weights, chunks, words for a region, directional edits."""

import pytest
import torch
from PIL import Image

from engine.devices import Device
from engine.edit import TOWARDS, DirectionalLoss, Edit, EmbeddingKept
from engine.guides import Guide
from engine.losses import PromptLoss
from engine.masks import place
from engine.models import ModelStore
from engine.presets import spec_from_preset
from engine.prompts import Prompt
from engine.spec import Cutouts

COUNT, HEIGHT, WIDTH = 7, 40, 56
APPLE, GREY = Prompt(content="a red apple"), Prompt(content="grey", weight=-0.5)


@pytest.fixture(scope="module")
def store(tiny_models, cpu):
    return ModelStore(tiny_models, cpu, embedded=tiny_models)


@pytest.fixture
def pictures():
    return torch.rand(2, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1)).requires_grad_()


def guide_of(store, prompts=(APPLE, GREY), weight=1.0, region=None, **changes):
    spec = spec_from_preset((APPLE,), "paper", width=WIDTH, height=HEIGHT, cutouts=Cutouts(count=COUNT), **changes)
    guide = Guide(store.perceptor("embedded"), weight, spec, store.device)
    guide.set_prompts(prompts, region)
    return guide


def rngs():
    return [torch.Generator().manual_seed(seed) for seed in (1, 2)]


def seen_of(guide, pictures):
    """What the perceptor makes of all cutouts at once, and where they are."""
    params = guide.cutter.draw(HEIGHT, WIDTH, rngs())
    cutouts = guide.cutter.cut(pictures, params)
    return guide.perceptor.encode_image(cutouts.flatten(0, 1)).unflatten(0, cutouts.shape[:2]), params.boxes


def embedded(guide, prompt):
    return guide.perceptor.encode_text([prompt.content])


def gradient(losses, pictures):
    return torch.autograd.grad(losses.sum(), pictures)[0]


@pytest.mark.parametrize("at_once", [2, 6, 14, 100])
def test_loss_and_gradient_are_those_of_all_cutouts_however_many_are_seen_at_once(store, pictures, at_once):
    guide = guide_of(store, weight=0.25)
    guide.at_once = at_once
    seen, _ = seen_of(guide, pictures)
    wanted = 0.25 * torch.stack([PromptLoss(embedded(guide, one), one.weight)(seen) for one in (APPLE, GREY)], 1)
    losses = guide.backward(pictures, rngs())
    torch.testing.assert_close(losses[:, :2], wanted)
    assert losses[:, 2].tolist() == [0, 0], "nothing of an edit"
    assert not losses.requires_grad
    assert pictures.grad is not None
    torch.testing.assert_close(pictures.grad, gradient(wanted, pictures), atol=1e-6, rtol=1e-3)
    torch.testing.assert_close(guide.judge(pictures, rngs()), wanted.sum(1).detach())


@pytest.mark.parametrize(("at_once", "chunks"), [(1, [2] * 7), (6, [6, 6, 2]), (8, [8, 6]), (14, [14]), (0, [14])])
def test_no_more_cutouts_are_seen_at_once_than_fit(store, pictures, monkeypatch, at_once, chunks):
    """Of all pictures together; of each at least one."""
    guide, seen = guide_of(store), []
    encode = guide.perceptor.encode_image
    monkeypatch.setattr(guide.perceptor, "encode_image", lambda cutouts: seen.append(len(cutouts)) or encode(cutouts))
    guide.at_once = at_once
    guide.judge(pictures, rngs())
    assert seen == chunks


def test_what_fits_is_measured_once_by_what_one_cutout_more_keeps(store, pictures, monkeypatch):
    asked = []
    monkeypatch.setattr(Device, "fits", lambda _, bytes_each: asked.append(bytes_each) or 4)
    guide = guide_of(store)
    guide.backward(pictures, rngs())
    guide.backward(pictures, rngs())
    assert guide.at_once == 4
    cutout = 4 * 3 * guide.perceptor.size**2
    (each,) = asked
    assert 2 * cutout < each < 500 * cutout
    alone = guide_of(store)
    alone.backward(pictures.detach()[:1].requires_grad_(), rngs()[:1])
    assert asked[1] == pytest.approx(each, rel=0.05), "one cutout, of however many pictures"


@pytest.mark.parametrize("where", ["inside", "outside"])
def test_words_for_a_part_count_where_it_is(store, pictures, where):
    region = place("left", HEIGHT, WIDTH)
    prompts = (APPLE, GREY.model_copy(update={"where": where}))
    guide = guide_of(store, prompts, region=region)
    seen, boxes = seen_of(guide, pictures)
    inside = torch.tensor(
        [[float(region[0, 0, y : y + h, x : x + w].mean()) for x, y, w, h in each.int().tolist()] for each in boxes]
    )
    shares = inside if where == "inside" else 1 - inside
    shares = shares / shares.mean(1, keepdim=True)
    for guide.at_once in (4, 14):
        of_all, of_part = guide.backward(pictures, rngs())[:, :2].unbind(1)
        torch.testing.assert_close(of_all, PromptLoss(embedded(guide, APPLE))(seen).detach())
        torch.testing.assert_close(of_part, PromptLoss(embedded(guide, GREY), -0.5)(seen, shares).detach())


def test_a_directional_edit_leaves_its_words_and_wants_the_new_ones_more(store, pictures, tmp_path):
    Image.new("RGB", (WIDTH, HEIGHT), "red").save(tmp_path / "red.png")
    guide = guide_of(store, weight=0.5, edit_from="grey", init_image=str(tmp_path / "red.png"))
    edit = Edit(torch.rand(1, 3, HEIGHT, WIDTH), place("left", HEIGHT, WIDTH))
    guide.set_edit(edit)
    seen, boxes = seen_of(guide, pictures)
    unchanged, _ = seen_of(guide, edit.original.expand(2, -1, -1, -1))
    words = 0.5 * PromptLoss(embedded(guide, APPLE), TOWARDS)(seen)
    direction = 0.5 * DirectionalLoss(embedded(guide, GREY), edit)(seen, unchanged, boxes)
    for guide.at_once in (4, 14):
        pictures.grad = None
        losses = guide.backward(pictures, rngs())
        torch.testing.assert_close(losses[:, 0], words.detach())
        torch.testing.assert_close(losses[:, -1], direction.detach())
    wanted = 0.5 * PromptLoss(embedded(guide, GREY), -0.5 * TOWARDS)(seen) + words + direction
    assert pictures.grad is not None
    torch.testing.assert_close(pictures.grad, gradient(wanted, pictures), atol=1e-6, rtol=1e-3)


@pytest.mark.parametrize(
    ("size", "seen_in"),
    [((WIDTH, HEIGHT), (WIDTH, HEIGHT)), ((28, 20), (28, 20)), ((112, 80), (56, 40)), ((320, 20), (189, 12))],
)
def test_a_picture_prompt_keeps_its_shape_and_is_no_larger_than_the_painting(
    store, tmp_path, monkeypatch, size, seen_in
):
    Image.effect_noise(size, 80).convert("RGB").save(tmp_path / "wanted.png")
    guide, seen = guide_of(store), []
    cut = guide.cutter.cut
    monkeypatch.setattr(
        guide.cutter, "cut", lambda pictures, *rest: seen.append(tuple(pictures.shape)) or cut(pictures, *rest)
    )
    guide.set_prompts((Prompt(kind="image", content=str(tmp_path / "wanted.png")),))
    assert set(seen) == {(1, 3, *reversed(seen_in))}


def test_a_picture_prompt_is_the_same_whatever_is_painted(store, tmp_path):
    Image.effect_noise((WIDTH, HEIGHT), 80).convert("RGB").save(tmp_path / "wanted.png")
    wanted = (Prompt(kind="image", content=str(tmp_path / "wanted.png")),)
    one, other, tiled = (guide_of(store, wanted, **changes) for changes in ({"seed": 1}, {"seed": 2}, {"tile": True}))
    embeddings = one._prompts[0][0].embeddings
    assert embeddings.shape == (COUNT, one.perceptor.dims)
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(COUNT))
    assert torch.equal(embeddings, other._prompts[0][0].embeddings)
    assert torch.equal(embeddings, tiled._prompts[0][0].embeddings), "it is not moved round its edges"


def test_what_a_prompt_says_of_itself_is_kept(store):
    guide = guide_of(store, (APPLE.model_copy(update={"weight": 2.5, "stop": 0.4}), GREY))
    assert [(loss.weight, loss.stop) for loss, _ in guide._prompts] == [(2.5, 0.4), (-0.5, None)]


@pytest.mark.parametrize("masked", [True, False])
def test_what_is_seen_of_the_original_is_held_as_much_as_is_asked(store, pictures, tmp_path, masked):
    Image.new("RGB", (WIDTH, HEIGHT), "red").save(tmp_path / "red.png")
    guide = guide_of(store, weight=0.5, init_embedding=2.0, init_image=str(tmp_path / "red.png"))
    mask = place("left", HEIGHT, WIDTH) if masked else None
    edit = Edit(torch.rand(1, 3, HEIGHT, WIDTH), mask)
    guide.set_edit(edit)
    seen, boxes = seen_of(guide, pictures)
    unchanged, _ = seen_of(guide, edit.original.expand(2, -1, -1, -1))
    held = EmbeddingKept(torch.zeros(1, 1, HEIGHT, WIDTH) if mask is None else mask, 2.0)
    for guide.at_once in (4, 14):
        losses = guide.backward(pictures, rngs())
        torch.testing.assert_close(losses[:, -1], 0.5 * held(seen, unchanged, boxes).detach())
        torch.testing.assert_close(losses[:, 0], 0.5 * PromptLoss(embedded(guide, APPLE))(seen).detach())


def test_noise_is_a_direction_by_its_number_alone(store):
    one, other, same = (
        guide_of(store, (Prompt(kind="noise", content=content),), seed=seed)._prompts[0][0].embeddings
        for content, seed in (("3", 1), ("4", 1), ("3", 2))
    )
    assert one.shape == (1, store.perceptor("embedded").dims)
    assert float(one.norm()) == pytest.approx(1)
    assert torch.equal(one, same)
    assert abs(float((one * other).sum())) < 0.9


def test_what_a_perceptor_cannot_read_is_said(store):
    assert guide_of(store).notices == []
    (notice,) = guide_of(store, (Prompt(content="a red apple on a grey lighthouse " * 4),)).notices
    assert notice.startswith("The prompt is longer than the model reads; it did not see: “")
    assert "lighthouse" in notice
