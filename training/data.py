"""Build the data set: icons from public npm and Debian packages, named, rasterised once, packed into one file.

`python -m training.data --out FILE [--cache FOLDER]` downloads what `packages.lock.json` names (versions and hashes),
and writes the same bytes every time. Training needs only this file, torch and numpy (and pillow to decode it).
"""

import argparse
import hashlib
import io
import json
import re
import tarfile
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from PIL import Image

from training.clipart import ClipArt, Titles, refusals
from training.shapes import ShapeSet, read_shapes

HERE = Path(__file__).parent
LOCK = HERE / "packages.lock.json"
CONCEPTS = HERE / "concepts.txt"
SPRITE_SIZE = 128
UNSEEN_GROUPS = (3, 4, 5, 6, 7)  # of emojibase: no faces, people, symbols or flags
MARGIN = 4  # every icon is cropped to what it shows and fitted with this border, so that vendors agree in scale


@dataclass(frozen=True)
class Concept:
    """One thing that can be painted: its Unicode name, what people call it, further keywords."""

    label: str
    names: tuple[str, ...]
    hexcode: str
    keywords: tuple[str, ...]
    aliases: tuple[str, ...]

    @property
    def emoji(self) -> str:
        """Return its characters, "" where it has none."""
        return "".join(chr(int(code, 16)) for code in self.hexcode.split("-") if code)


def read_lock() -> list[dict[str, str]]:
    """Return the packages: name, version, url, sha256, licence, vendor, role."""
    return json.loads(LOCK.read_text())["packages"]


def fetch(package: dict[str, str], cache: Path) -> Path:
    """Return the package's file, downloaded once and checked against its hash."""
    name, _, kind = package["url"].rsplit("/", 1)[1].rpartition(".")
    path = cache / f"{name}.{package['vendor']}.{kind}"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(package["url"]) as response:
            path.write_bytes(response.read())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != package["sha256"]:
        raise ValueError(f"{path} has sha256 {digest}, the lock says {package['sha256']}.")
    return path


def read_members(path: Path, pattern: str) -> dict[str, bytes]:
    """Return the files of a tarball whose names match a pattern."""
    found = {}
    with tarfile.open(path) as archive:
        for member in archive.getmembers():
            name = member.name.removeprefix("package/")
            if re.fullmatch(pattern, name) and (handle := archive.extractfile(member)):
                found[name] = handle.read()
    return found


def plain(text: str) -> str:
    """Return a name without case and separators, as the sets spell names differently."""
    return re.sub("[^a-z0-9]", "", text.lower())


class Names:
    """What emoji are called: emojibase's labels and shortcodes, emojilib's keywords."""

    def __init__(self, emojibase: Path, emojilib: Path) -> None:
        files = read_members(emojibase, r"en/(data|shortcodes/emojibase)\.json")
        self.rows = {row["label"]: row for row in json.loads(files["en/data.json"])}
        self.shortcodes = json.loads(files["en/shortcodes/emojibase.json"])
        self.library = json.loads(read_members(emojilib, r"dist/emoji-en-US\.json")["dist/emoji-en-US.json"])

    def concept(self, label: str, names: tuple[str, ...]) -> Concept:
        """Join a label with its code point and keywords."""
        row = self.rows[label]
        codes = self.shortcodes.get(row["hexcode"], [])
        words = self.library.get(row["emoji"], [])
        return Concept(
            label=label,
            names=names,
            hexcode=row["hexcode"].lower(),
            keywords=tuple(sorted({*row.get("tags", []), *(w.replace("_", " ") for w in words)})),
            aliases=(label, *([codes] if isinstance(codes, str) else codes), *words[:1]),
        )


def read_concepts(names: Names) -> list[Concept]:
    """Read our list of things."""
    concepts = []
    for line in CONCEPTS.read_text().splitlines():
        if not line.startswith("#") and line.strip():
            label, called = (part.strip() for part in line.split(":", 1))
            concepts.append(names.concept(label, tuple(name.strip() for name in called.split(","))))
    return [*concepts, *(Concept(shape.label, shape.names, "", (), ()) for shape in read_shapes())]


def unseen_concepts(names: Names, known: list[Concept]) -> list[Concept]:
    """Return things that are not on our list, in words that are: training never saw pictures of them.

    Many are relatives of a thing that is on it, as "post office" is of "office".
    """
    called = {name for concept in known for name in (*concept.names, concept.label)}
    words = {word for concept in known for text in (*concept.names, *concept.keywords) for word in text.split()}
    labels = [
        label
        for label, row in names.rows.items()
        if row.get("group") in UNSEEN_GROUPS and label not in called and set(label.split()) <= words
    ]
    return [names.concept(label, (label,)) for label in labels]


class IconSet:
    """One vendor's pictures, found by code point where the set has a table and by name elsewhere."""

    def __init__(self, path: Path, tables: dict[str, dict[str, str]], drawn: int = 2 * SPRITE_SIZE) -> None:
        self.drawn = drawn
        self.webp = read_members(path, r"assets/.*\.webp")
        icons = read_members(path, r"(icons|chars)\.json")
        self.icons: dict[str, Any] = json.loads(icons["icons.json"]) if icons else {"icons": {}}
        own = json.loads(icons["chars.json"]) if "chars.json" in icons else {}
        self.tables = [own, *tables.values()]
        self.by_name = {plain(name): name for name in self.icons["icons"]}

    def pictures(self, concept: Concept) -> Iterator[Image.Image]:
        """Yield the picture of a concept, if there is one, drawn at the set's size."""
        codes = (concept.hexcode, concept.hexcode.replace("-fe0f", "")) if concept.hexcode else ()
        for code in codes:
            if blob := self.webp.get(f"assets/{code}.webp"):
                yield Image.open(io.BytesIO(blob)).convert("RGBA")
                return
        known = [table[code] for table in self.tables for code in codes if code in table]
        for name in (*known, *concept.aliases):
            if key := self.by_name.get(plain(name)):
                yield self.render(self.icons["icons"][key])
                return

    def render(self, icon: dict[str, Any]) -> Image.Image:
        """Draw one icon of an Iconify set."""
        import resvg_py  # only the data build needs it

        width = icon.get("width", self.icons.get("width", 16))
        height = icon.get("height", self.icons.get("height", 16))
        svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">{icon["body"]}</svg>'
        png = resvg_py.svg_to_bytes(svg_string=svg, width=self.drawn, height=self.drawn, dpi=96)
        return Image.open(io.BytesIO(bytes(png))).convert("RGBA")


class NamedIcons(IconSet):
    """A set that knows nothing of code points: its names have to be what we call things."""

    def __init__(self, path: Path, package: dict[str, str], titles: Titles) -> None:
        super().__init__(path, {})
        if disc := package.get("backdrop"):  # a pattern of the path that lies behind every picture
            for icon in self.icons["icons"].values():
                icon["body"] = re.sub(f'<path [^>]*d="{disc}"/>', "", icon["body"])
        self.found: dict[str, list[str]] = {}
        refused, names = refusals(), self.icons["icons"].keys()
        for name in sorted(name for name in names if f"{name}-fill" not in names):  # the others are outlines
            refuse = any(PurePath(package["vendor"], name).match(pattern) for pattern in refused)
            if not refuse and (named := titles.find(name)):
                self.found.setdefault(named[0], []).append(name)

    def pictures(self, concept: Concept) -> Iterator[Image.Image]:
        """Yield the pictures of a concept."""
        yield from (self.render(self.icons["icons"][name]) for name in self.found.get(concept.label, ()))


def fit(picture: Image.Image, side: int = SPRITE_SIZE) -> Image.Image | None:
    """Crop an icon to what it shows and centre it in a sprite; None for an empty one."""
    box = picture.getchannel("A").point([0] * 9 + [255] * 247).getbbox()
    if box is None:
        return None
    cropped = picture.crop(box)
    scale = side * (1 - 2 * MARGIN / SPRITE_SIZE) / max(cropped.size)
    width, height = (max(1, round(side * scale)) for side in cropped.size)
    cropped = cropped.resize((width, height), Image.Resampling.LANCZOS)
    sprite = Image.new("RGBA", (side, side))
    sprite.paste(cropped, ((side - width) // 2, (side - height) // 2))
    return sprite


Source = IconSet | ClipArt | ShapeSet


def sources(packages: list[dict[str, str]], titles: Titles, cache: Path) -> Iterator[Source]:
    """Open every vendor's pictures in turn."""
    tables = {}
    for package in packages:
        path = fetch(package, cache)
        if path.suffix == ".tgz" and (members := read_members(path, r"chars\.json")):
            tables[package["vendor"]] = json.loads(members["chars.json"])
    for package in packages:
        path = fetch(package, cache)
        if path.suffix == ".deb":
            yield ClipArt(path, titles)
        elif package.get("found") == "by shape":
            yield ShapeSet(json.loads(read_members(path, r"icons\.json")["icons.json"]))
        else:
            yield NamedIcons(path, package, titles) if package.get("found") == "by name" else IconSet(path, tables)


def sprites(source: Source, concepts: list[Concept]) -> Iterator[tuple[int, bytes]]:
    """Yield concept and WebP bytes of every picture that a vendor has."""
    for index, concept in enumerate(concepts):
        for picture in source.pictures(concept):
            if (sprite := fit(picture)) is not None:
                buffer = io.BytesIO()
                sprite.save(buffer, "WEBP", quality=90, method=4, exact=False)
                yield index, buffer.getvalue()


def build(out: Path, cache: Path, unseen: bool = False) -> str:
    """Write the packed file, of our things or of things `unseen` in training, and return its sha256."""
    packages = read_lock()
    paths = {package["vendor"]: fetch(package, cache) for package in packages}
    names = Names(paths["emojibase"], paths["emojilib"])
    known = read_concepts(names)
    others = unseen_concepts(names, known)
    titles = Titles({concept.label: concept.names for concept in [*known, *others]})
    concepts = others if unseen else known
    vendors = [package for package in packages if package["role"] != "names"]
    found = [
        (concept, vendor, blob)
        for vendor, source in enumerate(sources(vendors, titles, cache))
        for concept, blob in sprites(source, concepts)
    ]
    return pack(out, concepts, vendors, found)


def pack(out: Path, concepts: list[Concept], vendors: list[dict[str, str]], found: list[tuple[int, int, bytes]]) -> str:
    """Write pictures as (concept, vendor, WebP bytes) with what they show and who drew them; return the sha256."""
    table = {
        "concepts": [{"label": c.label, "names": c.names, "keywords": c.keywords, "emoji": c.emoji} for c in concepts],
        "vendors": [{k: p[k] for k in ("vendor", "licence", "role")} for p in vendors],
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("wb") as handle:
        np.savez(
            handle,
            table=np.frombuffer(json.dumps(table, sort_keys=True).encode(), np.uint8),
            concept=np.array([concept for concept, _, _ in found], np.int32),
            vendor=np.array([vendor for _, vendor, _ in found], np.int32),
            end=np.cumsum([len(blob) for _, _, blob in found]),
            blobs=np.frombuffer(b"".join(blob for _, _, blob in found), np.uint8),
        )
    return hashlib.sha256(out.read_bytes()).hexdigest()


def main() -> None:
    """Build the packed file from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path("cache/packages"))
    parser.add_argument("--unseen", action="store_true", help="instead: things that training never sees")
    arguments = parser.parse_args()
    digest = build(arguments.out, arguments.cache, arguments.unseen)
    print(f"{arguments.out}: {arguments.out.stat().st_size / 2**20:.1f} MiB, sha256 {digest}")


if __name__ == "__main__":
    main()
