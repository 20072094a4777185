"""Say in ordinary English what a scene shows, in many wordings."""

import random
from dataclasses import dataclass

from training.scenes import COLOURS, GROUNDS, LAYOUT_NAMES, NOTHING

COLOUR_NAMES = tuple(COLOURS)
OTHER_COLOUR_WORDS = {
    "red": ("red", "scarlet", "crimson"),
    "orange": ("orange",),
    "yellow": ("yellow", "golden"),
    "green": ("green",),
    "blue": ("blue",),
    "purple": ("purple", "violet", "lilac"),
    "pink": ("pink", "rose coloured"),
    "brown": ("brown",),
    "black": ("black",),
    "white": ("white",),
    "grey": ("grey", "gray", "silver"),
    "turquoise": ("turquoise", "teal", "cyan"),
    "light blue": ("light blue", "sky blue", "pale blue"),
    "dark blue": ("dark blue", "navy", "navy blue", "deep blue"),
    "light green": ("light green", "pale green", "lime"),
    "dark green": ("dark green", "deep green"),
    "beige": ("beige", "cream", "cream coloured"),
}
GROUND_WORDS = ("on a {} background", "on a {} background", "on {}", "against a {} background", "with a {} background",
                "{} background", "in front of a {} wall", "on a plain {} background", "over {}")  # fmt: skip
GRADIENT_WORDS = ("on a {} gradient", "on a {} gradient background", "on a soft {} background", "with a {} gradient")
SCENE_WORDS = {
    "sky": ("in the sky", "in a blue sky", "flying in the sky", "among the clouds", "high in the air"),
    "meadow": ("in a meadow", "on the grass", "in a green field", "on a lawn", "in the garden", "in the park"),
    "sea": ("in the sea", "on the ocean", "in the water", "by the sea", "on the waves", "on a lake"),
    "snow": ("in the snow", "in winter", "on a snowy field", "on the snow", "on ice"),
    "space": ("in space", "in outer space", "among the stars", "in the universe", "in the cosmos"),
    "desert": ("in the desert", "on the sand", "on a sandy beach", "on the beach", "in the dunes"),
    "night": ("at night", "in the night", "under the stars", "in the moonlight", "in the dark", "at midnight"),
}
OPENINGS = ("a picture of ", "an image of ", "a drawing of ", "a painting of ", "an illustration of ", "a photo of ",
            "a photograph of ", "an emoji of ", "an icon of ", "clip art of ", "a cartoon of ")  # fmt: skip
ENDINGS = (", digital art", ", cartoon", ", high quality", ", simple", ", oil on canvas", ", epic", ", flat design",
           " in the style of van gogh", ", emoji", ", watercolour", ", detailed", ", icon")  # fmt: skip
FILLERS = ("cute", "happy", "beautiful", "nice", "old", "new", "pretty", "little", "lovely", "shiny", "single",
           "funny", "wonderful", "sweet", "magical", "standing")  # fmt: skip
NUMBERS = {"side by side": ("two", "a pair of", "2"), "three": ("three", "3"), "four": ("four", "4")}
# What a text can ask for, and the layouts that show it.
ARRANGEMENTS: dict[str, tuple[str, ...]] = {
    "one": ("one", "one small"),
    "one large": ("one",),
    "one small": ("one small",),
    "side by side": ("side by side",),
    "one above": ("one above",),
    "three": ("three",),
    "four": ("four",),
}
LARGE, SMALL = ("big", "large", "huge"), ("small", "tiny", "mini")


@dataclass(frozen=True)
class Shown:
    """What one scene shows, as indices; NOTHING where there is none."""

    things: tuple[int, int]
    tints: tuple[int, int]
    ground: int
    layout: int


@dataclass(frozen=True)
class Caption:
    """A text, and what of the scene it really says (indices, NOTHING where it says nothing)."""

    text: str
    things: tuple[int, int]
    tints: tuple[int, int]
    ground: int
    arrangement: int


class Writer:
    """Write captions; the same random numbers give the same words."""

    def __init__(self, names: list[list[str]], keywords: list[list[str]] | None = None, plain: float = 0.0) -> None:
        self.names = names
        self.plain = plain  # share of captions without fillers
        self.keywords = self._rare(keywords) if keywords else [[] for _ in names]

    def _rare(self, keywords: list[list[str]]) -> list[list[str]]:
        """Keep the keywords that belong to one concept only, and are nobody's name."""
        owners: dict[str, int] = {}
        for words in keywords:
            for word in words:
                owners[word] = owners.get(word, 0) + 1
        taken = {name for names in self.names for name in names}
        fit = {word for word, n in owners.items() if n == 1 and word.replace(" ", "").isalpha() and len(word) > 2}
        return [[word for word in words if word in fit - taken] for words in keywords]

    def write(self, shown: Shown, rng: random.Random) -> Caption:
        """Describe a scene, leaving out what need not be said."""
        layout = LAYOUT_NAMES[shown.layout]
        ground, says_ground = self._ground(shown.ground, rng)
        text, arrangement = self._subject(shown, layout, rng)
        if says_ground:
            text = f"{ground}, {text}" if rng.random() < 0.1 else f"{text}{self._joint(ground, rng)}{ground}"
        if rng.random() > self.plain:
            text = (rng.choice(OPENINGS) if rng.random() < 0.25 else "") + text
            text += rng.choice(ENDINGS) if rng.random() < 0.12 else ""
        return Caption(
            text=text,
            things=shown.things,
            tints=shown.tints,
            ground=shown.ground if says_ground else NOTHING,
            arrangement=list(ARRANGEMENTS).index(arrangement),
        )

    @staticmethod
    def _joint(ground: str, rng: random.Random) -> str:
        return ", " if (ground.endswith(" background") and " a " not in ground) or rng.random() < 0.08 else " "

    def _ground(self, ground: int, rng: random.Random) -> tuple[str, bool]:
        name = GROUNDS[ground]
        if rng.random() < 0.25:
            return "", False
        if name in SCENE_WORDS:
            return rng.choice(SCENE_WORDS[name]), True
        colour = rng.choice(OTHER_COLOUR_WORDS[name.removesuffix(" gradient")])
        words = GRADIENT_WORDS if name.endswith("gradient") else GROUND_WORDS
        phrase = rng.choice(words).format(colour)
        return phrase.replace(" a orange", " an orange"), True

    def _subject(self, shown: Shown, layout: str, rng: random.Random) -> tuple[str, str]:
        first = self._noun(shown.things[0], shown.tints[0], rng)
        if layout in ("one", "one small"):
            sized = rng.random()
            if layout == "one" and sized < 0.08:
                return self._article(f"{rng.choice(LARGE)} {first}", rng), "one large"
            if layout == "one small" and sized < 0.2:
                return self._article(f"{rng.choice(SMALL)} {first}", rng), "one small"
            return self._article(first, rng), "one"
        if shown.things[1] == shown.things[0] and layout in NUMBERS:
            return f"{rng.choice(NUMBERS[layout])} {plural(first)}", layout
        first = self._article(first, rng)
        second = self._article(self._noun(shown.things[1], shown.tints[1], rng), rng)
        return self._relation(first, second, layout, rng), layout

    @staticmethod
    def _relation(first: str, second: str, layout: str, rng: random.Random) -> str:
        if layout == "side by side":
            words = ("{} and {}", "{} and {}", "{} next to {}", "{} with {}", "{} beside {}", "{} left of {}",
                     "{} to the left of {}", "{1} right of {0}", "{1} to the right of {0}")  # fmt: skip
        else:
            words = ("{} on top of {}", "{} above {}", "{} over {}", "{} on {}", "{1} below {0}", "{1} under {0}")
        return rng.choice(words).format(first, second)

    def _noun(self, thing: int, tint: int, rng: random.Random) -> str:
        names, keywords = self.names[thing], self.keywords[thing]
        if keywords and rng.random() < 0.12:
            name = rng.choice(keywords)
        else:
            name = names[0] if rng.random() < 0.5 else rng.choice(names)
        if rng.random() < 0.1:
            name = f"{rng.choice(FILLERS)} {name}"
        if tint == NOTHING:
            return name
        colour = rng.choice(OTHER_COLOUR_WORDS[COLOUR_NAMES[tint]])
        return f"{colour} {name}"

    @staticmethod
    def _article(noun: str, rng: random.Random) -> str:
        luck = rng.random()
        if luck < 0.12:
            return noun
        if luck < 0.2:
            return f"the {noun}"
        return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def plural(noun: str) -> str:
    """Return the usual plural."""
    if noun.endswith(("s", "sh", "ch", "x")):
        return noun if noun.endswith("s") and not noun.endswith("ss") else f"{noun}es"
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    for ending, many in (("mouse", "mice"), ("goose", "geese"), ("wolf", "wolves"), ("leaf", "leaves")):
        if noun.endswith(ending):
            return noun.removesuffix(ending) + many
    return f"{noun}s"
