from itertools import pairwise
from pathlib import Path

import av
import pytest
from PIL import Image, ImageSequence

from engine import timelapse
from engine.timelapse import write_gif, write_timelapse


def fading(count: int, size: tuple[int, int] = (64, 48)) -> list[Image.Image]:
    return [Image.new("RGB", size, (255 - 255 * i // (count - 1), 0, 255 * i // (count - 1))) for i in range(count)]


def film_of(path: Path) -> tuple[av.VideoStream, list[Image.Image]]:
    with av.open(str(path)) as film:
        return film.streams.video[0], [frame.to_image() for frame in film.decode(video=0)]


def test_frames_come_back_in_order_with_the_ends_held(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_timelapse(fading(10), path, fps=10)
    stream, frames = film_of(path)
    assert (stream.codec_context.name, stream.codec_context.pix_fmt, stream.average_rate) == ("h264", "yuv420p", 10)
    assert len(frames) == 5 + 10 + 20
    reds = [frame.getpixel((32, 24))[0] for frame in frames]  # type: ignore[index]
    assert reds[0] > 240
    assert reds[-1] < 15
    assert all(later <= earlier + 3 for earlier, later in pairwise(reds))
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]


def test_odd_and_mixed_sizes_and_files_become_one_even_film(tmp_path: Path) -> None:
    saved = tmp_path / "frame.jpg"
    fading(2, (32, 24))[0].save(saved)
    write_timelapse([saved, *fading(3, (65, 49))], tmp_path / "a.mp4", fps=10)
    _, frames = film_of(tmp_path / "a.mp4")
    assert {frame.size for frame in frames} == {(64, 48)}


def test_a_film_fits_its_limit_even_when_it_must_shrink(tmp_path: Path) -> None:
    noise = [Image.merge("RGB", [Image.effect_noise((128, 128), 100)] * 3) for _ in range(30)]
    sizes = []
    for limit in (10**6, 60_000, 6_000):
        write_timelapse(noise, tmp_path / "a.mp4", fps=15, limit_bytes=limit)
        assert (tmp_path / "a.mp4").stat().st_size <= limit
        sizes.append(film_of(tmp_path / "a.mp4")[1][0].size[0])
    assert sizes[0] == 128
    assert sizes[-1] < 128


def test_what_cannot_be_filmed_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one frame"):
        write_timelapse([], tmp_path / "a.mp4")
    with pytest.raises(ValueError, match="No film of 3 frames fits"):
        write_timelapse(fading(3), tmp_path / "a.mp4", limit_bytes=100)
    assert list(tmp_path.iterdir()) == []


def gif_of(path: Path) -> tuple[Image.Image, list[Image.Image]]:
    image = Image.open(path)
    return image, [frame.convert("RGB") for frame in ImageSequence.Iterator(image)]


def test_a_gif_repeats_its_frames_in_order(tmp_path: Path) -> None:
    fading(2, (64, 48))[1].save(tmp_path / "last.png")
    write_gif([*fading(4)[:3], tmp_path / "last.png"], tmp_path / "a.gif", fps=8, limit_bytes=10**6)
    image, frames = gif_of(tmp_path / "a.gif")
    assert (image.info["loop"], image.size) == (0, (64, 48))
    assert 120 <= image.info["duration"] <= 130
    reds = [frame.getpixel((32, 24))[0] for frame in frames]  # type: ignore[index]
    assert len(reds) == 4
    assert all(later < earlier for earlier, later in pairwise(reds))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.gif", "last.png"]


def test_a_gif_shrinks_by_a_fifth_until_it_fits(tmp_path: Path) -> None:
    noise = [Image.merge("RGB", [Image.effect_noise((100, 50), 100)] * 3) for _ in range(3)]
    write_gif(noise, tmp_path / "a.gif", fps=8, limit_bytes=10**6)
    whole = (tmp_path / "a.gif").stat().st_size
    write_gif(noise, tmp_path / "a.gif", fps=8, limit_bytes=whole - 1)
    assert Image.open(tmp_path / "a.gif").size == (80, 40)
    assert (tmp_path / "a.gif").stat().st_size < whole
    with pytest.raises(ValueError, match="No GIF of 3 frames fits in 100 bytes"):
        write_gif(noise, tmp_path / "b.gif", fps=8, limit_bytes=100)
    assert [file.name for file in tmp_path.iterdir()] == ["a.gif"], "as it was"


@pytest.mark.parametrize(("held", "count"), [((0, 0), 4), ((1, 0), 14), ((0, 1), 14), ((0.5, 2), 29)])
def test_the_ends_are_held_for_as_long_as_is_said(tmp_path: Path, held: tuple[float, float], count: int) -> None:
    write_timelapse(fading(4), tmp_path / "a.mp4", fps=10, held=held)
    _, frames = film_of(tmp_path / "a.mp4")
    assert len(frames) == count


def test_small_frames_are_shown_larger(tmp_path: Path) -> None:
    write_timelapse(fading(3, (32, 24)), tmp_path / "a.mp4", enlarge_to=100)
    assert film_of(tmp_path / "a.mp4")[1][0].size == (128, 96)


def test_a_film_that_does_not_fit_is_made_smaller_and_aimed_lower(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At nine tenths of the limit first, then each time a fifth smaller and at seven tenths of that."""
    asked: list[tuple[tuple[int, int], int]] = []

    def encode(frames: object, path: Path, size: tuple[int, int], rate: object, bits_per_second: int) -> None:
        asked.append((size, bits_per_second))
        path.write_bytes(bytes(10_001 - (len(asked) > 2)))

    monkeypatch.setattr(timelapse, "_encode", encode)
    write_timelapse(fading(10, (301, 200)), tmp_path / "a.mp4", fps=10, limit_bytes=10_000, held=(1, 2))
    a_second = 10_000 * 8 / (1 + 1 + 2)
    assert [size for size, _ in asked] == [(300, 200), (240, 160), (192, 128)]
    assert [bits for _, bits in asked] == pytest.approx([a_second * share for share in (0.9, 0.63, 0.441)], abs=1)
    asked.clear()
    write_timelapse(fading(10, (64, 48)), tmp_path / "a.mp4", fps=8, limit_bytes=10**6)
    assert asked[0] == ((64, 48), 64 * 48 * 8 // 4), "no more than can be seen"


def test_a_film_can_be_shown_before_it_is_all_there(tmp_path: Path) -> None:
    write_timelapse(fading(3), tmp_path / "a.mp4")
    data = (tmp_path / "a.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
