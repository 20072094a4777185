"""Clip art: only what is in the public domain, shows the thing that its title names, and makes a sprite."""

import io
import tarfile
from pathlib import Path

import pytest

from training.clipart import MOST, ClipArt, Titles

TITLES = Titles({"dog face": ("dog", "puppy"), "house": ("house", "home"), "baseball": ("baseball",), "bat": ("bat",)})
PUBLIC = "http://web.resource.org/cc/PublicDomain"
BALL = '<circle cx="50" cy="50" r="{}" fill="#c33"/>'


def svg(title: str, body: str = BALL.format(30), licence: str = PUBLIC, keywords: tuple[str, ...] = ()) -> str:
    tags = "".join(f"<rdf:li>{keyword}</rdf:li>" for keyword in keywords)
    return f"""<svg xmlns="http://www.w3.org/2000/svg" width="100" height="100"><metadata>
        <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:dc="http://purl.org/dc/elements/1.1/"
        xmlns="http://web.resource.org/cc/"><Work><dc:title>{title}</dc:title><dc:creator><Agent><dc:title>house
        </dc:title></Agent></dc:creator><dc:subject><rdf:Bag>{tags}</rdf:Bag></dc:subject>
        <license rdf:resource="{licence}"/></Work></rdf:RDF></metadata>{body}</svg>"""


def debian_package(path: Path, files: dict[str, str]) -> Path:
    def archive(contents: dict[str, str]) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            for name, content in contents.items():
                member = tarfile.TarInfo(f"./usr/share/art/svg/{name}")
                member.size = len(content.encode())
                tar.addfile(member, io.BytesIO(content.encode()))
        return buffer.getvalue()

    parts = {"debian-binary": b"2.0\n", "control.tar.gz": archive({}), "data.tar.gz": archive(files)}
    with path.open("wb") as package:
        package.write(b"!<arch>\n")
        for name, content in parts.items():
            package.write(f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode())
            package.write(content + b"\n" * (len(content) % 2))
    return path


def names(tmp_path: Path, files: dict[str, str], label: str = "dog face") -> list[str]:
    art = ClipArt(debian_package(tmp_path / "art.deb", files), TITLES)
    return [name for name, _ in art.named_pictures(label)]


@pytest.mark.parametrize(
    ("title", "keywords", "label"),
    [
        ("Dog", (), "dog face"),
        ("A small dog 2", (), "dog face"),
        ("puppies", (), "dog face"),
        ("Bulldog Puppy", ("animal", "dogs"), "dog face"),
        ("Bulldog Puppy", ("animal",), None),  # it may be, but nothing says so
        ("dog house", ("dog", "house"), None),
        ("house dog", (), None),
        ("Baseball Bat", ("bat",), None),
        ("cat and dog", ("dog",), None),
        ("hot sausage", ("dog",), None),
        ("", (), None),
    ],
)
def test_a_title_has_to_name_one_thing(title: str, keywords: tuple[str, ...], label: str | None) -> None:
    found = TITLES.find(title, keywords)
    assert (found and found[0]) == label


def test_only_the_public_domain_is_taken(tmp_path: Path) -> None:
    files = {
        "free.svg": svg("dog"),
        "gpl.svg": svg("dog", BALL.format(10), "http://creativecommons.org/licenses/GPL/2.0/"),
        "blank.svg": svg("dog", BALL.format(20), ""),
        "none.svg": svg("dog", BALL.format(25)).replace(f'<license rdf:resource="{PUBLIC}"/>', ""),
        "house.svg": svg("dog house"),
    }
    assert names(tmp_path, files) == ["free"]
    assert names(tmp_path, files, "house") == []


def test_what_makes_no_sprite_is_left_out(tmp_path: Path) -> None:
    files = {
        "good.svg": svg("dog"),
        "same.svg": svg("dog", BALL.format(30.01)),
        "black.svg": svg("dog", '<circle cx="50" cy="50" r="30"/>'),
        "filled.svg": svg("dog", '<rect width="100" height="100" fill="red"/>'),
        "line.svg": svg("dog", '<circle cx="50" cy="50" r="40" fill="none" stroke="red"/>'),
        "empty.svg": svg("dog", ""),
        "text.svg": svg("dog", BALL.format(9) + '<text x="50" y="50">dog</text>'),
        "broken.svg": svg("dog").replace("</svg>", ""),
        "impossible.svg": svg("dog").replace('width="100"', 'width="0"'),
        "flags/flag.svg": svg("dog", BALL.format(5)),
        "smiley_dog.svg": svg("dog", BALL.format(7) + BALL.format(8)),  # refused by name
    }
    assert names(tmp_path, files) == ["good"]


def test_the_surest_come_first_and_small_ones_are_drawn_larger(tmp_path: Path) -> None:
    slices = {f"{n}.svg": svg("dog", f'<path d="M40 40h20l{n}-9z" fill="#f{n}0"/>') for n in range(1, 9)}
    files = {"0_old.svg": svg("old dog", BALL.format(4)), **slices}
    art = ClipArt(debian_package(tmp_path / "art.deb", files), TITLES)
    found = list(art.named_pictures("dog face"))
    assert [name for name, _ in found] == [str(n) for n in range(1, MOST + 1)]
    assert all(max(picture.size) >= 256 for _, picture in found)


def test_files_of_a_collection_are_named_by_their_files(tmp_path: Path) -> None:
    few = {f"{n}_thing.svg": svg(f"dog - {n}") for n in range(12)}
    assert names(tmp_path, few) == ["0_thing"]
    many = {**few, "house.svg": svg("dog - 12")}
    assert names(tmp_path, many) == []
    assert names(tmp_path, many, "house") == ["house"]
