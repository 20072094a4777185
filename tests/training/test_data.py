"""The data build: the same bytes twice, and no package whose hash is not the lock's."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from training import data
from training.clipart import Titles
from training.scenes import SpriteBank


def tarball(path: Path, files: dict[str, bytes]) -> str:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    icon = io.BytesIO()
    Image.new("RGBA", (40, 20), "red").save(icon, "WEBP", lossless=True)
    rows = [
        {"label": "red apple", "hexcode": "1F34E", "emoji": "🍎", "tags": ["fruit"], "group": 4},
        {"label": "red fruit", "hexcode": "1F352", "emoji": "🍒", "group": 4},
        {"label": "green fruit", "hexcode": "1F350", "emoji": "🍐", "group": 4},  # "green" is a word we lack
        {"label": "apple fruit", "hexcode": "1F934", "emoji": "🤴", "group": 1},  # people
    ]
    contents = {
        "emojibase": {"en/data.json": json.dumps(rows).encode(), "en/shortcodes/emojibase.json": b'{"1F34E": "apple"}'},
        "emojilib": {"dist/emoji-en-US.json": json.dumps({"🍎": ["red_apple", "fruit"]}).encode()},
        "fluent-3d": {f"assets/{row['hexcode'].lower()}.webp": icon.getvalue() for row in rows},
    }
    packages = []
    for vendor, files in contents.items():
        role = "train" if vendor == "fluent-3d" else "names"
        digest = tarball(tmp_path / f"pack-1.{vendor}.tgz", files)
        url = "https://nowhere.invalid/pack-1.tgz"
        packages.append({"vendor": vendor, "role": role, "licence": "MIT", "url": url, "sha256": digest})
    lock, concepts = tmp_path / "lock.json", tmp_path / "concepts.txt"
    lock.write_text(json.dumps({"packages": packages}))
    concepts.write_text("# comment\nred apple: red apple, apple\n")
    monkeypatch.setattr(data, "LOCK", lock)
    monkeypatch.setattr(data, "CONCEPTS", concepts)
    monkeypatch.setattr(data, "read_shapes", list)
    return tmp_path


def test_the_build_repeats_itself(cache: Path) -> None:
    first = data.build(cache / "one.npz", cache)
    assert first == data.build(cache / "two.npz", cache)
    bank = SpriteBank.read(cache / "one.npz")
    assert bank.names() == [["red apple", "apple"]]
    # Cropped, centred, and scaled to the margin on its longer side.
    alpha = bank.pixels[0, 3] > 128
    assert alpha.any(1).sum() == pytest.approx(60, abs=2)
    assert alpha.any(0).sum() == pytest.approx(120, abs=2)


def test_unseen_things_are_others_in_known_words(cache: Path) -> None:
    assert data.build(cache / "one.npz", cache, unseen=True) == data.build(cache / "two.npz", cache, unseen=True)
    assert SpriteBank.read(cache / "one.npz").names() == [["red fruit"]]


def test_sets_without_code_points_are_found_by_name(tmp_path: Path) -> None:
    disc, thing = '<path fill="#00f" d="M0 0h9v9h-9z"/>', '<path fill="#0a0" d="M2 2h2v4z"/>'
    names = ("apple", "apple-fill", "green-apple", "apple-tree", "pear")
    icons = {"icons": {name: {"body": disc + thing} for name in names}, "width": 9, "height": 9}
    path = tmp_path / "pack-1.set.tgz"
    tarball(path, {"icons.json": json.dumps(icons).encode()})
    package = {"vendor": "set", "backdrop": "M0 0h9v9h-9z"}
    found = data.NamedIcons(path, package, Titles({"red apple": ("red apple", "apple")}))
    apple = data.Concept("red apple", ("apple",), "1f34e", (), ())
    # The outline gives way to the filled one, and a tree is no apple.
    assert found.found == {"red apple": ["apple-fill", "green-apple"]}
    for picture in found.pictures(apple):
        assert picture.getpixel((80, 90)) == (0, 170, 0, 255)
        assert picture.getpixel((250, 5)) == (0, 0, 0, 0)


def test_a_package_with_another_hash_is_refused(cache: Path) -> None:
    (cache / "pack-1.fluent-3d.tgz").write_bytes(b"something else")
    with pytest.raises(ValueError, match="the lock says"):
        data.build(cache / "one.npz", cache)


def test_the_real_lock_names_every_set_with_its_licence() -> None:
    attribution = (data.HERE.parent / "models" / "ATTRIBUTION.md").read_text()
    for package in data.read_lock():
        assert len(package["sha256"]) == 64
        assert f"{package['name']} {package['version']}" in attribution
