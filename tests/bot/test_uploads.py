import io

import numpy as np
import pytest
from PIL import Image

from bot.uploads import fit
from engine.pictures import BadPictureError


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
