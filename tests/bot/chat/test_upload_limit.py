import io

import numpy as np
import pytest
from PIL import Image

from bot.chat.upload_limit import fit, within
from engine.pictures import BadPictureError, save_png, spec_of
from engine.prompts import Prompt
from engine.spec import PaintingSpec


@pytest.fixture
def noisy(tmp_path):
    """A picture that no format can make small without loss."""
    path = tmp_path / "noise.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)).save(path)
    return path


def test_what_fits_goes_as_it_is(noisy):
    assert fit(noisy, 10**6) == (".png", noisy.read_bytes())


@pytest.mark.parametrize("limit", [40_000, 10_000, 1_500])
def test_what_does_not_fit_is_encoded_until_it_does(noisy, limit):
    suffix, content = fit(noisy, limit)
    assert suffix in (".webp", ".jpg")
    assert len(content) <= limit
    with Image.open(io.BytesIO(content)) as image:
        assert image.width / image.height == 1


def test_a_film_is_not_cut(tmp_path):
    path = tmp_path / "film.mp4"
    path.write_bytes(b"x" * 100)
    assert fit(path, 100) == (".mp4", b"x" * 100)
    with pytest.raises(BadPictureError):
        fit(path, 99)


def test_a_file_that_is_gone_is_an_os_error(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        fit(tmp_path / "gone.png", 100)


@pytest.fixture
def small(tmp_path):
    """A picture of ours, 96 x 64."""
    spec = PaintingSpec(prompts=(Prompt(content="a red apple"),), width=96, height=64)
    pixels = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    save_png(Image.fromarray(pixels), tmp_path / "small.png", spec)
    return tmp_path / "small.png"


@pytest.mark.parametrize(("generator", "by"), [("imagenet-16384", "Lanczos"), ("embedded", "super-resolution")])
def test_a_small_picture_is_posted_enlarged_by_a_whole_factor_and_says_so(small, tmp_path, generator, by):
    spec = spec_of(small).but(generator=generator)
    with Image.open(small) as image:
        save_png(image, small, spec)
    suffix, content = fit(small, 10**7, enlarge_to=512)
    assert suffix == ".png"
    with Image.open(io.BytesIO(content)) as image:
        assert image.size == (576, 384)
        assert image.info["Comment"] == f"Enlarged from 96 x 64 pixels ({by})"
        change = np.asarray(image.reduce(6), np.int16) - np.asarray(Image.open(small), np.int16)
        assert np.abs(change).mean() < 30, "it shows the same"
    (tmp_path / "posted.png").write_bytes(content)
    assert spec_of(tmp_path / "posted.png") == spec_of(small)


def test_a_picture_is_not_enlarged_where_it_is_large_enough_or_would_not_fit(small):
    kept = (".png", small.read_bytes())
    assert fit(small, 10**7, enlarge_to=0) == kept
    assert fit(small, 10**7, enlarge_to=96) == kept
    assert fit(small, len(kept[1]), enlarge_to=512) == kept


@pytest.mark.parametrize("limit", [20_000, 4_000])
def test_previews_are_made_to_fit(noisy, limit):
    buffer = io.BytesIO()
    with Image.open(noisy) as image:
        image.resize((512, 512)).save(buffer, "JPEG", quality=90)
    jpeg = buffer.getvalue()
    assert within(jpeg, len(jpeg)) == jpeg
    small = within(jpeg, limit)
    assert len(small) <= limit
    with Image.open(io.BytesIO(small)) as image:
        assert image.format == "JPEG"
    assert within(jpeg, 1), "as small as it gets"
