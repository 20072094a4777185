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

from bot.full_disk import FULL_DISK, is_full_disk
from bot.queue.backup import BackupError, backup
from bot.queue.files import StorageError
from bot.queue.films import film
from bot.queue.ledger import Ledger
from bot.queue.retention import prune
from bot.worker.events import Checkpointed, Failed, Rendered
from engine.catalog import Model, ModelMissingError, RemoteFile, fetch
from engine.checkpoints import converted
from tests.bot.conftest import make_job, row
from tests.end_to_end.test_disk import fill, small_disk

pytestmark = pytest.mark.skipif(not os.access("/dev/full", os.W_OK), reason="needs /dev/full")


def fill_disk_at(path: Path) -> Path:
    """Let what is written beside `path` meet a full disk; return what to remove to make room."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    part.symlink_to("/dev/full")
    return part


async def test_at_the_latent(open_queue, files, ask):
    folder = files.folder / "latents"
    folder.rmdir()
    with small_disk(folder, 64):
        queue, audience = await open_queue()
        fill(folder)
        job = await queue.submit(ask())
        assert await audience.wait(job.id, Failed) == Failed(job.id, FULL_DISK)
        assert not list(folder.glob("*.part"))
        assert not files.result_path(job).exists()
        (folder / "stuffing").unlink()
        again = await queue.submit(ask())
        assert (await audience.wait(again.id, Rendered)).picture.is_file()
        await queue.close()


async def test_at_the_picture(open_queue, files, ask):
    queue, audience = await open_queue()
    await queue.change_guild(5, paused=True)
    job = await queue.submit(ask())
    fill_disk_at(files.result_path(job))
    await queue.change_guild(5, paused=False)
    assert await audience.wait(job.id, Failed) == Failed(job.id, FULL_DISK)
    assert not files.result_path(job).exists()


async def test_on_the_way_it_costs_checkpoint_and_frames_but_not_the_picture(open_queue, settings, files, ask, caplog):
    often = settings.worker.model_copy(update={"checkpoint_seconds": 1e-9})
    queue, audience = await open_queue(settings.model_copy(update={"worker": often}))
    await queue.change_guild(5, paused=True)
    job = await queue.submit(ask())
    fill_disk_at(files.checkpoint_path(job.id))
    files.frame_path(job.id, 1).parent.mkdir(parents=True)
    files.frame_path(job.id, 1).symlink_to("/dev/full")
    await queue.change_guild(5, paused=False)
    assert (await audience.wait(job.id, Rendered)).picture.is_file()
    assert "could not be checkpointed" in caplog.text
    assert caplog.text.count("no more are tried") == 1
    assert len(audience.of(job.id, Checkpointed)) == 5  # of 6: the link to the full disk goes with the first failure


def test_at_an_upload(files):
    kept = files.folder / files.save_input(b"a picture", ".png")
    kept.unlink()
    fill_disk_at(kept)
    with pytest.raises(StorageError, match="disk of the bot is full"):
        files.save_input(b"a picture", ".png")
    assert not kept.exists()
    assert (files.folder / files.save_input(b"a picture", ".png")).read_bytes() == b"a picture"


async def test_at_a_film(open_queue, files, settings, ask):
    queue, audience = await open_queue()
    parent = await queue.submit(ask())
    await audience.wait(parent.id, Rendered)
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
        status_code, history, url = 200, (), "https://example.com/tiny.ckpt"
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


async def test_old_jobs_without_a_picture_are_deleted(open_queue, ask, settings):
    queue, audience = await open_queue()
    old, shown = await queue.submit(ask()), await queue.submit(ask())
    for job in (old, shown):
        await audience.wait(job.id, Rendered)
        await queue.mark_delivered(job.id)
    await queue.ledger.database.write("UPDATE jobs SET delivered_at = 5")
    queue.files.delete(old)
    await prune(queue.ledger, queue.files, settings.storage)
    assert await queue.ledger.job(old.id) is None
    assert (await row(queue.ledger, shown.id)).delivered_at == 5
