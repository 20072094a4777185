"""A packed data set of a few drawn shapes, so that training is tested without a download."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

VENDORS = ("fluent-flat", "fluent-3d", "noto", "twemoji")
CONCEPTS = (["red apple", "apple"], ["dog", "puppy"], ["star"])


def _icon(concept: int, vendor: int) -> bytes:
    picture = Image.new("RGBA", (128, 128))
    colour = ((200, 30, 30, 255), (140, 90, 50, 255), (250, 210, 40, 255))[concept]
    draw = ImageDraw.Draw(picture)
    (draw.ellipse, draw.rectangle, draw.ellipse)[concept]((10 + 4 * vendor, 10, 110, 110 - 6 * concept), fill=colour)
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=90)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    roles = ["train"] * len(VENDORS) + ["held-out"]
    vendors = [*VENDORS, "emojione"]
    table = {
        "concepts": [{"label": names[0], "names": names, "keywords": ["fruit", names[-1]]} for names in CONCEPTS],
        "vendors": [{"vendor": v, "licence": "MIT", "role": r} for v, r in zip(vendors, roles, strict=True)],
    }
    found = [(c, v, _icon(c, v)) for v in range(len(vendors)) for c in range(len(CONCEPTS))]
    path = tmp_path_factory.mktemp("data") / "sprites.npz"
    np.savez(
        path,
        table=np.frombuffer(json.dumps(table).encode(), np.uint8),
        concept=np.array([c for c, _, _ in found], np.int32),
        vendor=np.array([v for _, v, _ in found], np.int32),
        end=np.cumsum([len(blob) for *_, blob in found]),
        blobs=np.frombuffer(b"".join(blob for *_, blob in found), np.uint8),
    )
    return path
