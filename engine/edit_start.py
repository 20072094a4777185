"""Where an edit begins: its picture, the best of its recolourings, or what the prior's reader understood, put in.

The gradient alone seldom finds the way: from red to blue it leads over a hill, and a ground or a thing is not replaced
step by step. So candidates are made as pictures first, each is seen once by the perceptors, and the loop goes on
from the best.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.colours import COLOURS, tint, turn_hue
from engine.drawings import draw_as
from engine.filling import fill_in
from engine.generators import VQGAN
from engine.intent import Intent, noun_of, read_intent
from engine.perceptors import Perceptor
from engine.priors import Prior
from engine.priors.transformer import Conditions
from engine.prompts import with_article
from engine.regions import find_named, is_seen
from engine.segmentation import fill_holes, find_figure, main_parts
from engine.spec import PaintingSpec
from engine.weather import put_weather

TURNS = 12
"""Of the hue, the first of which is none."""
FULL_STRENGTH = 0.7
"""From this strength on, a start is put in whole."""
REPLACES_FROM = 0.5
"""Below this strength nothing is put in the place of a thing."""
LIKELY = 30
"""A thing is taken to be in the picture where at most so many of `regions.OTHERS` suit it better."""
_RIM = 2
"""Pixels on either side of a thing's outline that may be a mixture of thing and ground."""
_MIXED = 0.12
_ROOM = 0.03
"""How far around a thing its old outline is taken away, as a share of the shorter side."""


@dataclass(frozen=True)
class EditStart:
    """What an edit may begin with, and where it may change."""

    candidates: tuple[Tensor, ...]
    """Pictures (1, 3, h, w) in [0, 1]."""
    mask: Tensor | None
    """(1, 1, h, w) of 0 to 1; None: everywhere."""


def plan_start(
    spec: PaintingSpec,
    original: Tensor,
    mask: Tensor | None,
    perceptors: Sequence[Perceptor],
    vqgan: VQGAN,
    prior: Prior | None,
) -> EditStart:
    """Return what an edit of a picture (1, 3, h, w) may begin with.

    With the start `proposal` and no drawn mask it also says where the sentence asks for a change.
    """
    if spec.edit_start == "original":
        return EditStart((original,), mask)
    if spec.edit_start == "proposal" and prior is not None:
        planned = _Proposer(spec, original, mask, perceptors, vqgan, prior).plan()
        if planned is not None:
            return planned
    everywhere = torch.ones_like(original[:, :1]) if mask is None else mask
    starts = recolourings(original, everywhere)
    return EditStart(tuple(blend(original, one, spec.strength) for one in starts), mask)


def recolourings(picture: Tensor, mask: Tensor) -> list[Tensor]:
    """Return a picture, the turns of its hue and its tints in the named colours, where a mask is 1."""
    changed = [turn_hue(picture, turn / TURNS) for turn in range(1, TURNS)]
    changed += [tint(picture, _rgb(name), mask) for name in COLOURS if " " not in name]
    return [picture, *(torch.lerp(picture, one, mask) for one in changed)]


def blend(original: Tensor, start: Tensor, strength: float) -> Tensor:
    """Go from the original towards a start as far as the strength of the edit says."""
    return torch.lerp(original, start, min(1.0, strength / FULL_STRENGTH))


class Matte:
    """A thing apart from its ground, so that no rim of old colour is left when either of them changes."""

    def __init__(self, picture: Tensor, figure: Tensor) -> None:
        """Take a picture (1, 3, h, w) and where its thing is, (1, 1, h, w) of 0 and 1."""
        front = fill_in(picture, _grown(1 - figure, _RIM))
        self.behind = fill_in(picture, _grown(figure, _RIM))
        # At the rim a pixel is a mixture of what is on either side of it, where it looks like one.
        across = front - self.behind
        share = ((picture - self.behind) * across).sum(1, keepdim=True) / across.square().sum(1, keepdim=True).add(1e-3)
        share = share.clamp(0, 1)
        error = (picture - torch.lerp(self.behind, front, share)).abs().amax(1, keepdim=True)
        rim = _grown(figure, _RIM) * _grown(1 - figure, _RIM)
        mixed = rim * ((error < _MIXED) & (across.abs().amax(1, keepdim=True) > _MIXED)).float()
        self.alpha = torch.where(mixed > 0, share, figure)
        self.front = torch.where((mixed > 0) | (figure == 0), front, picture)

    def compose(self, front: Tensor, behind: Tensor) -> Tensor:
        """Put a thing in front of a ground."""
        return torch.lerp(behind, front, self.alpha)


def _grown(mask: Tensor, radius: int) -> Tensor:
    return F.max_pool2d(mask, 2 * radius + 1, 1, radius)


class _Proposer:
    """Put into a picture what a sentence names and the picture does not show yet."""

    def __init__(
        self,
        spec: PaintingSpec,
        original: Tensor,
        mask: Tensor | None,
        perceptors: Sequence[Perceptor],
        vqgan: VQGAN,
        prior: Prior,
    ) -> None:
        self.strength = spec.strength
        self.original, self.mask, self.drawn = original, mask, spec.mask is not None
        self.perceptors, self.vqgan, self.prior = perceptors, vqgan, prior
        wanted = [prompt.content for prompt in spec.prompts if prompt.kind == "text" and prompt.weight > 0]
        self.text = ", ".join(wanted)
        self.before = [text for text in (spec.edit_from, spec.mask_text) if text]
        self.figure = main_parts(find_figure(original))
        self.matte = Matte(original, self.figure)

    def plan(self) -> EditStart | None:
        """Return the start, None where nothing was understood that could be put in."""
        intent = self._changes(read_intent(self.prior, self.text))
        region = self._region(intent)
        starts: list[Tensor] = [self.original]
        grounded = intent.ground is not None and not intent.weather
        if grounded:
            starts = [self._put_ground(one, intent) for one in starts]
        if intent.weather:
            starts = [put_weather(intent.weather, one, self.figure) for one in starts]
        where = region
        if intent.thing is not None:
            placed = [pair for one in starts for pair in self._put_thing(one, intent)]
            starts = [picture for picture, _ in placed]
            if region is not None and not self.drawn:
                where = torch.stack([region, *(alpha for _, alpha in placed)]).amax(0)
        elif intent.tint is not None:
            starts = [self._tint_thing(one, intent.tint, grounded) for one in starts]
        if intent.way:
            starts = [draw_as(intent.way, one) for one in starts]
        if all(start is self.original for start in starts):
            return None
        if where is not None and not self.drawn:
            where = _grown(where, _RIM)
        if where is not None:
            starts = [torch.lerp(self.original, one, where) for one in starts]
        return EditStart(tuple(blend(self.original, one, self.strength) for one in starts), where)

    def _changes(self, intent: Intent) -> Intent:
        """Return what of an intent is not in the picture yet."""
        for text in self.before:
            intent = intent.without(read_intent(self.prior, text))
        if intent.thing is not None and self._is_here(intent):
            intent = replace(intent, thing=None)
        return replace(intent, thing=None) if self.strength < REPLACES_FROM else intent

    def _is_here(self, intent: Intent) -> bool:
        """Return whether the thing that a sentence names is the one in the picture.

        With a colour, a ground or weather beside it, it usually is; named alone, it is asked for as another one.
        """
        if any(read_intent(self.prior, text).thing is not None for text in self.before):
            return False  # the sentences have said already that it is another one
        noun = noun_of(self.prior, self.text, intent.thing or 0)
        if with_article(self.text.lower()) == noun:
            return False
        return is_seen(self.original, self.figure, noun, self.perceptors, LIKELY)

    def _region(self, intent: Intent) -> Tensor | None:
        """Return where the sentence asks for a change: the person's mask, the thing, the ground, or everywhere."""
        if self.mask is not None:
            return self.mask
        thing = intent.thing is not None or intent.tint is not None
        if intent.way or intent.weather or thing == (intent.ground is not None):
            return None
        if intent.place:
            return find_named(self.original, intent.place, self.perceptors)
        return self.figure if thing else 1 - self.figure

    def _tinted_part(self, grounded: bool) -> Tensor:
        """Return what gets the thing's colour: of the person's mask what stands out of it, where something does."""
        if self.mask is None:
            return self.figure
        both = self.mask * self.figure
        return both if grounded or float(both.sum()) > 0.3 * float(self.mask.sum()) else self.mask

    def _tint_thing(self, picture: Tensor, colour: str, grounded: bool) -> Tensor:
        on = self._tinted_part(grounded)
        if not torch.equal(on, self.figure):
            return torch.lerp(picture, tint(picture, _rgb(colour), on), on)
        behind = self.matte.behind if picture is self.original else fill_in(picture, _grown(self.figure, 1))
        return self.matte.compose(tint(self.matte.front, _rgb(colour), on), behind)

    def _put_ground(self, picture: Tensor, intent: Intent) -> Tensor:
        on = 1 - self.figure if self.mask is None else self.mask * (1 - self.figure)
        if self.mask is not None and float(on.sum()) < 0.5 * float(self.mask.sum()):
            on = self.mask  # the mask says better than colours do what is ground
            behind = self.original
        else:
            behind = self.matte.behind
        colour = intent.ground_colour
        assert intent.ground is not None
        ground = tint(behind, _rgb(colour), on) if colour else _fit(self._ground(intent.ground), behind)
        ground = torch.lerp(behind, ground, _grown(on, 2))
        return ground if behind is self.original else self.matte.compose(self.matte.front, ground)

    @torch.no_grad()
    def _ground(self, index: int) -> Tensor:
        """Return a ground as the prior paints it, with nothing on it."""
        shape, device = self.prior.shape, self.original.device
        one = torch.zeros(1, dtype=torch.long, device=device)
        nothing = Conditions(
            torch.full((1, 2), shape.concepts, device=device),
            torch.full((1, 2), shape.tints, device=device),
            one + index,
            one,
            one,
        )
        transformer = self.prior.transformer
        return self._decode(transformer.codes(transformer(nothing)))

    def _put_thing(self, picture: Tensor, intent: Intent) -> list[tuple[Tensor, Tensor]]:
        """Take the old thing away and put the new one in its place, in each artist's hand; return where it is, too."""
        assert intent.thing is not None
        region = self.figure if self.mask is None else self.mask
        standing = region * self.figure
        old = standing if float(standing.sum()) > 0.3 * float(region.sum()) else region
        gone = _grown(old, max(1, round(_ROOM * min(picture.shape[-2:]))))
        empty = torch.lerp(picture, fill_in(picture, gone), gone)
        placed = []
        for style in range(self.prior.shape.styles):
            sprite, alpha = self._sprite(intent.thing, style)
            sprite, alpha = _place(sprite, alpha, old)
            if intent.tint is not None:
                sprite = tint(sprite, _rgb(intent.tint), alpha)
            placed.append((torch.lerp(empty, sprite, alpha), torch.maximum(gone, (alpha > 0.02).float())))
        return placed

    def _sprite(self, thing: int, style: int) -> tuple[Tensor, Tensor]:
        """Return an icon from the prior's memory, and its opacity: how alike it looks on white and on black."""
        codes = self.prior.transformer.large[thing, style, 0].long()
        white, black = self._decode(codes).split(1)
        alpha = ((1 - (white - black).mean(1, keepdim=True) - 0.25) / 0.5).clamp(0, 1)
        alpha = torch.maximum(alpha, fill_holes((alpha > 0.5).float()) * (alpha > 0.2))
        return torch.where(alpha > 0.95, (white + black) / 2, black / alpha.clamp(min=0.3)).clamp(0, 1), alpha

    @torch.no_grad()
    def _decode(self, codes: Tensor) -> Tensor:
        return self.vqgan.decode(self.vqgan.codebook[codes].permute(0, 3, 1, 2)).clamp(0, 1)


def _place(sprite: Tensor, alpha: Tensor, region: Tensor) -> tuple[Tensor, Tensor]:
    """Scale an icon, with its opacity, into the box around a region (1, 1, h, w), standing on the box's lower edge."""
    top, bottom, left, right = _box(region)
    y0, y1, x0, x1 = _box((alpha > 0.3).float())
    scale = min((bottom - top) / (y1 - y0), (right - left) / (x1 - x0))
    height, width = max(2, round((y1 - y0) * scale)), max(2, round((x1 - x0) * scale))
    cut = torch.cat([sprite, alpha], 1)[..., y0:y1, x0:x1]
    cut = F.interpolate(cut, (height, width), mode="bicubic", antialias=True).clamp(0, 1)
    placed = sprite.new_zeros(1, 4, *region.shape[-2:])
    y, x = min(bottom, region.shape[-2]) - height, (left + right - width) // 2
    y, x = max(0, y), max(0, x)
    placed[..., y : y + height, x : x + width] = cut[..., : region.shape[-2] - y, : region.shape[-1] - x]
    return placed[:, :3], placed[:, 3:]


def _box(mask: Tensor) -> tuple[int, int, int, int]:
    """Return the box around a mask: top, bottom, left, right; the whole where it is empty."""
    rows, columns = mask[0, 0].amax(1).nonzero()[:, 0], mask[0, 0].amax(0).nonzero()[:, 0]
    if not len(rows):
        return 0, mask.shape[-2], 0, mask.shape[-1]
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _fit(picture: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(picture, like.shape[-2:], mode="bicubic", antialias=True).clamp(0, 1)


def _rgb(name: str) -> tuple[float, float, float]:
    red, green, blue = COLOURS[name]
    return red / 255, green / 255, blue / 255
