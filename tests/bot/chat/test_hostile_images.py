"""A corpus of hostile and odd files, made here: each is read right or refused with one sentence."""

import io
import itertools
import re
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from tests.bot.chat.decoded import decoded

RED, BLUE = (220, 20, 20), (20, 20, 220)
LIMIT = 25 * 2**20
SIZE = (64, 32)


def picture(size=SIZE):
    """Half red, half blue: what was read right shows both."""
    image = Image.new("RGB", size, RED)
    image.paste(BLUE, (size[0] // 2, 0, *size))
    return image


def noise(size=(96, 64)):
    """Pixels that no format can shorten to almost nothing, so that quarters of a file mean something."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def file_of(image, name="PNG", **options):
    file = io.BytesIO()
    image.save(file, name, **options)
    return file.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width, height, *chunks, depth=8, colour=2):
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(chunks) + chunk(b"IEND", b"")


def gif_of(width, height, frames):
    """Claim a screen and fill it with frames of one byte each."""
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02\x4c\x01\x00"
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff" + frame * frames + b";"


def with_text(size, *, packed):
    texts = PngImagePlugin.PngInfo()
    texts.add_text("comment", "x" * size, zip=packed)
    return file_of(picture(), pnginfo=texts)


def sixteen_bit():
    columns = np.where(np.arange(64) < 32, 0xDCDC, 0x1414).astype(np.uint16)
    return file_of(Image.fromarray(np.tile(columns, (32, 1))))


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return file_of(picture(), "JPEG", quality=95, exif=exif)


READ = {
    "jpeg named png": file_of(picture(), "JPEG", quality=95),
    "webp": file_of(picture(), "WEBP", lossless=True),
    "gif, animated": file_of(picture(), "GIF", save_all=True, append_images=[Image.new("RGB", SIZE)] * 3),
    "apng": file_of(picture(), "PNG", save_all=True, append_images=[Image.new("RGB", SIZE)]),
    "webp, animated": file_of(picture(), "WEBP", lossless=True, save_all=True, append_images=[Image.new("RGB", SIZE)]),
    "cmyk": file_of(picture().convert("CMYK"), "JPEG", quality=95),
    "cmyk, progressive": file_of(picture().convert("CMYK"), "JPEG", quality=95, progressive=True),
    "palette with transparency": file_of(picture().quantize(4), transparency=3),
    "alpha": file_of(picture().convert("RGBA")),
    "picture and page in one": file_of(picture()) + b"<html><script>alert(1)</script></html>" * 50,
    "picture and archive in one": file_of(picture(), "JPEG", quality=95) + b"PK\x03\x04" + b"\0" * 500,
    "comment before the pixels": with_text(200_000, packed=False),
    "comment of 80 MB in 80 kB, which is left out unread": with_text(80 * 2**20, packed=True),
    "colour profile of rubbish": file_of(picture(), icc_profile=b"rubbish" * 1000),
    "exif of rubbish": file_of(picture(), "JPEG", quality=95, exif=b"Exif\0\0" + b"\xff" * 60_000),
}

REFUSED = {
    "empty": b"",
    "one byte": b"\x89",
    "text": b"this is no picture",
    "page named png": b"<html><body>404</body></html>",
    "script": b"#!/bin/sh\nrm -rf /\n",
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "svg that multiplies": b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><svg>&b;</svg>',
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(/etc/passwd) (r) file\n%%EOF\n",
    "pdf": b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF",
    "tiff": file_of(picture(), "TIFF"),
    "bmp": file_of(picture(), "BMP"),
    "ico": file_of(picture((32, 32)), "ICO"),
    "film": b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + b"\0" * 1000,
    "archive": b"PK\x03\x04" + b"\0" * 1000,
    "bomb: a claim of billions": png_of(50_000, 50_000, chunk(b"IDAT", zlib.compress(b"\0" * 9999))),
    "bomb: just over Pillow's own": png_of(14_000, 14_000, chunk(b"IDAT", zlib.compress(b"\0" * 9999))),
    "bomb: real, 100 million": png_of(
        10_000, 10_000, chunk(b"IDAT", zlib.compress(bytes(10_000 * 10_001), 9)), colour=0
    ),
    "bomb: gif": gif_of(60_000, 60_000, 1),
    "text larger than the limit": with_text(26 * 2**20, packed=False),
    "thread": file_of(Image.new("RGB", (1, 20_000))),
    "line": file_of(Image.new("RGB", (20_000, 1))),
    "ribbon": file_of(Image.new("RGB", (20_000, 8))),
    "one pixel": file_of(Image.new("RGB", (1, 1))),
    "no pixels": png_of(0, 0, chunk(b"IDAT", b"")),
    "negative size": png_of(0xFFFFFFFF, 1, chunk(b"IDAT", b"")),
    "no data": png_of(64, 32),
    "data of rubbish": png_of(64, 32, chunk(b"IDAT", b"\xff" * 500)),
    "a length that lies": file_of(picture())[:33] + b"\x7f\xff\xff\xffIDAT" + b"\0" * 100,
    "bits that do not exist": png_of(64, 32, chunk(b"IDAT", zlib.compress(b"\0" * 9999)), depth=7, colour=9),
    "wrong checksum": file_of(picture())[:29] + b"\0\0\0\0" + file_of(picture())[33:],
}

CUT = {
    f"{name} cut at {quarter} of 4": data[: len(data) * quarter // 4]
    for name, quarter in itertools.product(("PNG", "JPEG", "WEBP", "GIF"), (1, 2, 3))
    for data in [file_of(noise(), name)]
}


@pytest.fixture(scope="module")
def outcomes():
    """Send the whole corpus through the child's program, each file in a process of its own."""
    corpus = READ | REFUSED | CUT | {f"turned {n}": turned(n) for n in (3, 6, 8)} | {"16 bit": sixteen_bit()}
    return {name: decoded(content, LIMIT) for name, content in corpus.items()}


def opened(outcome):
    assert isinstance(outcome, bytes), outcome
    return Image.open(io.BytesIO(outcome), formats=["PNG"])


def pixel(outcome, x, y):
    return opened(outcome).getpixel((x, y))


def near(found, colour, tolerance=30):
    return max(abs(a - b) for a, b in zip(found, colour, strict=True)) <= tolerance


@pytest.mark.parametrize("name", READ)
def test_read_right(outcomes, name):
    assert opened(outcomes[name]).size == SIZE
    assert near(pixel(outcomes[name], 8, 16), RED)
    assert near(pixel(outcomes[name], 56, 16), BLUE)


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_one_sentence(outcomes, name):
    assert_one_sentence(outcomes[name])


@pytest.mark.parametrize("name", CUT)
def test_cut_short(outcomes, name):
    """What arrives as a whole picture from a cut file would be a lie; grey rows are one too."""
    assert_one_sentence(outcomes[name])


def test_sixteen_bits_are_scaled(outcomes):
    assert [pixel(outcomes["16 bit"], x, 16) for x in (8, 56)] == [(0xDC,) * 3, (0x14,) * 3]


@pytest.mark.parametrize(
    ("orientation", "size", "red"), [(3, (64, 32), (56, 16)), (6, (32, 64), (16, 8)), (8, (32, 64), (16, 56))]
)
def test_turned_by_exif(outcomes, orientation, size, red):
    turned_back = outcomes[f"turned {orientation}"]
    assert opened(turned_back).size == size
    assert near(pixel(turned_back, *red), RED)


def test_nothing_but_pixels_is_kept(outcomes):
    for name in READ:
        kept = re.findall(rb"IHDR|PLTE|tEXt|zTXt|iTXt|iCCP|eXIf|acTL|script|PK\x03\x04|rubbish", outcomes[name])
        assert set(kept) == {b"IHDR"}, name


def assert_one_sentence(outcome):
    assert isinstance(outcome, str), "was read"
    assert re.fullmatch(r"[A-Z][^\n]{20,160}\.", outcome), outcome
    assert not re.search(r"Traceback|Error|/|\bNone\b|\b0x", outcome), outcome
