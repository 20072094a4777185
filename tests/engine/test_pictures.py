import contextlib
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin

from engine.pictures import (
    SPEC_KEY,
    BadPictureError,
    PictureLimits,
    encode_png,
    encode_within,
    enlarged,
    laid_out,
    mosaic,
    painted_size,
    palette_of,
    preview_jpeg,
    read_mask,
    read_picture,
    save_png,
    spec_of,
)
from engine.presets import spec_from_preset
from engine.prompts import Prompt, parse_prompts
from engine.spec import PaintingSpec
from tests.engine.sample_pictures import BLUE, RED, file_of, left_red_right_blue, near, spec

pytestmark = pytest.mark.filterwarnings(r"ignore:::PIL\.")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_that_claims(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 9999))
        + chunk(b"IEND", b"")
    )


ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize(
    "data",
    [
        file_of(left_red_right_blue()),
        file_of(left_red_right_blue(), icc_profile=ICC),
        file_of(left_red_right_blue(), icc_profile=b"no profile at all"),
        file_of(left_red_right_blue(), "JPEG", quality=95),
        file_of(left_red_right_blue(), "JPEG", quality=95, exif=b"Exif\0\0 and then rubbish"),
        file_of(left_red_right_blue(), "JPEG", quality=95, progressive=True),
        file_of(left_red_right_blue("CMYK"), "JPEG", quality=95),
        file_of(left_red_right_blue(), "WEBP", quality=95),
        file_of(
            left_red_right_blue(), "WEBP", lossless=True, save_all=True, append_images=[Image.new("RGB", (64, 32))]
        ),
        file_of(left_red_right_blue(), "GIF", save_all=True, append_images=[Image.new("RGB", (64, 32))], duration=50),
        file_of(left_red_right_blue(), "PNG", save_all=True, append_images=[Image.new("RGB", (64, 32))], duration=50),
        file_of(left_red_right_blue(), "MPO", quality=95, save_all=True, append_images=[Image.new("RGB", (64, 32))]),
        file_of(left_red_right_blue().quantize(8)),
        file_of(left_red_right_blue("RGBA")),
        file_of(left_red_right_blue()) + b"<script>alert('and more')</script>" * 100,
    ],
)
def test_good_pictures_are_read_right(data: bytes) -> None:
    image = read_picture(data)
    assert (image.mode, image.size) == ("RGB", (64, 32))
    assert near(image, (8, 16), RED, tolerance=30)
    assert near(image, (56, 16), BLUE, tolerance=30)


def test_exif_turns_the_picture_and_does_not_stay() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise
    exif[0x010E] = "where I live"
    image = read_picture(file_of(left_red_right_blue(), "JPEG", quality=95, exif=exif, icc_profile=ICC))
    assert image.size == (32, 64)
    assert near(image, (16, 8), RED)
    assert near(image, (16, 56), BLUE)
    assert image.info == {}
    again = file_of(image)
    assert b"where I live" not in again
    assert b"iCCP" not in again


def test_transparency_shows_white() -> None:
    clear = left_red_right_blue("RGBA")
    clear.paste((0, 0, 0, 0), (0, 0, 32, 32))
    grey = Image.new("LA", (32, 32), (0, 0))
    palette = Image.new("P", (32, 32), 1)
    palette.putpalette([9, 9, 9, 200, 0, 0])
    half = Image.new("RGBA", (32, 32), (0, 0, 0, 128))
    assert near(read_picture(file_of(clear)), (8, 8), (255, 255, 255), 0)
    assert near(read_picture(file_of(clear)), (56, 8), BLUE, 0)
    assert near(read_picture(file_of(grey)), (8, 8), (255, 255, 255), 0)
    assert near(read_picture(file_of(palette, transparency=1)), (8, 8), (255, 255, 255), 0)
    assert near(read_picture(file_of(palette, transparency=0)), (8, 8), (200, 0, 0), 0)
    assert near(read_picture(file_of(half)), (8, 8), (127, 127, 127), 1)
    assert near(read_picture(file_of(clear, "WEBP", lossless=True)), (8, 8), (255, 255, 255), 0)


def test_16_bit_grey_is_scaled_not_clipped() -> None:
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    read = np.asarray(read_picture(file_of(Image.fromarray(ramp))))[..., 0]
    assert np.abs(read.astype(float) - ramp / 257).max() <= 0.5
    mask = np.asarray(read_mask(file_of(Image.fromarray(ramp))))
    assert (mask == read).all()


def test_a_one_bit_and_a_grey_picture_are_read() -> None:
    assert near(read_picture(file_of(Image.new("1", (9, 9), 1))), (4, 4), (255, 255, 255), 0)
    assert near(read_picture(file_of(Image.new("L", (9, 9), 77))), (4, 4), (77, 77, 77), 0)


def test_a_mask_is_white_where_it_may_change() -> None:
    mask = Image.new("RGBA", (32, 32), (0, 0, 0, 255))
    mask.paste((255, 255, 255, 255), (8, 0, 16, 32))
    mask.paste((0, 0, 0, 0), (16, 0, 32, 32))
    read = read_mask(file_of(mask))
    assert read.mode == "L"
    assert [read.getpixel((x, 4)) for x in (4, 12, 24)] == [0, 255, 255]


def huge_text_png(compressed: bool) -> bytes:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("comment", "x" * 80 * 2**20, zip=compressed)
    return file_of(left_red_right_blue(), pnginfo=texts)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"\0" * 5000, "no picture that can be read"),
        (b"<html>404</html>", "no picture that can be read"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n", "no picture that can be read"),
        (file_of(left_red_right_blue(), "BMP"), "no picture that can be read"),
        (file_of(left_red_right_blue(), "TIFF"), "no picture that can be read"),
        (file_of(Image.effect_noise((64, 64), 50))[:800], "damaged or cut short"),
        (file_of(Image.effect_noise((64, 64), 50), "JPEG")[:-300], "damaged or cut short"),
        (file_of(Image.effect_noise((64, 64), 50), "GIF")[:-500], "damaged or cut short"),
        (file_of(Image.effect_noise((64, 64), 50), "WEBP")[:-300], "damaged|cut short|no picture"),
        (file_of(left_red_right_blue())[:20], "no picture that can be read|damaged"),
        (file_of(Image.new("RGB", (1, 20000))), "1x20000 pixels; each side needs at least 8"),
        (file_of(Image.new("RGB", (20000, 10))), "20000x10 pixels; one side may be at most 20 times"),
        (file_of(Image.new("RGB", (1, 1))), "1x1 pixels"),
        (png_that_claims(9000, 8000), "9000x8000 pixels; at most 64 million"),
        (png_that_claims(50000, 50000), "far too many pixels"),
        (png_that_claims(4000, 4000), "damaged or cut short"),
        (huge_text_png(compressed=False), "larger than 25 MiB"),
    ],
)
def test_bad_pictures_are_refused_in_one_sentence(data: bytes, words: str) -> None:
    with pytest.raises(BadPictureError, match=words) as refusal:
        read_picture(data)
    assert "\n" not in str(refusal.value)


def test_a_file_that_is_not_there_or_too_heavy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadPictureError, match=r"no file .*missing\.png"):
        read_picture(tmp_path / "missing.png")
    with pytest.raises(BadPictureError, match="no file"):
        read_picture(tmp_path)
    path = tmp_path / "heavy.png"
    path.write_bytes(file_of(left_red_right_blue()))
    with pytest.raises(BadPictureError, match="larger than"):
        read_picture(path, PictureLimits(file_bytes=50))
    with pytest.raises(BadPictureError, match="larger than"):
        read_picture(path.read_bytes(), PictureLimits(file_bytes=50))


def test_a_saved_picture_carries_its_spec(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "a.png"
    save_png(left_red_right_blue(), path, spec())
    assert spec_of(path) == spec()
    assert [file.name for file in path.parent.iterdir()] == ["a.png"]
    with Image.open(path) as image:
        assert image.info["Description"] == "ein Leuchtturm, größer::2 | Nebel::-0.5"
        assert near(image, (8, 8), RED, 0)


def test_a_picture_of_ours_is_as_large_as_it_was_painted(tmp_path: Path) -> None:
    spec = PaintingSpec(prompts=parse_prompts("a fox"), width=96, height=64)
    for name, size in {"painted": (96, 64), "enlarged": (192, 128), "cropped": (100, 100), "smaller": (48, 32)}.items():
        save_png(Image.new("RGB", size), tmp_path / f"{name}.png", spec)
    Image.new("RGB", (192, 128)).save(tmp_path / "foreign.png")
    sizes = {path.stem: painted_size(path) for path in tmp_path.glob("*.png")}
    assert sizes == {"painted": (96, 64), "enlarged": (96, 64), "cropped": (100, 100), "smaller": (48, 32),
                     "foreign": (192, 128)}  # fmt: skip


def test_saving_over_a_picture_keeps_the_old_one_until_the_new_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    save_png(left_red_right_blue(), path, spec())
    before = path.read_bytes()
    with pytest.raises(OSError, match="cannot write mode"):
        save_png(Image.new("F", (8, 8)), path, spec())
    assert path.read_bytes() == before


def test_a_picture_without_a_spec_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(file_of(left_red_right_blue()))
    with pytest.raises(BadPictureError, match="carries no painting"):
        spec_of(path)
    texts = PngImagePlugin.PngInfo()
    texts.add_itxt(SPEC_KEY, '{"version": 1, "prompts": [{"content": "a"}], "glitter": 3}')
    path.write_bytes(file_of(left_red_right_blue(), pnginfo=texts))
    with pytest.raises(BadPictureError, match="There is no setting called 'glitter'"):
        spec_of(path)


def test_a_picture_is_encoded_within_any_limit() -> None:
    noise = Image.merge("RGB", [Image.effect_noise((256, 256), 90)] * 3)
    data, extension = encode_within(noise, 10**6, spec())
    assert extension == "png"
    assert Image.open(io.BytesIO(data)).info[SPEC_KEY] == spec().to_json()
    seen = []
    for limit in (60_000, 20_000, 5_000, 900):
        data, extension = encode_within(noise, limit)
        seen.append((extension, Image.open(io.BytesIO(data)).size))
        assert len(data) <= limit
    assert seen[0] == ("webp", (256, 256))
    assert seen[-1][1] < (256, 256)
    with pytest.raises(BadPictureError, match="No picture fits"):
        encode_within(noise, 10)


def test_a_preview_is_a_small_jpeg() -> None:
    image = Image.open(io.BytesIO(preview_jpeg(left_red_right_blue(size=(640, 320)), 128)))
    assert (image.format, image.size) == ("JPEG", (128, 64))


WHOLE = [
    file_of(left_red_right_blue(size=(24, 16)), name, **options)
    for name, options in (
        ("PNG", {"icc_profile": ICC}),
        ("JPEG", {"exif": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"}),
        ("WEBP", {}),
        ("GIF", {"save_all": True, "append_images": [Image.new("RGB", (24, 16))]}),
        ("MPO", {"save_all": True, "append_images": [Image.new("RGB", (24, 16))]}),
    )
]


@given(
    st.sampled_from(WHOLE),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=8),
    st.integers(0, 3000),
)
def test_a_damaged_file_is_read_or_refused_but_never_crashes(
    data: bytes, damage: list[tuple[int, int]], length: int
) -> None:
    damaged = bytearray(data)
    for place, value in damage:
        damaged[place % len(damaged)] = value
    try:
        image = read_picture(bytes(damaged[:length]))
    except BadPictureError:
        return
    assert image.mode == "RGB"


def _png_with_texts(size: int) -> bytes:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("workflow", "x" * size, zip=True)
    texts.add_itxt("prompt", "y" * size, zip=True)
    file = io.BytesIO()
    Image.new("RGB", (20, 10), (200, 10, 30)).save(file, "PNG", pnginfo=texts, icc_profile=b"z" * 2**21)
    return file.getvalue()


@pytest.mark.parametrize("read", [read_picture, read_mask])
def test_what_a_png_says_beside_its_pixels_is_left_out(read):
    assert read(_png_with_texts(3 * 2**20)).size == (20, 10)
    assert read_picture(_png_with_texts(10)).getpixel((0, 0)) == (200, 10, 30)


def test_a_spec_is_found_beside_other_texts(tmp_path):
    spec = spec_from_preset((Prompt(content="a red apple"),), "draft", "embedded")
    texts = PngImagePlugin.PngInfo()
    texts.add_text("workflow", "x" * 3 * 2**20, zip=True)
    texts.add_itxt(SPEC_KEY, spec.to_json())
    Image.new("RGB", (20, 10)).save(tmp_path / "a.png", pnginfo=texts)
    assert spec_of(tmp_path / "a.png") == spec


@given(st.binary(max_size=300), st.integers(0, 400))
def test_a_png_cut_or_padded_anywhere_is_answered_in_one_sentence(junk, at):
    data = _png_with_texts(10)
    for broken in (data[:at], data[:at] + junk, data[:at] + junk + data[at:]):
        with contextlib.suppress(BadPictureError):
            read_picture(broken)


@pytest.mark.parametrize(("drawn", "transparent_may_change"), [("white", False), ("black", True)])
def test_what_is_transparent_in_a_mask_is_the_other_of_what_is_drawn(drawn, transparent_may_change):
    mask = Image.new("RGBA", (20, 10), (0, 0, 0, 0))
    mask.paste(drawn, (0, 0, 5, 10))
    file = io.BytesIO()
    mask.save(file, "PNG")
    read = read_mask(file.getvalue())
    assert read.getpixel((2, 5)) == (0 if transparent_may_change else 255)
    assert read.getpixel((15, 5)) == (255 if transparent_may_change else 0)


def test_a_mask_that_lets_nothing_change_is_refused():
    file = io.BytesIO()
    Image.new("L", (20, 10)).save(file, "PNG")
    with pytest.raises(BadPictureError, match="black everywhere"):
        read_mask(file.getvalue())


@pytest.mark.parametrize("address", ["https://example.com/a.png", "HTTP://x/y.jpg", "file:///a.png", "data:/x"])
def test_addresses_are_not_fetched(address):
    with pytest.raises(BadPictureError, match="save the picture"):
        read_picture(Path(address))


def test_no_folder_of_anybody_s_lies_in_a_picture(tmp_path):
    (tmp_path / "inputs").mkdir()
    for name in ("inputs/photo.png", "mask.png"):
        Image.new("RGB", (20, 10), "white").save(tmp_path / name)
    spec = spec_from_preset(
        (Prompt(content="a red apple"), Prompt(kind="image", content="/home/somebody/secret/like.png")),
        "draft",
        "embedded",
        init_image=str(tmp_path / "inputs" / "photo.png"),
        mask=str(tmp_path / "mask.png"),
    )
    save_png(Image.new("RGB", (8, 8)), tmp_path / "out.png", spec)
    data = (tmp_path / "out.png").read_bytes()
    assert b"somebody" not in data
    assert str(tmp_path).encode() not in data
    assert b"inputs/photo.png" in data
    found = spec_of(tmp_path / "out.png")
    assert (found.init_image, found.mask) == (spec.init_image, spec.mask)
    assert found.prompts[1].content == "like.png"
    posted, _ = encode_within(Image.new("RGB", (8, 8)), 10_000, spec)
    assert b"inputs" not in posted
    assert b"photo.png" in posted


def tones(count: int) -> list[Image.Image]:
    return [Image.new("RGB", (3, 2), (index + 1,) * 3) for index in range(count)]


@pytest.mark.parametrize(
    ("count", "rows"),
    [(1, [[1]]), (2, [[1, 2]]), (3, [[1, 2], [3, 0]]), (4, [[1, 2], [3, 4]])],
)
def test_pictures_lie_beside_each_other_two_in_a_row(count: int, rows: list[list[int]]) -> None:
    sheet = mosaic(tones(count))
    assert sheet.size == (3 * len(rows[0]), 2 * len(rows))
    for y, row in enumerate(rows):
        for x, tone in enumerate(row):
            assert sheet.getpixel((3 * x + 2, 2 * y + 1)) == sheet.getpixel((3 * x, 2 * y)) == (tone,) * 3


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_picture_is_laid_out_in_both_directions(times: int) -> None:
    picture = left_red_right_blue(size=(4, 2))
    sheet = laid_out(picture, times)
    assert sheet.size == (4 * times, 2 * times)
    assert [sheet.getpixel((x, 2 * times - 1)) for x in range(4 * times)] == [RED, RED, BLUE, BLUE] * times


def test_in_a_saved_spec_files_lose_their_folders_and_words_stay(tmp_path: Path) -> None:
    prompts = (Prompt(content="black and/or white"), Prompt(kind="image", content="/home/me/wanted.png"))
    saved = PaintingSpec(prompts=prompts, init_image="/home/me/a.png", mask="/home/me/m.png")
    (tmp_path / "painting.png").write_bytes(encode_png(Image.new("RGB", (64, 64)), saved))
    found = spec_of(tmp_path / "painting.png")
    assert [prompt.content for prompt in found.prompts] == ["black and/or white", "wanted.png"]
    assert (found.init_image, found.mask) == ("a.png", "m.png")


@pytest.mark.parametrize(
    ("size", "side", "larger"),
    [((64, 32), 64, 1), ((64, 32), 65, 2), ((32, 64), 128, 2), ((64, 32), 0, 1), ((64, 32), 200, 4)],
)
def test_a_picture_is_enlarged_by_a_whole_factor(size: tuple[int, int], side: int, larger: int) -> None:
    assert enlarged(Image.new("RGB", size), side).size == (size[0] * larger, size[1] * larger)


def test_the_palette_of_a_picture_is_what_it_is_mostly_of() -> None:
    picture = left_red_right_blue(size=(64, 64))
    picture.paste(RED, (0, 0, 48, 64))
    assert palette_of(picture, 2) == ("#dc1414", "#1414dc")
