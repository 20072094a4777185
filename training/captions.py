"""Say in ordinary English what a scene shows, in many wordings."""

import random
from dataclasses import dataclass

from training.scenes import COLOURS, GROUNDS, LAYOUT_NAMES, NOTHING, PATTERNS, WAYS

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
PATTERN_WORDS = {
    "stripes": ("on {} stripes", "on a {} striped background", "on a background of {} stripes",
                "with {} stripes behind"),
    "checks": ("on {} checks", "on a {} checked background", "on a {} checkered background", "on a {} chequered cloth",
               "on a {} checkerboard"),
    "dots": ("on {} dots", "on a {} dotted background", "on {} polka dots", "on a {} polka dot background"),
}  # fmt: skip
TEXTURE_WORDS = {
    "paper": ("on paper", "on a sheet of paper", "on old paper", "on a paper background", "on textured paper"),
    "noise": ("on noise", "on a noisy background", "on static", "on a grainy background", "on tv static"),
}
STYLES = ("flat", "3d", *WAYS)  # what a text can ask for: two come with the artist, the others are drawn
NIGHT = STYLES.index("night")
# Per style: words before the noun, before everything, and after everything.
STYLE_WORDS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "flat": (
        ("flat",),
        ("a flat icon of ", "a flat drawing of ", "flat art of "),
        (", flat design", ", flat", ", flat style"),
    ),
    "3d": (("3d", "3 d"), ("a 3d render of ", "a 3d model of ", "a 3d picture of "), (", 3d", ", 3d render", " in 3d")),
    "pixel art": (
        ("pixel art", "pixelated", "8-bit", "8 bit", "pixel"),
        ("pixel art of ", "a pixel art picture of ", "an 8-bit picture of "),
        (", pixel art", " in pixel art style", " as pixel art", ", 8-bit", " made of pixels"),
    ),
    "sketch": (
        ("sketched", "hand drawn", "pencil drawn"),
        ("a sketch of ", "a pencil sketch of ", "a pencil drawing of ", "a rough sketch of ", "a charcoal drawing of "),
        (", sketch", ", pencil sketch", ", pencil drawing", " drawn in pencil", " as a sketch"),
    ),
    "outline": (
        ("outlined",),
        ("an outline of ", "the outline of ", "line art of ", "a line drawing of ", "an ink drawing of ",
         "a colouring page of ", "a coloring page of "),
        (", line art", ", outline", " in outline", " as an outline", ", black and white line drawing"),
    ),
    "watercolour": (
        ("watercolour", "watercolor"),
        ("a watercolour of ", "a watercolor of ", "a watercolour painting of ", "a watercolor painting of "),
        (", watercolour", ", watercolor", " in watercolour", " in watercolor", ", aquarelle"),
    ),
    "night": ((), (), (" at night", ", at night", " in the night", " by night", ", night")),
}  # fmt: skip
OPENINGS = ("a picture of ", "an image of ", "a drawing of ", "a painting of ", "an illustration of ", "a photo of ",
            "a photograph of ", "an emoji of ", "an icon of ", "clip art of ", "a cartoon of ", "a portrait of ",
            "a close-up of ", "an oil painting of ", "a poster of ", "a logo of ", "a sticker of ")  # fmt: skip
ENDINGS = (", digital art", ", cartoon", ", high quality", ", simple", ", oil on canvas", ", epic", ", trending",
           " in the style of van gogh", ", emoji", ", acrylic", ", detailed", ", icon", ", trending on artstation",
           ", 4k", ", unreal engine", ", photorealistic", ", by picasso", ", studio ghibli", ", vibrant colours",
           ", concept art", ", masterpiece", " in the style of monet", ", minimalist", ", beautiful")  # fmt: skip
FILLERS = ("cute", "happy", "beautiful", "nice", "old", "new", "pretty", "little", "lovely", "shiny", "single",
           "funny", "wonderful", "sweet", "magical", "standing", "angry", "sad", "sleepy", "scary", "friendly", "wild",
           "hungry", "flying", "smiling", "sitting", "running", "ancient", "modern", "wooden", "giant", "fresh",
           "delicious", "fat", "tall", "royal", "evil", "young", "strange", "famous")  # fmt: skip
PARTS = ("a slice of", "a piece of", "a bunch of", "a plate of", "a bowl of", "a basket of", "a pile of", "a statue of",
         "a toy", "some kind of", "the head of a", "a bit of")  # fmt: skip
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
    style: int = NOTHING


@dataclass(frozen=True)
class Caption:
    """A text, and what of the scene it really says (indices, NOTHING where it says nothing)."""

    text: str
    things: tuple[int, int]
    tints: tuple[int, int]
    ground: int
    arrangement: int
    style: int


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
        # Night without a ground that is named would read as the scene of that name.
        ground, says_ground = self._ground(shown.ground, rng, always=shown.style == NIGHT)
        before, opening, ending = self._style(shown.style, rng)
        text, arrangement = self._subject(shown, layout, before, rng)
        text = opening + text
        if says_ground:
            text = f"{ground}, {text}" if rng.random() < 0.1 else f"{text}{self._joint(ground, rng)}{ground}"
        if rng.random() > self.plain:
            if not opening:
                text = (rng.choice(OPENINGS) if rng.random() < 0.25 else "") + text
            ending += rng.choice(ENDINGS) if rng.random() < 0.12 else ""
        return Caption(
            text=text + ending,
            things=shown.things,
            tints=shown.tints,
            ground=shown.ground if says_ground else NOTHING,
            arrangement=list(ARRANGEMENTS).index(arrangement),
            style=shown.style,
        )

    @staticmethod
    def _style(style: int, rng: random.Random) -> tuple[str, str, str]:
        """Return words before the noun, an opening and an ending, one of which names the style."""
        if style == NOTHING:
            return "", "", ""
        kinds = STYLE_WORDS[STYLES[style]]
        kind = rng.choice([k for k in range(3) if kinds[k]])
        word = rng.choice(kinds[kind])
        return (word if kind == 0 else "", word if kind == 1 else "", word if kind == 2 else "")

    @staticmethod
    def _joint(ground: str, rng: random.Random) -> str:
        return ", " if (ground.endswith(" background") and " a " not in ground) or rng.random() < 0.08 else " "

    def _ground(self, ground: int, rng: random.Random, always: bool) -> tuple[str, bool]:
        if ground == NOTHING or (rng.random() < 0.25 and not always):
            return "", False
        name = GROUNDS[ground]
        if words := SCENE_WORDS.get(name) or TEXTURE_WORDS.get(name):
            return rng.choice(words), True
        if name.endswith(PATTERNS):
            colour, pattern = name.split()
            return rng.choice(PATTERN_WORDS[pattern]).format(rng.choice(OTHER_COLOUR_WORDS[colour])), True
        colour = rng.choice(OTHER_COLOUR_WORDS[name.removesuffix(" gradient")])
        words = GRADIENT_WORDS if name.endswith("gradient") else GROUND_WORDS
        phrase = rng.choice(words).format(colour)
        return phrase.replace(" a orange", " an orange"), True

    def _subject(self, shown: Shown, layout: str, before: str, rng: random.Random) -> tuple[str, str]:
        first = f"{before} {self._noun(shown.things[0], shown.tints[0], rng)}".strip()
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
        if luck < 0.03:
            return f"{rng.choice(PARTS)} {noun}"
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
