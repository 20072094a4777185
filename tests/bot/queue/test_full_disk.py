"""A disk that is full at one write or another: a sentence, nothing half-written, and all is well when there is room."""

import asyncio
import os
import types
import zlib
from pathlib import Path

import pytest
import requests
import torch
from safetensors import SafetensorError

from bot.queue.backup import BackupError, backup
from bot.queue.files import FULL_DISK, StorageError, is_full_disk
from bot.queue.films import film
from bot.queue.ledger import Ledger
from bot.queue.retention import prune
from bot.worker.events import Failed, Rendered
from bot.worker.runner import Controls, JobRunner
from engine.catalog import Model, ModelMissingError, RemoteFile, fetch
from engine.checkpoints import converted
from engine.models import ModelStore
from tests.bot.conftest import make_job, row
from tests.end_to_end.test_disk import fill, small_disk

pytestmark = pytest.mark.skipif(not os.access("/dev/full", os.W_OK), reason="needs /dev/full")


@pytest.fixture
def runner(settings, files, tiny_models, cpu):
    """An runner and what it tells."""
    models = ModelStore(settings.models.folder, cpu, embedded=tiny_models)
    events = []
    return JobRunner(settings.worker, models, files, events.append), events


def fill_disk_at(path: Path) -> Path:
    """Let what is written beside `path` meet a full disk; return what to remove to make room."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    part.symlink_to("/dev/full")
    return part


def test_at_the_latent(runner, files, ask):
    painter, events = runner
    job = make_job(ask())
    folder = files.latent_path(job.id).parent
    folder.rmdir()
    with small_disk(folder, 64):
        fill(folder)
        painter.paint(job, Controls())
        assert events[-1] == Failed(job.id, FULL_DISK)
        assert not list(folder.glob("*.part"))
    assert not files.result_path(job).exists()
    painter.paint(job, Controls())
    assert isinstance(events[-1], Rendered)


def test_at_an_upload(files):
    kept = files.folder / files.save_input(b"a picture", ".png")
    kept.unlink()
    fill_disk_at(kept)
    with pytest.raises(StorageError, match="disk of the bot is full"):
        files.save_input(b"a picture", ".png")
    assert not kept.exists()
    assert (files.folder / files.save_input(b"a picture", ".png")).read_bytes() == b"a picture"


def test_at_a_film(runner, files, settings, ask):
    painter, events = runner
    parent = make_job(ask())
    painter.paint(parent, Controls())
    assert isinstance(events[-1], Rendered)
    job = make_job(ask(kind="timelapse", parent_id=parent.id), id="filmfilm")
    fill_disk_at(files.result_path(job))
    assert film(job, files, settings) == Failed(job.id, FULL_DISK)
    assert not list((files.folder / "pictures").glob("filmfilm*"))
    assert isinstance(film(job, files, settings), Rendered)


def test_at_the_conversion_of_a_model(tmp_path):
    with small_disk(tmp_path / "models", 64):
        path = tmp_path / "models" / "model.safetensors"
        with pytest.raises(SafetensorError) as caught:
            converted(path, lambda: ({}, {"weight": torch.zeros(100_000)}))
        assert is_full_disk(caught.value)
        assert not path.exists()
        assert converted(path, lambda: ({}, {"weight": torch.ones(2)}))[1]["weight"].tolist() == [1, 1]


def test_at_a_download(tmp_path, monkeypatch):
    class Answer:
        status_code = 200
        headers = types.MappingProxyType({"Content-Length": "100000"})

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def raise_for_status(self):
            return None

        def iter_content(self, size):
            yield b"\x80" * 100_000

    monkeypatch.setattr(requests, "get", lambda *_, **__: Answer())
    address = "http://models.invalid/model.ckpt"
    model = Model("some", "generator", "MIT", "", (RemoteFile("model.ckpt", (address,), sha256="0" * 64),))
    (tmp_path / f"model.ckpt.{zlib.crc32(address.encode()):08x}.part").symlink_to("/dev/full")
    with pytest.raises(ModelMissingError, match="the disk is full"):
        fetch(model, tmp_path)
    assert not (tmp_path / "model.ckpt").exists()


async def test_at_a_backup(files, tmp_path, ask):
    ledger = await Ledger.open(files.ledger)
    await ledger.add(ask())
    await ledger.close()
    (files.folder / "pictures" / "large.png").write_bytes(b"\1" * 2**20)
    with small_disk(tmp_path / "small", 512):
        with pytest.raises(BackupError, match=r"No space left.*nothing was kept"):
            await asyncio.to_thread(backup, files.folder, tmp_path / "small" / "copy")
        assert list((tmp_path / "small").iterdir()) == []


async def test_old_jobs_without_a_picture_are_let_go(open_queue, ask, settings):
    queue, audience = await open_queue()
    old, shown = await queue.submit(ask()), await queue.submit(ask())
    for job in (old, shown):
        await audience.wait(job.id, Rendered)
        await queue.mark_delivered(job.id)
    await queue.ledger._database.write("UPDATE jobs SET delivered_at = 5")
    queue.files.forget(old)
    await prune(queue.ledger, queue.files, settings.storage)
    assert await queue.ledger.job(old.id) is None
    assert (await row(queue.ledger, shown.id)).delivered_at == 5
