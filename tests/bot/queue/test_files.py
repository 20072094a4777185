"""The data folder: whole files, relative paths, and a retention that never takes what is needed."""

import errno
import os
import time
from pathlib import Path

import pytest

from bot.queue.files import Files, GoneError, Needed, StorageError, write_whole
from engine.prompts import Prompt
from tests.bot.conftest import make_job

DAY = 86400.0


def put(path, days_old=0.0, size=100):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    then = time.time() - days_old * DAY
    os.utime(path, (then, then))
    return path


def test_an_upload_is_kept_once_under_a_path_relative_to_the_folder(files):
    first = files.save_input(b"picture", ".png")
    put(files.folder / first, days_old=50)
    assert files.save_input(b"picture", ".png") == first
    assert files.save_input(b"another", ".png") != first
    assert (files.folder / first).stat().st_mtime > time.time() - DAY
    assert len(list((files.folder / "inputs").iterdir())) == 2


def test_the_inputs_of_a_job_are_read_by_the_names_that_its_spec_has_for_them(files, spec):
    picture, other = files.save_input(b"picture", ".png"), files.save_input(b"other", ".png")
    prompts = (*spec.prompts, Prompt(kind="image", content=other))
    assert files.inputs(spec.but(init_image=picture, mask=picture, prompts=prompts)) == {
        picture: b"picture",
        other: b"other",
    }
    assert files.inputs(prompts) == {other: b"other"}
    assert files.inputs(spec) == {}
    (files.folder / picture).unlink()
    with pytest.raises(GoneError, match="send the picture again"):
        files.inputs(spec.but(init_image=picture))


def test_what_is_gone_says_so(files, ask):
    job = make_job(ask())
    assert files.picture(job) is None
    for wanted in (files.picture_of, files.latent_of):
        with pytest.raises(GoneError, match="no longer kept"):
            wanted(job)
    put(files.result_path(job))
    put(files.latent_path(job.id))
    assert files.picture(job) == files.result_path(job)
    assert files.picture_of(job) == "pictures/abcdefgh.png"
    assert files.latent_of(job) == "latents/abcdefgh.safetensors"


def test_forgetting_a_job_leaves_the_others(files, ask):
    job, other = make_job(ask()), make_job(ask(), id="other234")
    for each in (job, other):
        for path in (
            files.result_path(each),
            files.latent_path(each.id),
            files.checkpoint_path(each.id),
            files.frame_path(each.id, 1),
        ):
            put(path)
    files.delete(job)
    left = {path.name for path in files.folder.rglob("*") if path.is_file()}
    assert left == {"other234.png", "other234.safetensors", "other234.pt", "000001.jpg"}
    assert files.frames(job.id) == []


def test_what_is_too_old_goes(files):
    old, young = put(files.folder / "pictures" / "old.png", 31), put(files.folder / "pictures" / "young.png", 29)
    put(files.frame_path("old", 1))
    os.utime(files.folder / "frames" / "old", (0, 0))
    assert files.prune(Needed(), keep_days=30, keep_bytes=1e9) == 2
    assert young.exists()
    assert not old.exists()
    assert not (files.folder / "frames" / "old").exists()


def test_the_oldest_goes_when_there_is_too_much(files):
    paths = [put(files.folder / "pictures" / f"{days}.png", days, size=1000) for days in (5, 4, 3, 2, 1)]
    assert files.prune(Needed(), keep_days=30, keep_bytes=2500) == 3
    assert [path.exists() for path in paths] == [False, False, False, True, True]


def test_nothing_that_an_unfinished_job_needs_goes(files, ask, spec):
    used = files.save_input(b"picture", ".png")
    put(files.folder / used, 99)
    job = make_job(ask(spec=spec.but(init_image=used), parent_id="parent23"))
    kept = [files.checkpoint_path(job.id), files.latent_path("parent23"), files.frame_path("parent23", 1)]
    for path in kept:
        put(path, 99)
    os.utime(files.folder / "frames" / "parent23", (0, 0))
    stranger = put(files.folder / "latents" / "stranger.safetensors", 99)
    assert files.prune(Needed.by([job]), keep_days=1, keep_bytes=0) == 1
    assert all(path.exists() for path in (*kept, files.folder / used))
    assert not stranger.exists()


def test_scraps_of_an_earlier_process_are_cleared(files):
    scrap = put(files.folder / "checkpoints" / "abcdefgh.pt.part")
    files.clear_scraps()
    assert not scrap.exists()


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = put(tmp_path / "file")

    def fail(part):
        part.write_bytes(b"half")
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        write_whole(path, fail)
    assert path.read_bytes() == b"x" * 100
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not os.access("/dev/full", os.W_OK), reason="needs /dev/full")
def test_a_full_disk_is_a_sentence(tmp_path):
    def fill(part):
        with Path("/dev/full").open("wb", buffering=0) as full:
            full.write(b"x")

    with pytest.raises(StorageError, match="disk of the bot is full"):
        write_whole(tmp_path / "file", fill)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "data").write_text("a file")
    with pytest.raises(StorageError, match=r"storage\.folder: .*data"):
        Files(tmp_path / "data").prepare()


def test_room_is_made_by_whoever_has_the_most(files):
    folder = files.folder / "pictures"
    for number in range(6):
        put(folder / f"busy{number}.png", days_old=6 - number, size=1000)
    put(folder / "quiet.png", days_old=20, size=1000)
    owners = {f"busy{number}": 1 for number in range(6)} | {"quiet": 2}
    assert files.prune(Needed(), keep_days=30, keep_bytes=3500, owners=owners) == 4
    assert sorted(path.name for path in folder.iterdir()) == ["busy4.png", "busy5.png", "quiet.png"]


def test_the_folder_is_its_users_alone(files):
    assert files.folder.stat().st_mode & 0o077 == 0


def test_only_inputs_are_deleted_as_inputs(files):
    kept = files.folder / "pictures" / "a.png"
    put(kept)
    path = files.save_input(b"an upload", ".png")
    files.delete_inputs(["pictures/a.png", "../outside", "inputs/../pictures/a.png", "inputs/..", path])
    assert kept.exists()
    assert files.input_paths() == frozenset()


def test_what_is_kept_comes_back_as_it_was(files, ask, spec):
    job = make_job(ask(spec=spec.but(count=2)))
    files.save_checkpoint(job.id, b"a state")
    files.save_checkpoint(job.id, b"a later state")
    assert files.checkpoint(job.id) == b"a later state"
    assert files.save_result(job, [b"one", b"two"], [b"latent one", b"latent two"]) == files.result_path(job)
    assert [path.read_bytes() for path in files.pictures(job)] == [b"one", b"two"]
    assert [(files.folder / files.picture_of(job, index)).read_bytes() for index in (0, 1)] == [b"one", b"two"]
    latents = [(files.folder / files.latent_of(job, index)).read_bytes() for index in (0, 1)]
    assert latents == [b"latent one", b"latent two"]
    assert files.with_pictures() == {job.id}
    files.drop_checkpoint(job)
    assert files.checkpoint(job.id) is None
    files.delete(job)
    assert [path for path in files.folder.rglob("*") if path.is_file()] == []
    assert files.pictures(job) == []


def test_several_pictures_are_there_when_all_are(files, ask, spec):
    job = make_job(ask(spec=spec.but(count=2)))
    files.save_result(job, [b"one", b"two"], [b"", b""])
    files.result_path(job, 1).unlink()
    assert files.pictures(job) == []


def test_age_is_counted_from_the_moment_that_is_said(files):
    path = put(files.folder / "pictures" / "one.png")
    later = time.time() + 29 * DAY
    assert files.prune(Needed(), keep_days=30, keep_bytes=1e9, now=later) == 0
    assert files.prune(Needed(), keep_days=30, keep_bytes=1e9, now=later + 2 * DAY) == 1
    assert not path.exists()


def test_exactly_as_much_as_is_allowed_stays(files):
    for days in (3, 2, 1):
        put(files.folder / "pictures" / f"{days}.png", days, size=1000)
    assert files.prune(Needed(), keep_days=30, keep_bytes=3000) == 0
    assert files.prune(Needed(), keep_days=30, keep_bytes=2999) == 1
