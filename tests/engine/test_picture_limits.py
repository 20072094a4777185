"""Pictures at the limits of what is read, and what is written of them to the byte."""

import contextlib
import io
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from engine.pictures import (
    SPEC_KEY,
    BadPictureError,
    PictureLimits,
    _chunks,
    _without_texts,
    encode_png,
    encode_within,
    palette_of,
    preview_jpeg,
    read_mask,
    read_picture,
)
from tests.engine.sample_pictures import RED, file_of, left_red_right_blue, near, spec


def with_texts() -> bytes:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("workflow", "x" * 10, zip=True)
    texts.add_itxt("prompt", "y" * 10, zip=True)
    return file_of(Image.new("RGB", (20, 10), (200, 10, 30)), pnginfo=texts, icc_profile=b"z" * 99)


@pytest.mark.parametrize(
    ("size", "limits", "refusal"),
    [
        ((20, 10), {"pixels": 200}, None),
        ((21, 10), {"pixels": 200}, "21x10 pixels; at most 0.0002 million"),
        ((20, 10), {"smallest_side": 10}, None),
        ((20, 9), {"smallest_side": 10}, "20x9 pixels; each side needs at least 10"),
        ((9, 20), {"smallest_side": 10}, "9x20 pixels; each side needs at least 10"),
        ((40, 10), {"ratio": 4}, None),
        ((10, 40), {"ratio": 4}, None),
        ((41, 10), {"ratio": 4}, "41x10 pixels; one side may be at most 4 times"),
        ((10, 41), {"ratio": 4}, "10x41 pixels; one side may be at most 4 times"),
    ],
)
def test_a_picture_at_a_limit_is_read_and_beyond_it_refused(size, limits, refusal):
    data = file_of(Image.new("RGB", size))
    if refusal is None:
        assert read_picture(data, PictureLimits(**limits)).size == size
        return
    with pytest.raises(BadPictureError, match=refusal):
        read_picture(data, PictureLimits(**limits))


def test_a_file_may_be_as_heavy_as_the_limit(tmp_path: Path) -> None:
    data, path = file_of(left_red_right_blue()), tmp_path / "a.png"
    path.write_bytes(data)
    for source in (data, path):
        assert read_picture(source, PictureLimits(file_bytes=len(data))).size == (64, 32)
        with pytest.raises(BadPictureError, match="larger than"):
            read_picture(source, PictureLimits(file_bytes=len(data) - 1))
    with pytest.raises(BadPictureError, match=r"larger than 0\.5 MiB; send a smaller one"):
        read_picture(bytes(2**20), PictureLimits(file_bytes=2**19))


def test_a_jpeg_of_too_many_passes_is_refused() -> None:
    data = file_of(left_red_right_blue(), "JPEG", progressive=True)
    scans, pixels = data.count(b"\xff\xda"), 64 * 32
    assert 5 < scans < PictureLimits().scans
    for limits, refused in (
        (PictureLimits(scans=scans), False),
        (PictureLimits(scans=scans - 1), True),
        (PictureLimits(scanned_pixels=scans * pixels), False),
        (PictureLimits(scanned_pixels=scans * pixels - 1), True),
    ):
        with pytest.raises(BadPictureError, match="too many passes") if refused else contextlib.nullcontext():
            read_picture(data, limits)
    assert read_picture(file_of(left_red_right_blue()) + b"\xff\xda" * 99, PictureLimits(scans=1)).size == (64, 32)


def test_what_is_encoded_for_an_upload_is_the_best_that_fits() -> None:
    noise = Image.merge("RGB", [Image.effect_noise((64, 48), 60)] * 3)
    ways = [("png", file_of(noise))]
    ways += [
        (extension, file_of(noise, name, quality=quality))
        for extension, name, quality in (("webp", "WEBP", 90), ("jpg", "JPEG", 90), ("jpg", "JPEG", 75))
    ]
    for _, limit in ways:
        best = next(way for way in ways if len(way[1]) <= len(limit))
        assert encode_within(noise, len(limit)) == (best[1], best[0])
    below = min(len(data) for _, data in ways) - 1
    data, _ = encode_within(noise, below)
    assert Image.open(io.BytesIO(data)).size == (48, 36)
    assert encode_within(Image.new("RGB", (33, 2)), 10**6)[1] == "png"


@pytest.mark.parametrize(
    ("size", "side", "small"), [((640, 320), 128, (128, 64)), ((320, 640), 128, (64, 128)), ((64, 32), 128, (64, 32))]
)
def test_a_preview_is_never_larger_than_its_picture(size, side, small) -> None:
    picture = left_red_right_blue(size=size)
    image = Image.open(io.BytesIO(preview_jpeg(picture, side)))
    assert image.size == small
    assert picture.size == size
    assert near(image, (2, 2), RED)


def test_a_remark_is_kept_beside_the_spec() -> None:
    picture = left_red_right_blue()
    plain, remarked = (Image.open(io.BytesIO(encode_png(picture, spec(), *words))).info for words in ((), ("cut",)))
    assert remarked["Comment"] == "cut"
    assert plain == {
        "Description": "ein Leuchtturm, größer::2 | Nebel::-0.5",
        "Software": "vqgan-clip-bot",
        SPEC_KEY: spec().to_json(),
    }


def test_of_a_png_only_what_is_said_beside_the_pixels_is_dropped() -> None:
    data = with_texts()
    names = [name for name, _, _ in _chunks(data)]
    assert {b"zTXt", b"iTXt", b"iCCP"} < set(names)
    bare = _without_texts(data)
    assert [name for name, _, _ in _chunks(bare)] == [b"IHDR", b"IDAT", b"IEND"]
    assert bare == file_of(Image.new("RGB", (20, 10), (200, 10, 30)))
    assert b"".join(whole for _, _, whole in _chunks(data)) == data[8:]
    jpeg = file_of(left_red_right_blue(), "JPEG")
    assert _without_texts(jpeg) == jpeg


@pytest.mark.parametrize(
    ("white", "black", "transparent"), [((5, 255), (5, 0), 0), ((5, 60), (5, 255), 255), ((9, 255), (5, 255), 0)]
)
def test_what_a_mask_is_drawn_in_counts_as_far_as_it_is_opaque(white, black, transparent) -> None:
    """Columns of ten and how opaque they are: strong black beside faint white is drawn in black."""
    mask = Image.new("RGBA", (20, 10), (0, 0, 0, 0))
    mask.paste((255, 255, 255, white[1]), (0, 0, white[0], 10))
    mask.paste((0, 0, 0, black[1]), (10, 0, 10 + black[0], 10))
    assert read_mask(file_of(mask)).getpixel((19, 5)) == transparent


def test_a_palette_holds_the_six_most_frequent_colours_first() -> None:
    picture = Image.new("RGB", (64, 64))
    shades = [(0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)]
    rows = [0, 18, 33, 45, 54, 60, 64]
    for shade, top, bottom in zip(shades, rows, rows[1:], strict=False):
        picture.paste(shade, (0, top, 64, bottom))
    assert palette_of(picture) == ("#000000", "#ffffff", "#ff0000", "#00ff00", "#0000ff", "#ffff00")
