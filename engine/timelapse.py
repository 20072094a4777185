"""A painting's frames as an H.264 film that plays everywhere."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import chain, repeat
from pathlib import Path

import av
from PIL import Image

from engine.pictures import enlarged

FIRST_HELD, LAST_HELD = 0.5, 2.0
"""Seconds that the first and the last frame stand still."""
_BITS_PER_PIXEL = 0.25  # per frame: more shows no difference on these textures


def write_timelapse(
    frames: Sequence[Image.Image | Path],
    path: Path,
    fps: float = 15,
    limit_bytes: int = 10 * 2**20,
    enlarge_to: int = 0,
    held: tuple[float, float] = (FIRST_HELD, LAST_HELD),
) -> None:
    """Write frames, in memory or as files, to an MP4 of at most `limit_bytes`; raise `ValueError` where none fits.

    All frames are shown at the size of the last, made even, and times a whole factor where its longer side is below
    `enlarge_to` pixels; the first and the last are `held` for some seconds. The file appears whole or not at all.
    """
    if not frames:
        raise ValueError("A time-lapse needs at least one frame.")
    rate = Fraction(fps).limit_denominator(1000)
    seconds = held[0] + len(frames) / rate + held[1]
    size = enlarged(_opened(frames[-1]), enlarge_to).size
    part = path.with_name(f"{path.name}.part")
    share = 0.9
    try:
        while min(size) >= 16:
            even = (size[0] // 2 * 2, size[1] // 2 * 2)
            enough = int(even[0] * even[1] * _BITS_PER_PIXEL * rate)
            _encode(_held(frames, rate, held), part, even, rate, min(enough, int(limit_bytes * 8 * share / seconds)))
            if part.stat().st_size <= limit_bytes:
                part.replace(path)
                return
            share, size = share * 0.7, (size[0] * 4 // 5, size[1] * 4 // 5)
    finally:
        part.unlink(missing_ok=True)
    raise ValueError(f"No film of {len(frames)} frames fits in {limit_bytes} bytes.")


def write_gif(frames: Sequence[Image.Image | Path], path: Path, fps: float, limit_bytes: int) -> None:
    """Write frames to a GIF that repeats, of at most `limit_bytes`; raise `ValueError` where none fits."""
    pictures = [_opened(frame).convert("RGB") for frame in frames]
    part = path.with_name(f"{path.name}.part")
    try:
        while min(pictures[0].size) >= 16:
            first, *others = pictures
            duration = round(1000 / fps)
            first.save(part, "GIF", save_all=True, append_images=others, duration=duration, loop=0, optimize=True)
            if part.stat().st_size <= limit_bytes:
                part.replace(path)
                return
            smaller = (first.width * 4 // 5, first.height * 4 // 5)
            pictures = [picture.resize(smaller, Image.Resampling.LANCZOS) for picture in pictures]
    finally:
        part.unlink(missing_ok=True)
    raise ValueError(f"No GIF of {len(frames)} frames fits in {limit_bytes} bytes.")


def _held(
    frames: Sequence[Image.Image | Path], rate: Fraction, held: tuple[float, float]
) -> Iterator[Image.Image | Path]:
    first, last = round(held[0] * rate), round(held[1] * rate)
    return chain(repeat(frames[0], first), frames, repeat(frames[-1], last))


def _encode(
    frames: Iterator[Image.Image | Path], path: Path, size: tuple[int, int], rate: Fraction, bits_per_second: int
) -> None:
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as film:
        stream = film.add_stream("libx264", rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = max(bits_per_second, 1000)
        for frame in frames:
            picture = _opened(frame).convert("RGB")
            if picture.size != size:
                picture = picture.resize(size, Image.Resampling.LANCZOS)
            film.mux(stream.encode(av.VideoFrame.from_image(picture)))
        film.mux(stream.encode())


def _opened(frame: Image.Image | Path) -> Image.Image:
    if isinstance(frame, Image.Image):
        return frame
    with Image.open(frame) as image:
        return image.convert("RGB")
