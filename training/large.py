"""Pack pictures for super-resolution: icons drawn large, and photographs.

`python -m training.large --out FOLDER [--cache FOLDER]` writes `large.npz`, one 512-pixel icon of each thing with the
vendors taking turns; `held-out.npz`, some by vendors that training never sees; and `photographs.npz`, what scikit-image
ships of photographs in the public domain or under CC0.
"""

import argparse
import importlib.util
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from training.data import Concept, IconSet, Names, fetch, fit, pack, read_concepts, read_lock, read_members

SIDE = 512
ARTISTS = ("fluent-flat", "noto", "twemoji", "noto-v1", "fxemoji")
UNSEEN = ("emojione", "streamline")
EVERY = 8  # thing of the held-out vendors
# In the public domain or under CC0, by scikit-image's own list of their origins; the last is for measuring only.
PHOTOGRAPHS = ("astronaut.png", "coffee.png", "rocket.jpg", "hubble_deep_field.jpg", "brick.png", "grass.png",
               "gravel.png", "chelsea.png")  # fmt: skip


def large_icons(
    vendors: list[dict[str, str]], concepts: list[Concept], wanted: tuple[str, ...], cache: Path
) -> Iterator[tuple[int, int, bytes]]:
    """Yield concept, vendor and WebP bytes: each thing once, by the next of the vendors that has it."""
    tables = {}
    for package in vendors:
        if package["url"].endswith(".tgz") and (found := read_members(fetch(package, cache), r"chars\.json")):
            tables[package["vendor"]] = json.loads(found["chars.json"])
    numbers = [next(i for i, package in enumerate(vendors) if package["vendor"] == name) for name in wanted]
    sets = [IconSet(fetch(vendors[number], cache), tables, drawn=SIDE) for number in numbers]
    for index, concept in enumerate(concepts):
        for turn in range(len(sets)):
            which = (index + turn) % len(sets)
            picture = next(sets[which].pictures(concept), None)
            if picture is not None and (sprite := fit(picture, SIDE)) is not None:
                buffer = io.BytesIO()
                sprite.save(buffer, "WEBP", quality=88, method=2, exact=False)
                yield index, numbers[which], buffer.getvalue()
                break


def photographs() -> dict[str, np.ndarray]:
    """Return the JPEG bytes of each photograph, its longer side at most 1000 pixels."""
    package = importlib.util.find_spec("skimage")
    if package is None or package.origin is None:
        raise SystemExit("The photographs are missing: pip install '.[training]'")
    found = {}
    for name in PHOTOGRAPHS:
        picture = Image.open(Path(package.origin).parent / "data" / name).convert("RGB")
        picture.thumbnail((1000, 1000), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=93)
        found[Path(name).stem] = np.frombuffer(buffer.getvalue(), np.uint8)
    return found


def main() -> None:
    """Write the files from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path("cache/packages"))
    arguments = parser.parse_args()
    packages, cache = read_lock(), arguments.cache
    paths = {package["vendor"]: fetch(package, cache) for package in packages if package["role"] == "names"}
    concepts = read_concepts(Names(paths["emojibase"], paths["emojilib"]))
    vendors = [package for package in packages if package["role"] != "names"]
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, wanted, step in (("large", ARTISTS, 1), ("held-out", UNSEEN, EVERY)):
        found = list(large_icons(vendors, concepts[::step], wanted, cache))
        path = arguments.out / f"{name}.npz"
        digest = pack(path, concepts[::step], vendors, found)
        print(f"{path}: {len(found)} icons, {path.stat().st_size / 2**20:.1f} MiB, sha256 {digest}", flush=True)
    np.savez(arguments.out / "photographs.npz", **photographs())  # pyright: ignore[reportArgumentType]


if __name__ == "__main__":
    main()
