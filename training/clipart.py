"""Clip art with a title and keywords but no code points: which pictures show exactly one of our things.

Right names matter more than many pictures, since a wrong picture teaches the wrong word: a title has to end in a name
of the thing, and what stands before it must not make it something else (a "dog house" is no dog, nor our house).
"""

import io
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from xml.etree import ElementTree as ET

import numpy as np
from PIL import Image

REFUSED = Path(__file__).parent / "refused.txt"
MOST = 6  # pictures of one thing
COLLECTION = 12  # more files than these under one title are a collection: their file names say what they show
LARGEST = 400_000  # bytes of SVG; beyond are tracings of photographs, slow to draw
CANVAS = 512
SMALLEST = 256  # pixels that the longer side of a drawing takes on the canvas; smaller ones are drawn again, larger
DULL = 0.08  # of a drawing has to have some colour; the rest are silhouettes and line art
FOLDERS = ("/flags/", "/map_symbols/", "/roadsigns/", "/special/", "/stars/", "/logos/", "/letters_and_numbers/")
SILENT = {
    *("a", "an", "the", "icon", "clipart", "clip", "art", "cartoon", "simple", "my", "another", "generic", "new"),
    "fill",  # as against the outlines in the same set
}
HARMLESS = {
    *("red", "green", "blue", "yellow", "orange", "purple", "pink", "brown", "black", "white", "grey", "gray"),
    *("big", "small", "little", "old", "happy", "cute", "angry", "crazy", "stylized", "colour", "color", "fancy"),
    *("digital", "soft", "serve", "vanilla", "funny", "departing", "w"),
}
JOINING = {"and", "with", "in", "on", "of", "from", "to", "by", "for", "or", "without", "at", "no", "two", "three"}


@dataclass(frozen=True)
class Drawing:
    """One SVG with what its metadata says."""

    name: str
    title: str
    keywords: tuple[str, ...]
    svg: str


def words(text: str) -> tuple[str, ...]:
    """Return a text's words without digits, separators and words that say nothing."""
    return tuple(word for word in re.findall("[a-z]+", text.lower()) if word not in SILENT)


def plural(name: tuple[str, ...]) -> tuple[str, ...]:
    """Return the regular English plural of a name's last word."""
    *before, last = name
    if re.search("[^aeiou]y$", last):
        return (*before, last[:-1] + "ies")
    return (*before, last + ("es" if re.search("(s|x|ch|sh)$", last) else "s"))


class Titles:
    """Find what a title names: the longest name that it ends in."""

    def __init__(self, things: Mapping[str, Iterable[str]]) -> None:
        self.labels: dict[tuple[str, ...], str] = {}
        singular = [(words(name), label) for label, names in things.items() for name in names]
        for name, label in [*singular, *((plural(name), label) for name, label in singular if name)]:
            if name:
                self.labels.setdefault(name, label)

    def find(self, title: str, keywords: Iterable[str] = ()) -> tuple[str, bool] | None:
        """Return the label of the thing that a title names, and if it says nothing else; None where it is not sure."""
        said = words(title)
        for start in range(len(said)):
            if label := self.labels.get(said[start:]):
                return (label, not start) if self._agrees(said[:start], label, keywords) else None
        return None

    def _agrees(self, before: tuple[str, ...], label: str, keywords: Iterable[str]) -> bool:
        if any(word in JOINING or self.labels.get((word,), label) != label for word in before):
            return False
        return set(before) <= HARMLESS or label in {self.labels.get(words(keyword)) for keyword in keywords}


class Named(Protocol):
    """A thing to be found."""

    @property
    def label(self) -> str:
        """Its Unicode name."""
        ...


class ClipArt:
    """The drawings of a Debian package that show one of our things, the surest first."""

    def __init__(self, package: Path, titles: Titles) -> None:
        found = list(drawings(package))
        shared = Counter(collection(drawing.title) for drawing in found)
        refused = refusals()
        self.found: dict[str, list[tuple[bool, str, str]]] = {}
        for drawing in found:
            path = Path(drawing.name)
            if any(path.match(pattern) for pattern in refused):
                continue
            alone = shared[collection(drawing.title)] <= COLLECTION
            named = titles.find(drawing.title if alone else path.stem.replace("_", " "), drawing.keywords)
            if named:
                label, exact = named
                self.found.setdefault(label, []).append((not exact, path.stem, drawing.svg))

    def pictures(self, concept: Named) -> Iterator[Image.Image]:
        """Yield pictures of a thing, at most MOST, without doubles and those that are no good as sprites."""
        return (picture for _, picture in self.named_pictures(concept.label))

    def named_pictures(self, label: str) -> Iterator[tuple[str, Image.Image]]:
        """Yield them with their files' names, to look them through."""
        seen: list[np.ndarray] = []
        for _, stem, svg in sorted(self.found.get(label, ())):
            picture = draw(svg)
            if picture is None or not usable(picture):
                continue
            small = np.asarray(picture.resize((16, 16)), np.float32)
            if all(np.abs(small - other).mean() > 4 for other in seen):
                seen.append(small)
                yield stem, picture
            if len(seen) == MOST:
                return


def refusals() -> list[str]:
    """Return the patterns of the paths of pictures that were looked at and refused."""
    return [line for line in REFUSED.read_text().split("\n") if line and not line.startswith("#")]


def collection(title: str) -> str:
    """Return what pictures of one collection have in common in their titles."""
    return title.partition(" - ")[0]


def draw(svg: str) -> Image.Image | None:
    """Return a drawing cropped to what it shows, its longer side at least SMALLEST pixels; None where it fails."""
    import resvg_py  # only the data build needs it

    side = CANVAS
    for _ in range(2):
        try:
            png = resvg_py.svg_to_bytes(svg_string=svg, width=side, height=side, dpi=96, skip_system_fonts=True)
        except ValueError:
            return None
        picture = Image.open(io.BytesIO(bytes(png))).convert("RGBA")
        box = picture.getchannel("A").point([0] * 9 + [255] * 247).getbbox()
        if box is None:
            return None
        picture = picture.crop(box)
        if max(picture.size) >= SMALLEST:
            return picture
        side = min(8 * CANVAS, math.ceil(side * SMALLEST * 1.02 / max(picture.size)))
    return None


def usable(picture: Image.Image) -> bool:
    """Return whether a cropped drawing is a thing by itself, in colour: no line art, no filled box, no thin stroke."""
    rgba = np.asarray(picture, np.int16)
    solid = rgba[..., 3] > 128
    share = solid.mean()
    if share < 0.12 or share > 0.97 or min(picture.size) < max(picture.size) / 8:
        return False
    colours = rgba[solid][:, :3]
    return bool((np.ptp(colours, axis=1) > 40).mean() > DULL)


def drawings(package: Path) -> Iterator[Drawing]:
    """Yield the drawings of a Debian package that are in the public domain by their own metadata, by name."""
    from debian.debfile import DebFile  # only the data build needs it

    with DebFile(str(package)) as archive, archive.data.tgz() as files:
        members = [file for file in files if file.isfile() and file.name.endswith(".svg") and file.size <= LARGEST]
        for member in sorted(members, key=lambda file: file.name):
            handle = files.extractfile(member)
            if handle and not any(folder in member.name for folder in FOLDERS):
                drawing = read_drawing(member.name, handle.read())
                if drawing is not None:
                    yield drawing


def read_drawing(name: str, content: bytes) -> Drawing | None:
    """Return a drawing; None where it is not in the public domain, or needs fonts or files that are not in it."""
    try:
        root = ET.fromstring(content)
    except ET.ParseError:
        return None
    tags: dict[str, list[ET.Element]] = {}
    for element in root.iter():
        tags.setdefault(str(element.tag).rsplit("}", 1)[-1], []).append(element)
    if tags.keys() & {"text", "flowRoot", "image"} or not public_domain(tags.get("license", [])):
        return None
    title = "".join(next((work.itertext() for work in tags.get("title", [])), ()))
    keywords = tuple(element.text or "" for element in tags.get("li", []))
    return Drawing(name, title, keywords, ET.tostring(root, "unicode"))


def public_domain(licences: list[ET.Element]) -> bool:
    """Return whether every licence that is named is the public domain, and there is one."""
    named = [value for element in licences for key, value in element.attrib.items() if key.endswith("resource")]
    return bool(named) and all(re.sub("[^a-z]", "", value.lower()).endswith("publicdomain") for value in named)
