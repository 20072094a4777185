"""The networks that are on disk, and the pair that paints by default."""

from bot.escaping import plain
from bot.refusals import Refusal
from bot.settings import AUTO, EMBEDDED, ModelSettings
from engine.catalog import catalogue

PUBLISHED = GENERATOR, PERCEPTOR = "imagenet-16384", "ViT-B/32"
"""The published pair that is used as soon as both are fetched."""


def usual_generator(models: ModelSettings) -> str:
    """Name the default generator: the configured one, else the published one if its pair is complete."""
    if models.generator != AUTO:
        return models.generator
    complete = is_here(GENERATOR, models) and is_here(PERCEPTOR, models)
    return GENERATOR if complete and _may_be_chosen(GENERATOR, models) else EMBEDDED


def perceptors(generator: str, models: ModelSettings) -> tuple[str, ...]:
    """Name the default perceptors of a generator: the configured ones, unless they do not suit it."""
    if models.perceptors not in (AUTO, (EMBEDDED,)):
        return tuple(models.perceptors)
    # The embedded one knows few words and small pictures.
    return (EMBEDDED,) if generator == EMBEDDED else (PERCEPTOR,)


def usual_pair(models: ModelSettings) -> str:
    """Name the default generator and perceptors, for people."""
    return pair(usual_generator(models), models)


def pair(generator: str, models: ModelSettings) -> str:
    """Name a generator and its default perceptors, for people."""
    seen_by = " + ".join(perceptors(generator, models))
    return generator if seen_by == generator else f"{generator}, seen by {seen_by}"


def generators(models: ModelSettings) -> tuple[str, ...]:
    """List the generators that are here and that people may choose."""
    published = (name for name, model in catalogue().items() if model.kind == "generator" and is_here(name, models))
    return tuple(name for name in (EMBEDDED, *published) if _may_be_chosen(name, models))


def require_generator(name: str, models: ModelSettings) -> None:
    """Raise `Refusal` for a generator that is not here, or not for everybody."""
    there = generators(models)
    if name not in there:
        raise Refusal(f"The model '{plain(name, 50)}' is not available here; there is {', '.join(there)}.")


def is_here(name: str, models: ModelSettings) -> bool:
    """Return whether a network could be loaded."""
    return name == EMBEDDED or (name in catalogue() and catalogue()[name].is_in(models.folder))


def _may_be_chosen(name: str, models: ModelSettings) -> bool:
    return not models.allowed or name in models.allowed
