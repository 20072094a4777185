"""Random captions without pictures, as tokens and targets: what the prior's reader learns from."""

import random
from functools import cache

import torch

from engine.third_party import tokenizer
from training.captions import STYLES, Caption, Shown, Writer, plural
from training.scenes import COLOURS, GROUNDS, LAYOUT_NAMES, NOTHING, SpriteBank


def tokens_of(text: str) -> list[int]:
    """Return a caption's tokens by CLIP's tokenizer, which takes most of its time for words that it has seen before."""
    return [token for word in text.replace(",", " ,").split() for token in _tokens_of_word(word)]


@cache
def _tokens_of_word(word: str) -> list[int]:
    return tokenizer().encode(word)


class Texts:
    """Random captions as token rows, with what they say as targets for the reader."""

    def __init__(self, bank: SpriteBank, context: int, seed: int) -> None:
        concepts = bank.table["concepts"]
        self.writer = Writer([c["names"] for c in concepts], [c["keywords"] for c in concepts], plain=0.3)
        self.rng = random.Random(seed)
        self.concepts, self.context = len(concepts), context
        self.token_rows = self._tokens_in_use()
        self.row_of = {token: row for row, token in enumerate(self.token_rows)}

    def _tokens_in_use(self) -> list[int]:
        """Return the tokens of every word that captions are made of."""
        nouns = {noun for nouns in (*self.writer.names, *self.writer.keywords) for noun in nouns}
        words = nouns | {plural(noun) for noun in nouns}
        rng = random.Random(0)
        texts = [*sorted(words), *(self.caption(rng).text for _ in range(12000))]
        return sorted({token for text in texts for token in tokens_of(text)})

    def caption(self, rng: random.Random) -> Caption:
        """Write a caption for a random scene."""
        kind, layout = rng.random(), LAYOUT_NAMES.index(rng.choice(("one", "one small")))
        first, second = rng.randrange(self.concepts), NOTHING
        if kind < 0.2:
            second, layout = rng.randrange(self.concepts), LAYOUT_NAMES.index(rng.choice(("side by side", "one above")))
        elif kind < 0.32:
            second, layout = first, LAYOUT_NAMES.index(rng.choice(("side by side", "three", "four")))
        tints = [rng.randrange(len(COLOURS)) if rng.random() < 0.3 else NOTHING for _ in range(2)]
        if second in (NOTHING, first):
            tints[1] = NOTHING if second == NOTHING else tints[0]
        style = rng.randrange(len(STYLES)) if rng.random() < 0.3 else NOTHING
        shown = Shown((first, second), (tints[0], tints[1]), rng.randrange(len(GROUNDS)), layout, style)
        return self.writer.write(shown, rng)

    def batch(self, size: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return token rows (size, context), a few of them unknown, and the targets."""
        captions = [self.caption(self.rng) for _ in range(size)]
        unknown = len(self.token_rows)
        tokens = torch.full((size, self.context), unknown + 1)
        for i, caption in enumerate(captions):
            rows = [self.row_of.get(token, unknown) for token in tokens_of(caption.text)][: self.context]
            rows = [unknown if self.rng.random() < 0.01 else row for row in rows]
            tokens[i, : len(rows)] = torch.tensor(rows)
        targets = {
            name: torch.tensor([getattr(c, name) for c in captions]) for name in ("things", "tints", "ground", "style")
        }
        targets["arrangement"] = torch.tensor([caption.arrangement for caption in captions])
        return tokens, targets


def none_last(indices: torch.Tensor, count: int) -> torch.Tensor:
    """Replace NOTHING by the class after the last."""
    return torch.where(indices < 0, count, indices)
