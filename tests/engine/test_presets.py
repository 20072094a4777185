import pytest

from engine.losses import penalty_weight
from engine.presets import EMBEDDED, OURS, PRESETS, PUBLISHED, edit_area, spec_from_preset
from engine.prompts import Prompt
from engine.spec import Augmentations, BadSpecError, PaintingSpec

PROMPTS = (Prompt(content="a lighthouse"),)
GENERATORS = ("embedded", "imagenet-16384", "openimages-8192")


def full(preset: str) -> PaintingSpec:
    return spec_from_preset(PROMPTS, preset, "imagenet-16384")


@pytest.mark.parametrize("generator", GENERATORS)
@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_builds_for_every_family_of_generators(preset: str, generator: str) -> None:
    spec = spec_from_preset(PROMPTS, preset, generator)
    assert (spec.preset, spec.generator, spec.prompts) == (preset, generator, PROMPTS)
    assert PaintingSpec.from_json(spec.to_json()) == spec


def test_paper_has_the_papers_numbers() -> None:
    """Crowson, Biderman et al. 2022, section 2: Adam, rate 0.15, 400 steps; weight of mean(z^2) falls by 0.005."""
    spec = full("paper")
    assert (spec.learning_rate, spec.steps, spec.learning_rate_schedule) == (0.15, 400, "constant")
    (penalty,) = spec.penalties
    assert (penalty.target, penalty.schedule, penalty.rate) == ("zero", "linear", 0.005)
    kinds = spec.augmentations
    assert min(kinds.flip, kinds.affine, kinds.perspective, kinds.jitter, kinds.noise) > 0
    assert (spec.cutouts.method, spec.clamp_latent, spec.ema_decay, spec.coarse) == ("crops", True, 0, 0)


def test_notebook_has_crowsons_numbers() -> None:
    """z+quantize notebook, EleutherAI/notebooks: 480x480, rate 0.05, cutn 64, cut_pow 1, no augmentations."""
    spec = full("notebook")
    assert (spec.width, spec.height, spec.learning_rate) == (480, 480, 0.05)
    assert (spec.cutouts.method, spec.cutouts.count, spec.cutouts.power) == ("crops", 64, 1)
    kinds = spec.augmentations
    assert (kinds.flip, kinds.affine, kinds.perspective, kinds.jitter, kinds.noise) == (0, 0, 0, 0, 0)
    assert spec.penalties == ()
    assert spec.clamp_latent


def test_nerdyrodent_has_generate_pys_numbers() -> None:
    """nerdyrodent/VQGAN-CLIP generate.py: rate 0.1, cutn 32, 500 iterations, `latest` with Af Pe Ji Er."""
    spec = full("nerdyrodent")
    assert (spec.learning_rate, spec.steps) == (0.1, 500)
    assert (spec.cutouts.method, spec.cutouts.count) == ("pooled", 32)
    assert spec.augmentations == Augmentations(
        flip=0,
        affine=0.7,
        degrees=15,
        translate=0.1,
        shear=5,
        padding="zeros",
        perspective=0.7,
        distortion=0.7,
        jitter=0.7,
        brightness=0.1,
        contrast=0.1,
        saturation=0.1,
        hue=0.1,
        erasing=0.7,
        noise=0.1,
    )
    assert spec.penalties == ()


def test_mse_has_the_regularised_notebooks_numbers() -> None:
    """EleutherAI/notebooks, jbustter: 640x512, cutn 64, rate 0.95, weight 1.5 in 5 stairs of 0.3, no clamp."""
    spec = full("mse")
    assert (spec.width, spec.height, spec.learning_rate, spec.cutouts.count) == (640, 512, 0.95, 64)
    (penalty,) = spec.penalties
    assert (penalty.target, penalty.schedule) == ("zero", "staircase")
    # The notebook's loss is mse(z, 0) * w / 2, with w = 1.5 losing 0.3 every 50 steps.
    w = [round(2 * penalty_weight(penalty, step, 500), 6) for step in (0, 49, 50, 100, 150, 200, 250, 400)]
    assert w == [1.5, 1.5, 1.2, 0.9, 0.6, 0.3, 0, 0]
    kinds = spec.augmentations
    assert (kinds.flip, kinds.affine, kinds.degrees, kinds.translate, kinds.padding) == (0.5, 0.8, 30, 0.1, "border")
    assert (kinds.perspective, kinds.distortion) == (0.4, 0.2)
    assert (kinds.jitter, kinds.hue, kinds.saturation, kinds.noise) == (0.7, 0.01, 0.01, 0.1)
    assert not spec.clamp_latent


def test_ours_take_longer_the_finer_they_are() -> None:
    assert list(OURS) == ["draft", "normal", "fine"]
    assert not set(OURS) & set(PUBLISHED)
    for generator in GENERATORS:
        steps = [spec_from_preset(PROMPTS, preset, generator).steps for preset in OURS]
        assert steps == sorted(set(steps))


def test_the_embedded_generator_paints_small() -> None:
    for preset in PRESETS:
        spec = spec_from_preset(PROMPTS, preset, "embedded")
        assert max(spec.width, spec.height) <= full(preset).width


def test_changes_win_over_the_preset() -> None:
    spec = spec_from_preset(PROMPTS, "paper", "coco", steps=7, width=64, perceptors=("RN50",))
    assert (spec.steps, spec.width, spec.learning_rate) == (7, 64, 0.15)


def test_unknown_presets_and_settings_are_refused() -> None:
    with pytest.raises(BadSpecError, match=r"no preset 'best'; there are paper, .*fine\."):
        spec_from_preset(PROMPTS, "best")
    with pytest.raises(BadSpecError, match="no setting called 'glitter'"):
        spec_from_preset(PROMPTS, "paper", glitter=1)


def test_an_edit_on_the_embedded_pair_may_leave_its_picture() -> None:
    painted, edited = (spec_from_preset(PROMPTS, "normal", init_image=image) for image in (None, "photo.png"))
    assert [penalty.target for penalty in painted.penalties] == ["start"]
    assert edited.penalties == ()
    assert (edited.edit_start, edited.strength, edited.keep_detail) == ("proposal", 0.7, True)
    published = spec_from_preset(PROMPTS, "paper", init_image="photo.png")
    assert (published.edit_start, published.strength, published.keep_detail) == ("original", 1.0, False)


def test_what_does_not_begin_with_a_proposal_is_not_held_to_its_start() -> None:
    proposed, from_noise = (spec_from_preset(PROMPTS, "normal", start=start) for start in ("prior", "noise"))
    assert proposed == spec_from_preset(PROMPTS, "normal")
    assert from_noise.penalties == ()
    assert (from_noise.augmentations.padding, proposed.augmentations.padding) == ("zeros", "border")
    assert from_noise.learning_rate > proposed.learning_rate
    assert from_noise.steps > proposed.steps
    assert spec_from_preset(PROMPTS, "normal", start="noise", steps=7).steps == 7


def test_paper_begins_with_random_pixels() -> None:
    """Section 2: "the initial image contains random pixel values"."""
    assert full("paper").start == "pixels"


def test_mse_pulls_to_the_picture_where_there_is_one() -> None:
    """The regularised notebook: `z_orig = z.clone()` with an init image, zeros without."""
    assert [penalty.target for penalty in full("mse").penalties] == ["zero"]
    edit = spec_from_preset((Prompt(content="a"),), "mse", init_image="a.png")
    assert [(p.target, p.weight, p.rate) for p in edit.penalties] == [("start", 0.75, 0.15)]


def test_directional_has_the_editing_notebooks_numbers() -> None:
    spec = full("directional")
    assert (spec.learning_rate, spec.steps, spec.width, spec.cutouts.count) == (0.15, 400, 640, 64)
    assert (spec.cutouts.first_power, spec.cutouts.power, spec.augmentations.greyscale) == (0.3, 1, 0.1)
    assert (spec.clamp_latent, spec.penalties) == (False, ())


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_the_embedded_generator_has_a_side_of_its_own_where_a_preset_has_none(preset: str) -> None:
    spec, own = spec_from_preset(PROMPTS, preset), {**PRESETS[preset], **EMBEDDED.get(preset, {})}
    assert (spec.width, spec.height) == (own.get("width", 128), own.get("height", 128))
    published = spec_from_preset(PROMPTS, preset, "imagenet-16384")
    assert (published.width, published.height) == (
        PRESETS[preset].get("width", 512),
        PRESETS[preset].get("height", 512),
    )


def test_photographs_are_edited_larger_than_icons():
    assert edit_area(128, 128, "normal", "embedded") == 128**2
    assert edit_area(640, 427, "normal", "embedded") == 256**2
    assert edit_area(256, 256, "normal", "embedded") == 256**2
    assert edit_area(256, 255, "normal", "embedded") == 128**2
    assert edit_area(640, 427, "normal", "imagenet-16384") == 512**2
    assert edit_area(64, 64, "draft", "embedded") <= edit_area(64, 64, "normal", "embedded")
