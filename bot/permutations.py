"""Permutations: `a {red, green} {cat, dog}` is four prompts."""

import itertools
import re

from bot.refusals import Refusal

MOST = 24
_GROUP = re.compile(r"\{([^{}]*,[^{}]*)\}")


def permutations(prompt: str) -> tuple[str, ...]:
    """Return every prompt that the choices between braces make, in order; the prompt itself where there is no choice.

    Raise `Refusal` for more than `MOST`.
    """
    parts = _GROUP.split(prompt)
    choices = [
        [choice.strip() for choice in part.split(",")] if index % 2 else [part] for index, part in enumerate(parts)
    ]
    count = 1
    for some in choices:
        count *= len(some)
    if count > MOST:
        raise Refusal(f"That makes {count} paintings; at most {MOST} can be asked for at once.")
    made = (" ".join("".join(chosen).split()) for chosen in itertools.product(*choices))
    return tuple(dict.fromkeys(made)) if count > 1 else (prompt,)
