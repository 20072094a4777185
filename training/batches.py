"""What the perceptor's next batch shows and what is said of it: all that needs no network and no GPU."""

import random
from typing import NamedTuple

import numpy as np
import torch

from training.captions import ARRANGEMENTS, STYLES, Caption, Shown, Writer
from training.scenes import LAYOUT_NAMES, NOTHING, WAYS, Mix, Sampler, Scenes, SpriteBank
from training.texts import tokens_of

START, END = 49406, 49407
CONTEXT, NAME_CONTEXT = 24, 16
UNSAID = -2
# Of what is shown and said: the two things, their colours, ground, layout, way of drawing, the artist's style.
COLUMNS = 8
STYLE_OF = {"fluent-flat": "flat", "twemoji": "flat", "fluent-3d": "3d"}
COLOURLESS = ("sketch", "outline")


class BatchPlan(NamedTuple):
    """A batch to be drawn, and what is said of it."""

    scenes: Scenes
    shift: torch.Tensor  # (batch, 3) of the ground's colour
    tokens: torch.Tensor  # (batch, CONTEXT) rows of the small token table
    shown: torch.Tensor  # (batch, COLUMNS)
    said: torch.Tensor  # (batch, COLUMNS), UNSAID for what the caption leaves open
    names: torch.Tensor  # (concepts, NAME_CONTEXT) rows of the token table: each thing by one of its names


def zoom(scenes: Scenes, generator: torch.Generator) -> Scenes:
    """Move and enlarge half of the scenes, as a cutout of a part of the picture does."""
    batch = len(scenes.ground)
    factor = 1 + torch.rand(batch, 1, generator=generator) * (torch.rand(batch, 1, generator=generator) < 0.5)
    centre = 0.5 + (torch.rand(batch, 1, 2, generator=generator) - 0.5) * 0.5 * (1 - 1 / factor[..., None])
    place = (scenes.place[..., :2] - centre) * factor[..., None] + 0.5
    scenes.place = torch.cat([place, scenes.place[..., 2:] * factor[..., None]], -1)
    return scenes


class BatchPlans:
    """Make the plan of each batch; the same step has the same plan."""

    def __init__(
        self, bank: SpriteBank, mix: Mix, writer: Writer, token_rows: list[int], batch: int, seed: int
    ) -> None:
        self.bank, self.writer, self.batch, self.seed = bank, writer, batch, seed
        self.sampler = Sampler(bank, mix)
        self.row_of = {token: row for row, token in enumerate(token_rows)}
        self.artists = [STYLE_OF.get(vendor["vendor"]) for vendor in bank.table["vendors"]]
        self.name_rows = [[self._rows([f"a {name}"], NAME_CONTEXT)[0] for name in names] for names in writer.names]

    def __call__(self, step: int) -> BatchPlan:
        """Make the plan of one step."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        rng = random.Random(f"{self.seed} {step}")
        scenes = zoom(self.sampler.draw(self.batch, generator), generator)
        shown = self._shown(scenes)
        captions = [self._caption(row, rng) for row in shown.tolist()]
        return BatchPlan(
            scenes=scenes,
            shift=0.04 * torch.randn(self.batch, 3, generator=generator),
            tokens=torch.from_numpy(self._rows([caption.text for caption, _ in captions], CONTEXT)),
            shown=shown,
            said=torch.tensor([said for _, said in captions]),
            names=torch.from_numpy(np.stack([rng.choice(rows) for rows in self.name_rows])),
        )

    def _shown(self, scenes: Scenes) -> torch.Tensor:
        things = torch.where(scenes.sprite >= 0, self.bank.concept[scenes.sprite.clamp(min=0)], NOTHING)
        tints = torch.where(scenes.sprite >= 0, scenes.tint, NOTHING)
        styles = torch.tensor([STYLES.index(artist) if artist else NOTHING for artist in self.artists])
        style = styles[self.bank.vendor[scenes.sprite[:, 0]]]
        both = [things[:, 0], things[:, 1], tints[:, 0], tints[:, 1]]
        return torch.stack([*both, scenes.ground, scenes.layout, scenes.way, style], 1)

    def _caption(self, row: list[int], rng: random.Random) -> tuple[Caption, list[int]]:
        """Return a caption and what it says of the columns."""
        thing, second, tint, other, ground, layout, way, artist = row
        style, tints = NOTHING, (tint, other)
        if way != NOTHING:
            style = STYLES.index(WAYS[way])
        elif artist != NOTHING and rng.random() < 0.15:
            style = artist
        colourless = way != NOTHING and WAYS[way] in COLOURLESS  # nobody could tell
        if colourless:
            tints, ground = (NOTHING, NOTHING), NOTHING
        caption = self.writer.write(Shown((thing, second), tints, ground, layout, style), rng)
        named = caption.ground if caption.ground != NOTHING else UNSAID
        said_tints = (UNSAID, UNSAID) if colourless else tints
        one = list(ARRANGEMENTS)[caption.arrangement] == "one"
        placed = UNSAID if one and layout < LAYOUT_NAMES.index("side by side") else layout
        by = style if way == NOTHING != style else UNSAID
        return caption, [thing, second, *said_tints, named, placed, way, by]

    def _rows(self, texts: list[str], context: int) -> np.ndarray:
        """Return rows of the token table (texts, context): start, text, end, then zeros, as CLIP's own."""
        found = np.zeros((len(texts), context), np.int64)
        for i, text in enumerate(texts):
            tokens = tokens_of(text)
            rows = [self.row_of[token] for token in (START, *tokens[: context - 2], END)]
            found[i, : len(rows)] = rows
        return found


def fits(shown: torch.Tensor, said: torch.Tensor) -> torch.Tensor:
    """Return which captions are true of which pictures: (pictures, captions)."""
    return ((said[None] == UNSAID) | (said[None] == shown[:, None])).all(2)
