"""What CLIP sees in a picture, and what becomes of the picture then."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bot.settings import ModerationSettings, Settings, load_settings
from bot.worker.events import SPOILER_NOTICE, Failed, Frame, Painted, Progress
from bot.worker.orders import Controls
from bot.worker.picture_check import REFUSED, PictureCheck, RefusedPictureError, concept_shares
from bot.worker.runner import JobRunner
from engine.models import ModelStore
from tests.bot.conftest import make_order
from tests.simulated import quick_settings, running_bot, shown

SHIPPED = Path(__file__).parents[3] / "config.yaml"
CONCEPTS = ("a red apple", "a lighthouse")
ALL, NONE = 1e-9, 1.0
"""Thresholds above which every picture lies, and none."""


@pytest.fixture
def models(tmp_path, cpu, tiny_models):
    return ModelStore(tmp_path, cpu, embedded=tiny_models)


@pytest.fixture
def paint(settings, models):
    def run(order, pictures, threshold):
        events = []
        moderation = ModerationSettings(pictures=pictures, concepts=CONCEPTS, picture_threshold=threshold)
        runner = JobRunner(settings.worker, models, lambda event, _: events.append(event), moderation)
        runner.paint(order, Controls())
        return events

    return run


def noise():
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8))


def test_shares_are_clips_zero_shot_probabilities(models):
    perceptor = models.perceptor("embedded")
    shares = concept_shares(perceptor, noise(), CONCEPTS)
    assert list(shares) == list(CONCEPTS)
    assert 0 < sum(shares.values()) < 1
    alone = concept_shares(perceptor, noise(), CONCEPTS[:1])
    # Softmax: leaving one word out divides the others' shares by the same number.
    rest, rest_alone = 1 - sum(shares.values()), 1 - sum(alone.values())
    assert shares["a red apple"] / rest == pytest.approx(alone["a red apple"] / rest_alone, rel=1e-4)
    # A concept said twice is seen twice, equally.
    twice = concept_shares(perceptor, noise(), ("a red apple", "a red apple "))
    assert twice["a red apple"] == pytest.approx(twice["a red apple "], rel=1e-4)


def test_the_share_of_all_concepts_decides(models, spec):
    perceptor = models.perceptor("embedded")
    share = sum(concept_shares(perceptor, noise(), CONCEPTS).values())
    for threshold, hidden in ((share * 0.99, True), (share, True), (min(1.0, share * 1.01), False)):
        settings = ModerationSettings(pictures="spoiler", concepts=CONCEPTS, picture_threshold=threshold)
        assert PictureCheck(settings, models).hides(noise(), spec) is hidden


@pytest.mark.parametrize(("pictures", "threshold", "concepts"), [("show", ALL, CONCEPTS), ("refuse", ALL, ())])
def test_nothing_is_looked_at_unless_asked_for(spec, tmp_path, cpu, pictures, threshold, concepts):
    settings = ModerationSettings(pictures=pictures, concepts=concepts, picture_threshold=threshold)
    no_models = ModelStore(tmp_path, cpu, embedded=tmp_path)
    assert PictureCheck(settings, no_models).notices([noise()], spec) == ()


def test_a_picture_is_judged_by_the_perceptor_that_paints_it_first(models, spec, monkeypatch):
    asked = []
    monkeypatch.setattr(models, "perceptor", lambda name, real=models.perceptor: asked.append(name) or real(name))
    settings = ModerationSettings(pictures="spoiler", concepts=CONCEPTS, picture_threshold=ALL)
    assert PictureCheck(settings, models).hides(noise(), spec)
    assert asked == [spec.perceptors[0].name]


def test_one_picture_of_several_decides_for_all(models, spec, monkeypatch):
    pictures = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    monkeypatch.setattr(PictureCheck, "hides", lambda check, picture, of: picture is pictures[1] and of is spec)
    spoiler = PictureCheck(ModerationSettings(pictures="spoiler"), models)
    assert (spoiler.notices(pictures[:1], spec), spoiler.notices(pictures, spec)) == ((), (SPOILER_NOTICE,))
    refuse = PictureCheck(ModerationSettings(pictures="refuse"), models)
    assert refuse.notices(pictures[:1], spec) == ()
    with pytest.raises(RefusedPictureError, match="not shown here"):
        refuse.notices(pictures, spec)


def test_it_is_off_by_default_and_the_shipped_config_says_the_same():
    assert Settings().moderation.pictures == "show"
    assert load_settings(SHIPPED).moderation == Settings().moderation


def test_a_harmless_picture_is_shown_as_ever(paint, ask):
    for pictures in ("spoiler", "refuse"):
        events = paint(make_order(ask()), pictures, NONE)
        assert isinstance(events[-1], Painted)
        assert events[-1].notices == ()
        assert any(event.preview for event in events if isinstance(event, Progress))
        assert any(isinstance(event, Frame) for event in events)


def test_spoiler_keeps_the_picture_and_shows_nothing_of_it_on_the_way(paint, ask):
    events = paint(make_order(ask()), "spoiler", ALL)
    assert events[-1].notices == (SPOILER_NOTICE,)
    assert not any(event.preview for event in events if isinstance(event, Progress))
    assert not any(isinstance(event, Frame) for event in events)


def test_what_turns_into_something_to_hide_is_shown_only_as_long_as_it_is_not(settings, models, ask, monkeypatch):
    """The first preview is harmless; from then on the check finds what it looks for."""
    looked = []

    def hides(check, picture, spec):
        looked.append(picture)
        return len(looked) > 1

    monkeypatch.setattr(PictureCheck, "hides", hides)
    monkeypatch.setattr(PictureCheck, "notices", lambda check, picture, spec: (SPOILER_NOTICE,))
    controls, events = Controls(), []

    def emit(event, attempt):
        events.append(event)
        controls.preview_wanted = True  # somebody waits for the next one

    worker = settings.worker.model_copy(update={"first_preview_step": 1, "frames": 100})
    JobRunner(worker, models, emit, ModerationSettings(pictures="spoiler")).paint(make_order(ask()), controls)
    assert [event.step for event in events if isinstance(event, Progress) and event.preview] == [1]
    assert [event.step for event in events if isinstance(event, Frame)] == [1]
    assert len(looked) == 6
    assert events[-1].notices == (SPOILER_NOTICE,)


def test_refuse_keeps_nothing(paint, ask):
    events = paint(make_order(ask()), "refuse", ALL)
    assert events[-1] == Failed("abcdefgh", REFUSED)
    assert not any(event.preview for event in events if isinstance(event, Progress))
    assert not any(isinstance(event, Frame | Painted) for event in events)


async def test_a_veiled_picture_is_a_spoiler_wherever_it_is_shown(tmp_path, quick_start):
    moderation = ModerationSettings(pictures="spoiler", concepts=CONCEPTS, picture_threshold=ALL)
    settings = quick_settings(tmp_path).model_copy(update={"moderation": moderation})
    async with running_bot(settings) as world:
        job = await world.ended(await world.imagine(world.alice))
        message = world.message(job.message_id)
        assert spoilers(message.components) == [True]
        assert "may not be for everybody" in shown(message)
        for result in (
            await world.bob.slash(world.channel, "show", job=job.id),
            await world.alice.slash(world.channel, "history"),
        ):
            assert result.response is not None
            assert spoilers(result.response.components) == [True]


def spoilers(components):
    """Return of every picture in a message whether it is hidden, however deep it is."""
    found = []
    for component in components:
        data = component if isinstance(component, dict) else component.to_dict()
        found += [item["spoiler"] for item in data.get("items", [])]
        accessory = data.get("accessory")
        found += [accessory["spoiler"]] if accessory and accessory["type"] == 11 else []
        found += spoilers(data.get("components", []))
    return found
