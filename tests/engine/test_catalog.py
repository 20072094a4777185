"""Fetching, against a real server on this machine that misbehaves in the ways servers do."""

import errno
import hashlib
import io
import itertools
import os
import re
import subprocess
import sys
import threading
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests
import torch
from rich.console import Console

from engine import catalog
from engine.catalog import (
    Model,
    ModelMissingError,
    RemoteFile,
    UnknownModelError,
    catalogue,
    fetch,
    find,
    is_whole,
    verify,
)

PAYLOAD = bytes(range(256)) * 4000  # about a megabyte
HASH = hashlib.sha256(PAYLOAD).hexdigest()
PAGE = b"<!DOCTYPE html><html><body>This link has expired.</body></html>"


@dataclass
class Server:
    """What the server sends for each path, and what it was asked."""

    address: str = ""
    payload: bytes = PAYLOAD
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    """Path and range of each request."""
    broken: int = 0
    """How many of the next requests break off half way."""


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            wanted = self.headers.get("Range")
            state.asked.append((self.path, wanted))
            if self.path == "/gone":
                return self.send_error(404)
            if self.path == "/page":
                return self._send(200, PAGE, "text/html; charset=utf-8")
            if self.path == "/page-in-disguise":
                return self._send(200, PAGE, "application/octet-stream")
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.path != "/no-ranges" else 0
            if start > len(state.payload):
                return self.send_error(416)
            return self._send(206 if start else 200, state.payload[start:], "application/octet-stream")

        def _send(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Type", kind)
            self.end_headers()
            if state.broken:
                state.broken -= 1
                self.wfile.write(body[: len(body) // 2])
                self.wfile.flush()
                self.connection.close()
                self.close_connection = True
                return
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.address = f"http://127.0.0.1:{http.server_port}"
    threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
    yield state
    http.shutdown()
    http.server_close()


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch):
    monkeypatch.setattr(catalog, "_PAUSE", 0.0)
    monkeypatch.setattr(catalog, "_PIECE", 2**14)


def _model(server: Server, *paths: str, sha256: str | None = HASH, size: int | None = len(PAYLOAD)) -> Model:
    file = RemoteFile("tiny.ckpt", tuple(server.address + path for path in paths), sha256, size)
    return Model("tiny", "generator", "MIT", "here", (file,))


def test_a_file_is_fetched_once(server, tmp_path):
    model = _model(server, "/file")
    assert not model.is_in(tmp_path)
    fetch(model, tmp_path / "new")
    fetch(model, tmp_path / "new")
    assert (tmp_path / "new" / "tiny.ckpt").read_bytes() == PAYLOAD
    assert model.is_in(tmp_path / "new")
    assert server.asked == [("/file", None)]


@pytest.mark.parametrize(
    "content", [PAYLOAD[:1000], PAGE, b"", PAYLOAD[:-1] + b"?"], ids=["cut", "page", "empty", "altered"]
)
def test_a_wrong_file_that_is_there_is_replaced(server, tmp_path, content):
    (tmp_path / "tiny.ckpt").write_bytes(content)
    fetch(_model(server, "/file"), tmp_path)
    assert (tmp_path / "tiny.ckpt").read_bytes() == PAYLOAD


@pytest.mark.parametrize("first", ["/gone", "/page", "/page-in-disguise"])
def test_the_next_mirror_is_tried(server, tmp_path, first):
    fetch(_model(server, first, "/file"), tmp_path)
    assert (tmp_path / "tiny.ckpt").read_bytes() == PAYLOAD
    assert [path for path, _ in server.asked] == [first, "/file"]


def test_a_mirror_that_cannot_be_reached_is_passed_over(server, tmp_path):
    model = _model(server, "/file")
    dead = RemoteFile("tiny.ckpt", ("http://127.0.0.1:1/file", *model.files[0].urls), HASH, len(PAYLOAD))
    fetch(Model("tiny", "generator", "MIT", "here", (dead,)), tmp_path)
    assert (tmp_path / "tiny.ckpt").read_bytes() == PAYLOAD


def test_a_broken_connection_is_resumed(server, tmp_path):
    server.broken = 2
    fetch(_model(server, "/file"), tmp_path)
    assert (tmp_path / "tiny.ckpt").read_bytes() == PAYLOAD
    starts = [int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0 for _, asked in server.asked]
    assert len(starts) == 3
    assert 0 == starts[0] < starts[1] < starts[2]


def test_a_server_without_ranges_is_asked_anew(server, tmp_path):
    server.broken = 1
    fetch(_model(server, "/no-ranges"), tmp_path)
    assert (tmp_path / "tiny.ckpt").read_bytes() == PAYLOAD


def test_a_later_run_goes_on_where_one_gave_up(server, tmp_path):
    model = _model(server, "/file")
    server.broken = 4
    with pytest.raises(ModelMissingError):
        fetch(model, tmp_path)
    server.asked.clear()
    fetch(model, tmp_path)
    assert (tmp_path / "tiny.ckpt").read_bytes() == PAYLOAD
    assert server.asked[0][1] is not None
    assert not list(tmp_path.glob("*.part"))


def test_without_a_connection_one_sentence_says_what_to_do(tmp_path):
    url = "http://127.0.0.1:1/file"
    model = Model("tiny", "generator", "MIT", "here", (RemoteFile("tiny.ckpt", (url,), HASH),))
    with pytest.raises(ModelMissingError) as error:
        fetch(model, tmp_path)
    assert re.fullmatch(r"[^\n]+\.", str(error.value))
    assert url in str(error.value)
    assert str(tmp_path) in str(error.value)
    assert not (tmp_path / "tiny.ckpt").exists()


def test_without_a_connection_every_file_that_is_needed_is_named(tmp_path):
    url = "http://127.0.0.1:1"
    files = (RemoteFile("a.ckpt", (f"{url}/last.ckpt",), HASH), RemoteFile("a.yaml", (f"{url}/model.yaml",), HASH))
    with pytest.raises(ModelMissingError) as error:
        fetch(Model("a", "generator", "MIT", "here", files), tmp_path)
    assert f"{url}/last.ckpt as a.ckpt and {url}/model.yaml as a.yaml" in str(error.value)


def test_another_file_than_listed_is_never_kept(server, tmp_path):
    with pytest.raises(ModelMissingError, match="tiny"):
        fetch(_model(server, "/file", sha256="0" * 64), tmp_path)
    assert not (tmp_path / "tiny.ckpt").exists()


def _archive(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("data", content)
    return buffer.getvalue()


def test_an_unknown_hash_is_trusted_once_and_recorded(server, tmp_path):
    server.payload = _archive(b"first")
    model = _model(server, "/file", sha256=None, size=None)
    fetch(model, tmp_path)
    record = (tmp_path / "tiny.ckpt.sha256").read_text()
    assert record == f"{hashlib.sha256(server.payload).hexdigest()}  tiny.ckpt\n"

    genuine, server.payload = server.payload, _archive(b"other")
    (tmp_path / "tiny.ckpt").write_bytes(server.payload)
    assert not is_whole(model.files[0], tmp_path / "tiny.ckpt")
    with pytest.raises(ModelMissingError):
        fetch(model, tmp_path)
    server.payload = genuine
    fetch(model, tmp_path)
    assert (tmp_path / "tiny.ckpt").read_bytes() == genuine


def test_torchs_old_format_is_known_too(server, tmp_path):
    buffer = io.BytesIO()
    torch.save({"state_dict": {}}, buffer, _use_new_zipfile_serialization=False)
    server.payload = buffer.getvalue()
    fetch(_model(server, "/file", sha256=None, size=None), tmp_path)
    assert (tmp_path / "tiny.ckpt").read_bytes() == server.payload


def test_what_was_converted_is_not_fetched_again(server, tmp_path):
    model = _model(server, "/file")
    model.converted(tmp_path).write_bytes(b"tensors")
    fetch(model, tmp_path)
    assert server.asked == []
    (tmp_path / "tiny.ckpt").write_bytes(PAGE)
    fetch(model, tmp_path)
    assert (tmp_path / "tiny.ckpt").read_bytes() == PAYLOAD


@pytest.mark.parametrize("path", ["/page", "/page-in-disguise"])
def test_a_page_is_not_trusted_even_once(server, tmp_path, path):
    (tmp_path / "tiny.ckpt").write_bytes(_archive(b"x" * 1000)[:500])
    with pytest.raises(ModelMissingError):
        fetch(_model(server, path, sha256=None, size=None), tmp_path)
    assert not (tmp_path / "tiny.ckpt").exists()
    assert not (tmp_path / "tiny.ckpt.sha256").exists()


def test_two_processes_at_once_download_once(server, tmp_path):
    program = f"""
from pathlib import Path
from engine.catalog import Model, RemoteFile, fetch
file = RemoteFile("tiny.ckpt", ("{server.address}/file",), "{HASH}", {len(PAYLOAD)})
fetch(Model("tiny", "generator", "MIT", "here", (file,)), Path({str(tmp_path)!r}))
"""
    root = Path(__file__).resolve().parents[2]
    both = [subprocess.Popen([sys.executable, "-c", program], cwd=root) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    assert (tmp_path / "tiny.ckpt").read_bytes() == PAYLOAD
    assert server.asked == [("/file", None)]


def test_progress_is_shown_where_asked_for(server, tmp_path):
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    fetch(_model(server, "/file"), tmp_path, console)
    assert "tiny.ckpt" in console.file.getvalue()  # type: ignore[attr-defined]


def test_the_catalogue_is_complete():
    generators = [model.name for model in catalogue().values() if model.kind == "generator"]
    assert generators == [
        "imagenet-16384", "imagenet-1024", "wikiart-16384", "coco", "faceshq", "sflckr", "openimages-8192",
    ]  # fmt: skip
    assert sum(model.kind == "perceptor" for model in catalogue().values()) == 15
    names = [file.name for model in catalogue().values() for file in model.files]
    assert len(set(names)) == len(names)
    for model in catalogue().values():
        assert model.licence
        assert model.source.startswith("https://")
        for file in model.files:
            assert all(url.startswith("https://") for url in file.urls)
            assert file.urls
            assert file.sha256 is None or re.fullmatch("[0-9a-f]{64}", file.sha256)


def test_openais_addresses_carry_their_hashes():
    for model in catalogue().values():
        if model.kind == "perceptor" and "openai" in model.files[0].urls[0]:
            assert f"/{model.files[0].sha256}/" in model.files[0].urls[0]


def test_an_unknown_name_is_answered_with_those_there_are():
    with pytest.raises(UnknownModelError, match=r"^There is no perceptor 'ViT-B/64'; there are embedded, ViT-B/32, "):
        find("ViT-B/64", "perceptor")
    assert find("ViT-L/14@336px").bytes == 934088680


def test_more_bytes_than_the_file_has_are_not_written(server, tmp_path):
    server.payload = PAYLOAD * 3
    with pytest.raises(ModelMissingError, match="sends more than"):
        fetch(_model(server, "/file"), tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".lock"] == []


def test_https_that_leads_to_http_is_refused(tmp_path, monkeypatch):
    class Answer:
        status_code, headers, url = 200, {"Content-Length": "3"}, "http://example.com/file"
        history = (SimpleNamespace(url="https://example.com/file"),)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def raise_for_status(self):
            pass

        def iter_content(self, size):
            pytest.fail("was read")

    monkeypatch.setattr(catalog.requests, "get", lambda *_, **__: Answer())
    file = RemoteFile("tiny.ckpt", ("https://example.com/file",), HASH, len(PAYLOAD))
    with pytest.raises(ModelMissingError, match="anybody could alter"):
        fetch(Model("tiny", "generator", "MIT", "here", (file,)), tmp_path)


def test_files_placed_by_hand_are_held_to_their_hash_once(server, tmp_path, monkeypatch):
    model, path = _model(server, "/file"), tmp_path / "tiny.ckpt"
    read, hashed = [], catalog.pooch.file_hash
    monkeypatch.setattr(catalog.pooch, "file_hash", lambda name: read.append(name) or hashed(name))
    path.write_bytes(PAYLOAD[:-1] + b"?")
    with pytest.raises(ModelMissingError, match="not the published file"):
        verify(model, tmp_path)
    path.write_bytes(PAYLOAD)
    for _ in range(3):
        verify(model, tmp_path)
    assert len(read) == 2
    os.utime(path, (1, 1))
    verify(model, tmp_path)
    assert len(read) == 3
    assert server.asked == []


OLD = io.BytesIO()
torch.save({}, OLD, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize(
    ("name", "content", "whole"),
    [
        ("a.safetensors", (7).to_bytes(8, "little") + b"{}      ", True),
        ("a.safetensors", (16).to_bytes(8, "little") + b"{}      ", False),  # a header that ends beyond the file
        ("a.safetensors", (7).to_bytes(8, "little") + b"[]      ", False),
        ("a.safetensors", PAGE, False),
        ("a.safetensors", b"", False),
        ("a.yaml", b"model: {}", True),
        ("a.yaml", PAGE, False),
        ("a.yaml", b"- a list", False),
        ("a.yaml", b"model: [", False),
        ("a.yaml", b"\xff\xfe", False),
        ("a.ckpt", _archive(b"tensors"), True),
        ("a.ckpt", _archive(b"tensors")[:40], False),
        ("a.ckpt", OLD.getvalue(), True),
        ("a.ckpt", PAGE, False),
        ("a.ckpt", None, False),
    ],
    ids=itertools.count(),  # an archive holds the time
)
def test_a_file_whose_hash_nobody_knows_is_known_by_its_form(tmp_path, name, content, whole):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    assert is_whole(RemoteFile(name, ("https://example.org/a",)), path) is whole


@pytest.mark.parametrize(("size", "whole"), [(None, True), (len(PAYLOAD), True), (len(PAYLOAD) - 1, False)])
def test_a_file_whose_hash_is_known_is_known_by_it_and_its_size(tmp_path, size, whole):
    (tmp_path / "a.ckpt").write_bytes(PAYLOAD)
    assert is_whole(RemoteFile("a.ckpt", (), HASH, size), tmp_path / "a.ckpt") is whole
    assert not is_whole(RemoteFile("a.ckpt", (), "0" * 64, size), tmp_path / "a.ckpt")


def two_files(*sizes):
    files = tuple(
        RemoteFile(name, (f"https://example.org/{name}",), None, size)
        for name, size in zip(("a.yaml", "b.ckpt"), sizes, strict=True)
    )
    return Model("tiny", "generator", "MIT", "here", files)


def test_a_model_is_there_with_all_of_its_files_or_with_what_was_made_of_them(tmp_path):
    model = two_files(1, 2)
    assert model.bytes == 3
    assert two_files(1, None).bytes is None
    (tmp_path / "a.yaml").write_text("model: {}")
    assert not model.is_in(tmp_path)
    assert str(catalog.missing(model, tmp_path)) == (
        "The model 'tiny' is not on this machine: run `models fetch tiny`, "
        f"or put https://example.org/b.ckpt as b.ckpt into {tmp_path}."
    )
    (tmp_path / "b.ckpt").write_bytes(_archive(b"tensors"))
    assert model.is_in(tmp_path)
    for path in list(tmp_path.iterdir()):
        path.unlink()
    (tmp_path / "b.safetensors").touch()
    assert model.is_in(tmp_path)
    published = Model("laion", "perceptor", "MIT", "here", (RemoteFile("c.safetensors", ()),))
    assert published.converted(tmp_path) == tmp_path / "c.read.safetensors"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (requests.ConnectionError("Max retries"), "the server cannot be reached"),
        (requests.Timeout("of 60 s"), "the server cannot be reached"),
        (OSError(errno.ENOSPC, "No space"), "the disk is full"),
        (OSError(errno.EDQUOT, "Quota"), "the disk is full"),
        (OSError(errno.EACCES, "Denied"), "[Errno 13] Denied"),
        (ValueError("Another hash.\nExpected: 1"), "Another hash"),
    ],
)
def test_why_nothing_came_is_said_in_a_few_words(tmp_path, monkeypatch, error, reason):
    def fails(*_):
        raise error

    monkeypatch.setattr(catalog, "_retrieve", fails)
    with pytest.raises(ModelMissingError, match=re.escape(f"could not be fetched ({reason}): ")):
        fetch(two_files(None, None), tmp_path)


def test_after_each_break_it_waits_twice_as_long_and_the_bar_counts_every_byte_once(server, tmp_path, monkeypatch):
    waits, bars, bar = [], [], catalog._progress_bar
    monkeypatch.setattr(catalog, "_PAUSE", 1.0)
    monkeypatch.setattr(catalog, "time", SimpleNamespace(sleep=waits.append))
    monkeypatch.setattr(catalog, "_progress_bar", lambda console: bars.append(bar(console)) or bars[-1])
    server.broken = 3
    fetch(_model(server, "/file"), tmp_path)
    assert waits == [1, 2, 4]
    (task,) = bars[0].tasks
    assert (task.completed, task.total) == (len(PAYLOAD), len(PAYLOAD))


def test_a_longer_beginning_than_the_file_has_is_thrown_away(server, tmp_path):
    part = f"tiny.ckpt.{zlib.crc32(f'{server.address}/file'.encode()):08x}.part"
    (tmp_path / part).write_bytes(PAYLOAD + b"more")
    fetch(_model(server, "/file"), tmp_path)
    assert (tmp_path / "tiny.ckpt").read_bytes() == PAYLOAD
    assert [asked for _, asked in server.asked] == [f"bytes={len(PAYLOAD) + 4}-", None]
