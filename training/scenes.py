"""Compose training pictures: icons on grounds, alone or in small groups, drawn in batches on any device."""

import io
import json
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from engine.colours import COLOURS
from engine.drawings import DRAWINGS, draw_as

SCENES = ("sky", "meadow", "sea", "snow", "space", "desert", "night")
PATTERNS = ("stripes", "checks", "dots")
PATTERN_COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "grey", "turquoise")
TEXTURES = ("paper", "noise", *(f"{colour} {pattern}" for pattern in PATTERNS for colour in PATTERN_COLOURS))
GROUNDS = (*COLOURS, *(f"{colour} gradient" for colour in COLOURS), *SCENES, *TEXTURES)
WAYS = tuple(DRAWINGS)  # of drawing a whole scene

# Places in fractions of the picture: (x, y, size). They sit on the code grid of a generator with f = 8, so that
# the same icon at the same place gives nearly the same codes, which is what makes the prior quick to learn.
LAYOUTS: dict[str, tuple[tuple[float, float, float], ...]] = {
    "one": ((0.5, 0.5, 0.875),),
    "one small": ((0.5, 0.5, 0.6875),),
    "side by side": ((0.25, 0.5, 0.5), (0.75, 0.5, 0.5)),
    "one above": ((0.5, 0.25, 0.5), (0.5, 0.75, 0.5)),
    "three": ((0.25, 0.3125, 0.5), (0.75, 0.3125, 0.5), (0.5, 0.75, 0.5)),
    "four": ((0.25, 0.25, 0.5), (0.75, 0.25, 0.5), (0.25, 0.75, 0.5), (0.75, 0.75, 0.5)),
}
LAYOUT_NAMES = tuple(LAYOUTS)
NOTHING = -1
FAIR = 3  # rows that a sampler has of each thing at least


@dataclass
class SpriteBank:
    """All icons as premultiplied RGBA bytes, with what they show and who drew them."""

    pixels: torch.Tensor  # (n, 4, 128, 128) uint8
    half: torch.Tensor  # (n, 4, 64, 64) uint8, so that small copies do not alias
    concept: torch.Tensor
    vendor: torch.Tensor
    table: dict[str, Any]

    @classmethod
    def read(cls, path: Path, roles: tuple[str, ...] = ("train",)) -> "SpriteBank":
        """Decode the packed file, keeping the vendors of the given roles."""
        packed = np.load(path)
        table = json.loads(packed["table"].tobytes())
        wanted = [i for i, vendor in enumerate(table["vendors"]) if vendor["role"] in roles]
        blobs, ends = packed["blobs"].tobytes(), packed["end"].tolist()
        rows = [i for i, vendor in enumerate(packed["vendor"].tolist()) if vendor in wanted]
        with ThreadPoolExecutor() as pool:
            pixels = np.stack(list(pool.map(_decode, (blobs[ends[i - 1] if i else 0 : ends[i]] for i in rows))))
        full = torch.from_numpy(pixels)
        half = torch.cat([F.avg_pool2d(part.float(), 2).round().byte() for part in full.split(256)])
        keep = np.array(rows)
        concept, vendor = (torch.from_numpy(packed[key][keep].astype(np.int64)) for key in ("concept", "vendor"))
        return cls(full, half, concept, vendor, table)

    def names(self) -> list[list[str]]:
        """Return what each concept is called."""
        return [concept["names"] for concept in self.table["concepts"]]


def _decode(blob: bytes) -> np.ndarray:
    rgba = np.asarray(Image.open(io.BytesIO(blob)).convert("RGBA"), np.float32)
    alpha = rgba[..., 3:]
    return np.concatenate([rgba[..., :3] * alpha / 255, alpha], -1).round().astype(np.uint8).transpose(2, 0, 1)


@dataclass
class Scenes:
    """A batch of pictures to draw; every tensor's first axis is the picture, `objects` the most things in one."""

    sprite: torch.Tensor  # (batch, objects) rows of the bank, NOTHING where there is none
    tint: torch.Tensor  # (batch, objects) colours, NOTHING for the icon's own
    place: torch.Tensor  # (batch, objects, 3): x, y, size
    turn: torch.Tensor  # (batch, objects) radians
    flip: torch.Tensor  # (batch, objects) 1 or -1
    ground: torch.Tensor  # (batch,) index in GROUNDS
    layout: torch.Tensor  # (batch,) index in LAYOUT_NAMES
    way: torch.Tensor  # (batch,) index in WAYS, NOTHING for as it is

    def map(self, change: Callable[[torch.Tensor], torch.Tensor]) -> "Scenes":
        """Return these scenes with every tensor changed alike: moved, or some rows of it."""
        return Scenes(**{name: change(tensor) for name, tensor in vars(self).items()})


def colour_table() -> torch.Tensor:
    """Return the named colours as (n, 3) in 0..1."""
    return torch.tensor(list(COLOURS.values()), dtype=torch.float32) / 255


def ground_bank(size: int) -> torch.Tensor:
    """Draw every ground once: (n, 3, size, size) in 0..1."""
    y = torch.linspace(0, 1, size)[:, None].expand(size, size)
    x = torch.linspace(0, 1, size)[None, :].expand(size, size)
    colours = colour_table()
    plain = [colour[:, None, None].expand(3, size, size) for colour in colours]
    gradient = [_blend(0.35 + 0.65 * colour, 0.75 * colour, y) for colour in colours]
    scenes = [_scene(name, x, y) for name in SCENES]
    return torch.stack([*plain, *gradient, *scenes, *(_texture(name, x, y) for name in TEXTURES)])


def _blend(top: torch.Tensor, bottom: torch.Tensor, amount: torch.Tensor) -> torch.Tensor:
    return top[:, None, None] * (1 - amount) + bottom[:, None, None] * amount


def _scene(name: str, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Draw a simple landscape: an upper and a lower half with a soft horizon, or stars."""
    halves = {
        "sky": ((95, 175, 245), (200, 232, 252), (225, 242, 252), (235, 246, 252), 0.85),
        "meadow": ((125, 195, 245), (200, 230, 250), (120, 195, 80), (70, 150, 55), 0.62),
        "sea": ((150, 210, 245), (205, 235, 250), (35, 120, 190), (15, 70, 140), 0.55),
        "snow": ((165, 190, 220), (205, 220, 236), (250, 252, 255), (222, 232, 245), 0.62),
        "space": ((12, 10, 35), (30, 18, 66), (30, 18, 66), (12, 10, 35), 0.5),
        "desert": ((110, 190, 235), (250, 225, 170), (240, 200, 120), (205, 150, 80), 0.6),
        "night": ((14, 22, 62), (52, 62, 120), (28, 48, 52), (14, 26, 30), 0.7),
    }
    a, b, c, d, horizon = halves[name]
    a, b, c, d = (torch.tensor(colour) / 255 for colour in (a, b, c, d))
    line = horizon + 0.02 * torch.sin(x * 7)
    above = _blend(a, b, (y / line).clamp(0, 1))
    below = _blend(c, d, ((y - line) / (1 - line)).clamp(0, 1))
    soft = ((y - line) * 40).sigmoid()
    picture = above * (1 - soft) + below * soft
    if name in ("space", "night"):
        generator = torch.Generator().manual_seed(7)
        for sx, sy, radius in torch.rand(40, 3, generator=generator).tolist():
            if name == "space" or sy < horizon - 0.05:
                distance = ((x - sx) ** 2 + (y - sy) ** 2).sqrt()
                picture = picture.maximum((1.2 - distance / (0.006 + 0.008 * radius)).clamp(0, 1)[None])
    if name == "sky":
        for sx, sy, radius in ((0.12, 0.2, 0.1), (0.24, 0.17, 0.13), (0.8, 0.12, 0.1), (0.9, 0.15, 0.08)):
            distance = (((x - sx) / 1.4) ** 2 + (y - sy) ** 2).sqrt()
            cloud = ((radius - distance) * 60).sigmoid()
            picture = picture * (1 - cloud) + cloud
    return picture


def _texture(name: str, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Draw a pattern in a colour and a paler one, its period on the code grid of a generator with f = 8; or a grain."""
    if name in ("paper", "noise"):
        grain = torch.randn(128, 128, generator=torch.Generator().manual_seed(5))[None, None]
        grain = F.interpolate(grain, tuple(x.shape), mode="bilinear", antialias=True)[0] * x.shape[-1] / 128
        base, strength = ((0.93, 0.89, 0.8), 0.05) if name == "paper" else ((0.5, 0.5, 0.5), 0.22)
        return (torch.tensor(base)[:, None, None] + strength * grain).clamp(0, 1)
    colour, pattern = name.split()
    base = torch.tensor(COLOURS[colour])[:, None, None] / 255
    if pattern == "stripes":
        pale = ((x * 8 % 1) < 0.5).float()
    elif pattern == "checks":
        pale = (((x * 4 % 1) < 0.5) ^ ((y * 4 % 1) < 0.5)).float()
    else:
        away = ((x * 8 % 1 - 0.5).square() + (y * 8 % 1 - 0.5).square()).sqrt()
        pale = ((0.28 - away) * x.shape[-1] / 8 + 0.5).clamp(0, 1)
    return base + pale * 0.6 * (1 - base)


class Painter:
    """Draw scenes from a bank of icons at one size."""

    def __init__(self, bank: SpriteBank, size: int, device: str = "cpu") -> None:
        self.size, self.device = size, device
        self.full, self.half = bank.pixels.to(device), bank.half.to(device)
        self.grounds = ground_bank(size).to(device)
        self.colours = colour_table().to(device)

    def draw(self, scenes: Scenes, ground_shift: torch.Tensor | None = None) -> torch.Tensor:
        """Return the pictures, (batch, 3, size, size) in 0..1; `ground_shift` (batch, 3) varies the ground's colour.

        Scenes are on the CPU, which sees from them what is to be done without waiting for the device.
        """
        canvas = self.grounds[scenes.ground.to(self.device)]
        if ground_shift is not None:
            canvas = (canvas + ground_shift[:, :, None, None]).clamp(0, 1)
        for k in range(scenes.sprite.shape[1]):
            for small in (False, True):
                chosen = (scenes.sprite[:, k] >= 0) & ((scenes.place[:, k, 2] * self.size <= 80) == small)
                rows = chosen.nonzero()[:, 0]
                if len(rows):
                    there = rows.to(self.device)
                    one = scenes.map(lambda t, rows=rows, k=k: t[rows, k] if t.dim() > 1 else t[rows])
                    canvas[there] = self._paste(canvas[there], one, self.half if small else self.full)
        for way, name in enumerate(WAYS):
            rows = (scenes.way == way).nonzero()[:, 0].to(self.device)
            if len(rows):
                canvas[rows] = draw_as(name, canvas[rows])
        return canvas

    def _paste(self, canvas: torch.Tensor, one: Scenes, bank: torch.Tensor) -> torch.Tensor:
        """Paste one thing into each picture: every tensor of `one` has the picture as its only or first axis."""
        sprite = bank[one.sprite.to(self.device)].float() / 255
        tinted = (one.tint >= 0).nonzero()[:, 0]
        if len(tinted):
            colours = self.colours[one.tint[tinted].to(self.device)]
            there = tinted.to(self.device)
            sprite[there] = self._tint(sprite[there], colours)
        x, y, size = one.place.unbind(1)
        cos, sin = torch.cos(one.turn) / size, torch.sin(one.turn) / size
        theta = torch.stack([one.flip * cos, one.flip * sin, -sin, cos], 1).view(-1, 2, 2)
        shift = -theta @ torch.stack([2 * x - 1, 2 * y - 1], 1)[:, :, None]
        affine = torch.cat([theta, shift], 2).to(self.device)
        grid = F.affine_grid(affine, [len(canvas), 4, self.size, self.size], align_corners=False)
        layer = F.grid_sample(sprite, grid, align_corners=False)
        return layer[:, :3] + canvas * (1 - layer[:, 3:])

    @staticmethod
    def _tint(sprite: torch.Tensor, colour: torch.Tensor) -> torch.Tensor:
        """Recolour an icon, keeping its light and dark and a little of its own colour.

        Its middle brightness becomes the colour itself: a white icon would be a pale one otherwise.
        """
        alpha = sprite[:, 3:]
        weights = torch.tensor([0.299, 0.587, 0.114], device=sprite.device)[:, None, None]
        light = (sprite[:, :3] * weights).sum(1, keepdim=True) / alpha.clamp(min=1e-3)
        solid = torch.where(alpha > 0.5, light, torch.nan).flatten(1)
        middle = solid.nanmedian(1).values.nan_to_num(0.5).clamp(0.15, 0.85)[:, None, None, None]
        colour = colour[:, :, None, None]
        paler = colour + (1 - colour) * ((light - middle) / (1 - middle)).clamp(0, 1) * 0.6
        shade = torch.where(light < middle, colour * (light / middle), paler)
        return torch.cat([(0.88 * shade * alpha + 0.12 * sprite[:, :3]).clamp(0, 1), alpha], 1)


@dataclass(frozen=True)
class Mix:
    """How often each kind of scene is drawn."""

    pair: float = 0.08
    copies: float = 0.06
    tinted: float = 0.12
    ground_shares: tuple[float, ...] = (0.62, 0.1, 0.16, 0.12)  # plain, gradient, scene, texture
    drawn: float = 0.0  # share that is drawn in one of the WAYS
    loose: bool = False  # vary place, size, turn and mirror freely instead of the fixed layouts


def _repeated(rows: torch.Tensor, concept: torch.Tensor) -> torch.Tensor:
    """Return a bank's rows, those of things that few drew several times: each thing has some FAIR rows at least."""
    counts = torch.bincount(concept[rows], minlength=int(concept.max()) + 1)
    return rows.repeat_interleave((FAIR / counts[concept[rows]]).ceil().long().clamp(min=1))


class Sampler:
    """Draw random scenes; the same seed gives the same scenes."""

    def __init__(self, bank: SpriteBank, mix: Mix, vendors: tuple[int, ...] | None = None) -> None:
        self.mix = mix
        self.concept = bank.concept
        allowed = torch.ones_like(bank.vendor, dtype=torch.bool)
        if vendors is not None:
            allowed = torch.isin(bank.vendor, torch.tensor(vendors))
        self.rows = _repeated(allowed.nonzero()[:, 0], bank.concept)
        shares = torch.zeros(len(GROUNDS))
        start = 0
        for part, share in zip(map(len, (COLOURS, COLOURS, SCENES, TEXTURES)), mix.ground_shares, strict=True):
            shares[start : start + part] = share / part
            start += part
        self.ground_shares = shares

    def draw(self, batch: int, generator: torch.Generator) -> Scenes:
        """Return a batch of random scenes."""
        mix, kind = self.mix, torch.rand(batch, generator=generator)
        pair, copies = kind < mix.pair, (kind >= mix.pair) & (kind < mix.pair + mix.copies)
        several = torch.tensor([2, 4, 5])[torch.randint(0, 3, (batch,), generator=generator)]
        layout = torch.where(copies, several, torch.randint(0, 2, (batch,), generator=generator))
        layout = torch.where(pair, torch.randint(2, 4, (batch,), generator=generator), layout)
        places = torch.zeros(len(LAYOUT_NAMES), 4, 3)
        used = torch.zeros(len(LAYOUT_NAMES), 4, dtype=torch.bool)
        for row, spots in enumerate(LAYOUTS.values()):
            places[row, : len(spots)] = torch.tensor(spots)
            used[row, : len(spots)] = True
        first, second = (self._sprites(batch, generator) for _ in range(2))
        sprite = first[:, None].repeat(1, 4)
        sprite[pair, 1] = second[pair]
        tint = torch.where(
            torch.rand(batch, 2, generator=generator) < mix.tinted,
            torch.randint(0, len(COLOURS), (batch, 2), generator=generator),
            NOTHING,
        )
        tints = tint[:, :1].repeat(1, 4)
        tints[pair, 1] = tint[pair, 1]
        sprite = torch.where(used[layout], sprite, NOTHING)
        ground = torch.multinomial(self.ground_shares, batch, replacement=True, generator=generator)
        scenes = Scenes(
            sprite=sprite,
            tint=tints,
            place=places[layout],
            turn=torch.zeros(batch, 4),
            flip=torch.ones(batch, 4),
            ground=ground,
            layout=layout,
            way=self._ways(batch, generator),
        )
        return self._loosen(scenes, generator) if mix.loose else scenes

    def _sprites(self, batch: int, generator: torch.Generator) -> torch.Tensor:
        return self.rows[torch.randint(0, len(self.rows), (batch,), generator=generator)]

    def _ways(self, batch: int, generator: torch.Generator) -> torch.Tensor:
        drawn = torch.rand(batch, generator=generator) < self.mix.drawn
        return torch.where(drawn, torch.randint(0, len(WAYS), (batch,), generator=generator), NOTHING)

    @staticmethod
    def _loosen(scenes: Scenes, generator: torch.Generator) -> Scenes:
        """Vary place, size, turn and mirror."""
        shape = scenes.turn.shape
        x, y, size = scenes.place.unbind(2)
        room = (0.06 + 0.5 * (0.9 - size).clamp(min=0)) * (size > 0.5) + 0.04 * (size <= 0.5)
        x = x + room * (2 * torch.rand(shape, generator=generator) - 1)
        y = y + room * (2 * torch.rand(shape, generator=generator) - 1)
        size = size * torch.exp(0.18 * torch.randn(shape, generator=generator).clamp(-2, 1.5))
        scenes.place = torch.stack([x, y, size.clamp(0.3, 1.1)], 2)
        turned = torch.rand(shape, generator=generator) < 0.3
        scenes.turn = torch.where(turned, 0.3 * torch.randn(shape, generator=generator), 0.0)
        scenes.flip = torch.where(torch.rand(shape, generator=generator) < 0.5, -1.0, 1.0)
        return scenes


def sheet(pictures: torch.Tensor, columns: int) -> Image.Image:
    """Lay pictures in 0..1 side by side."""
    batch, _, height, width = pictures.shape
    rows = math.ceil(batch / columns)
    canvas = Image.new("RGB", (columns * (width + 2), rows * (height + 2)), "white")
    for i, picture in enumerate(pictures):
        pixels = (picture.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
        canvas.paste(Image.fromarray(pixels), (i % columns * (width + 2), i // columns * (height + 2)))
    return canvas
