"""The commands that paint: `imagine`, `edit`, `animate`, `outpaint`, `batch`, `blend`; and `show`, which says how."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from bot.available_models import perceptors, usual_generator
from bot.cli.arguments import checked_spec, free_name, name_for, names_of, numbered, painting_options, pictures_of
from bot.cli.console import CONSOLE, STOPPED, CommandError, require_yes, say, settings_of
from bot.cli.repaint import command_for
from bot.cli.unfinished import Unfinished
from bot.escaping import visible
from bot.flags import with_flags
from bot.jobs import grown
from bot.options import HELP, PaintingOptions, blended, preset_names
from bot.permutations import permutations
from bot.settings import Settings
from engine.pictures import laid_out, read_picture, spec_of
from engine.spec import PLACES, Extend, Motion, PaintingSpec

Prompt_ = Annotated[str, typer.Argument(metavar="PROMPT", help=HELP["prompt"])]
Negative = Annotated[str, typer.Option(help=HELP["negative"])]
Size = Annotated[str | None, typer.Option(help=HELP["size"], show_default=False)]
Steps = Annotated[int | None, typer.Option(help=HELP["steps"], show_default=False)]
Seed = Annotated[int | None, typer.Option(help=HELP["seed"])]
Preset = Annotated[str | None, typer.Option(help=f"{HELP['preset']}: {', '.join(preset_names())}", show_default=False)]
GeneratorName = Annotated[
    str | None, typer.Option("--generator", help=f"{HELP['generator']}; `models list` shows them", show_default=False)
]
Perceptors = Annotated[list[str], typer.Option("--perceptor", help="NAME or NAME:WEIGHT; may be repeated.")]
ImagePrompts = Annotated[
    list[str], typer.Option("--image-prompt", help=f"{HELP['image_prompt']}: FILE or FILE:WEIGHT; may be repeated")
]
Sets = Annotated[list[str], typer.Option("--set", help="Any other number, as FIELD=VALUE; `show` lists them.")]
Side = Annotated[float, typer.Option(min=0.0, max=2.0, help="As a share of the picture's own side.")]
SaveEvery = Annotated[int | None, typer.Option(min=1, help="Also save the picture every N steps.", show_default=False)]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask first where choices make several paintings.")]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="The PNG to write, never over another. Named after the prompt when not given."),
]


def imagine(
    ctx: typer.Context,
    prompt: Prompt_,
    negative: Negative = "",
    size: Size = None,
    steps: Steps = None,
    seed: Seed = None,
    preset: Preset = None,
    generator: GeneratorName = None,
    perceptor: Perceptors = [],  # noqa: B006
    image_prompt: ImagePrompts = [],  # noqa: B006
    start: Annotated[str | None, typer.Option(help=HELP["start"])] = None,
    mask: Annotated[str | None, typer.Option(metavar="FILE", help=HELP["inside"])] = None,
    mask_text: Annotated[str | None, typer.Option(help=f"Instead of that: {', '.join(PLACES)}")] = None,
    tile: Annotated[bool, typer.Option("--tile", help=HELP["tile"])] = False,
    palette: Annotated[
        str | None, typer.Option(help="In whose colours to paint: red,skyblue,#ffcc00, or a picture's FILE")
    ] = None,
    count: Annotated[int | None, typer.Option(min=1, max=4, help=HELP["count"])] = None,
    sets: Sets = [],  # noqa: B006
    save_every: SaveEvery = None,
    yes: Yes = False,
    output: Output = None,
) -> None:
    """Paint a picture from text, or one for each choice such as {red, green}. Ctrl-C keeps the picture so far."""
    prompts = permutations(prompt)
    options = painting_options(
        prompt,
        negative=negative,
        size=size,
        steps=steps,
        seed=seed,
        preset=preset,
        generator=generator,
        perceptors=tuple(perceptor),
        image_prompts=tuple(image_prompt),
        start=start,
        mask=mask,
        mask_text=mask_text,
        tile=tile,
        palette=palette,
        count=count,
        sets=tuple(sets),
    )
    settings = settings_of(ctx.obj)
    specs = [checked_spec(replace(options, prompt=one), settings.models) for one in prompts]
    require_yes(len(specs), yes=yes)
    for spec in specs:
        _paint_spec(spec, settings, output, save_every)


def edit(
    ctx: typer.Context,
    image: Annotated[str, typer.Argument(metavar="IMAGE", help=HELP["picture"])],
    prompt: Prompt_,
    from_: Annotated[str | None, typer.Option("--from", help=HELP["edit_from"])] = None,
    mask: Annotated[str | None, typer.Option(metavar="FILE", help=HELP["mask"])] = None,
    mask_text: Annotated[str | None, typer.Option(help=HELP["mask_text"])] = None,
    strength: Annotated[float | None, typer.Option(help=HELP["strength"])] = None,
    negative: Negative = "",
    size: Size = None,
    steps: Steps = None,
    seed: Seed = None,
    preset: Preset = None,
    generator: GeneratorName = None,
    perceptor: Perceptors = [],  # noqa: B006
    image_prompt: ImagePrompts = [],  # noqa: B006
    sets: Sets = [],  # noqa: B006
    save_every: SaveEvery = None,
    output: Output = None,
) -> None:
    """Change a picture by text. Ctrl-C keeps the picture so far."""
    options = painting_options(
        prompt,
        negative=negative,
        size=size,
        steps=steps,
        seed=seed,
        preset=preset,
        generator=generator,
        perceptors=tuple(perceptor),
        image_prompts=tuple(image_prompt),
        sets=tuple(sets),
        picture=image,
        edit_from=from_,
        mask=mask,
        mask_text=mask_text,
        strength=strength,
    )
    _paint(options, ctx.obj, output, save_every)


def animate(
    ctx: typer.Context,
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="Or a story: a seed @0 | a tree @4 | a forest @8.")],
    seconds: Annotated[float, typer.Option(help="How long the film is.")] = 6.0,
    fps: Annotated[int, typer.Option(help="Pictures a second.")] = 8,
    each: Annotated[int, typer.Option(help="Steps for each picture.")] = 3,
    zoom: Annotated[float, typer.Option(help="How many times larger in a second; below 1 smaller.")] = 1.1,
    turn: Annotated[float, typer.Option(help="Degrees in a second.")] = 0.0,
    right: Annotated[float, typer.Option(help="Shares of the width in a second.")] = 0.0,
    down: Annotated[float, typer.Option(help="Shares of the height in a second.")] = 0.0,
    size: Size = None,
    steps: Steps = None,
    seed: Seed = None,
    preset: Preset = None,
    generator: GeneratorName = None,
    sets: Sets = [],  # noqa: B006
    output: Annotated[Path, typer.Option("--output", "-o", help="An .mp4 or .gif.")] = Path("animation.mp4"),
) -> None:
    """Paint a film that zooms, turns or moves. Ctrl-C keeps the film so far."""
    if output.suffix.lower() not in (".mp4", ".gif"):
        raise CommandError(f"Films are saved as MP4 or GIF: call it {output.stem}.mp4.")
    kind: Any = output.suffix.lower()[1:]
    motion = Motion.checked(
        seconds=seconds, fps=fps, each=each, zoom=zoom, turn=turn, right=right, down=down, format=kind
    )
    options = painting_options(
        prompt, size=size, steps=steps, seed=seed, preset=preset, generator=generator, sets=tuple(sets)
    )
    settings = settings_of(ctx.obj)
    options = with_flags(replace(options, motion=motion))
    spec = checked_spec(options, settings.models)
    unfinished, spec = _film_of(output, spec, any_seed=options.seed is None)
    _require_writable(unfinished.path)
    from bot.cli.painting import animate as paint_film

    path, finished = paint_film(spec, settings, unfinished, CONSOLE)
    typer.echo(path)
    if not finished:
        raise typer.Exit(STOPPED)


def _film_of(output: Path, spec: PaintingSpec, *, any_seed: bool) -> tuple[Unfinished, PaintingSpec]:
    """Return where the film goes, and its spec: the one that was begun there before, or a name that is free."""
    films = map(Unfinished, numbered(output.with_suffix(output.suffix.lower())))
    film = next(one for one in films if one.is_free or one.fitting(spec, any_seed=any_seed) is not None)
    begun = film.fitting(spec, any_seed=any_seed)
    if begun is None and film.path.stem != output.stem:
        say(f"{output} is there already: this one becomes {film.path}.")
    return film, begun or spec


def outpaint(
    ctx: typer.Context,
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="The picture to go on from.")],
    prompt: Prompt_,
    zoom: Annotated[float | None, typer.Option(min=1.0, max=3.0, help="How many times larger, all around.")] = None,
    left: Side = 0.0,
    up: Side = 0.0,
    right: Side = 0.0,
    down: Side = 0.0,
    steps: Steps = None,
    seed: Seed = None,
    preset: Preset = None,
    generator: GeneratorName = None,
    sets: Sets = [],  # noqa: B006
    output: Output = None,
) -> None:
    """Paint what lies around a picture, which stays as it is. Ctrl-C keeps the picture so far."""
    around = 0.0 if zoom is None else (zoom - 1) / 2
    extend = Extend(left=left or around, up=up or around, right=right or around, down=down or around)
    if extend == Extend():
        raise CommandError("Say where to paint on: --zoom 1.5, or --left, --up, --right, --down 0.5.")
    width, height = grown(*read_picture(Path(image)).size, extend, settings_of(ctx.obj).limits.largest_side)
    options = painting_options(
        prompt,
        size=f"{width}x{height}",
        steps=steps,
        seed=seed,
        preset=preset,
        generator=generator,
        sets=tuple(sets),
        picture=image,
    )
    assert options.edit is not None
    _paint(replace(options, edit=replace(options.edit, extend=extend)), ctx.obj, output, None)


def batch(
    ctx: typer.Context,
    prompts: Annotated[
        Path, typer.Argument(metavar="FILE", help="Prompts, one a line, with flags; # begins a remark.")
    ],
    preset: Preset = None,
    size: Size = None,
    steps: Steps = None,
    seed: Seed = None,
    generator: GeneratorName = None,
    yes: Yes = False,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where the pictures go.")] = Path(
        "batch"
    ),
) -> None:
    """Paint every prompt of a file, choices such as {red, green} too; what is painted already is left alone.

    One that was interrupted, by Ctrl-C or a kill, goes on from its last checkpoint.
    """
    lines = [line.strip() for line in prompts.read_text(encoding="utf-8").splitlines()]
    given = [line for line in lines if line and not line.startswith("#")]
    asked = [prompt for line in given for prompt in permutations(line)]
    settings = settings_of(ctx.obj)
    options = [
        with_flags(painting_options(prompt, preset=preset, size=size, steps=steps, seed=seed, generator=generator))
        for prompt in asked
    ]
    specs = [checked_spec(one, settings.models) for one in options]  # all, before the first takes its time
    if len(asked) > len(given):
        require_yes(len(asked), yes=yes)
    for number, (asked_for, spec) in enumerate(zip(options, specs, strict=True), 1):
        path = output / f"{number:03}-{name_for(spec, output / 'none').name}"
        if all(one.is_file() for one in names_of(path, spec)):
            say(f"{path} is there already.")
            continue
        unfinished = Unfinished(path)
        begun = unfinished.fitting(spec, any_seed=asked_for.seed is None)
        _paint_spec(begun or spec, settings, path, None, unfinished)
        unfinished.remove()


def blend(
    ctx: typer.Context,
    images: Annotated[list[str], typer.Argument(metavar="IMAGE IMAGE…", help="Two to four pictures.")],
    prompt: Annotated[str, typer.Option(help=HELP["blend_prompt"])] = "",
    weights: Annotated[str | None, typer.Option(help=HELP["weights"])] = None,
    size: Size = None,
    steps: Steps = None,
    seed: Seed = None,
    preset: Preset = None,
    generator: GeneratorName = None,
    sets: Sets = [],  # noqa: B006
    output: Output = None,
) -> None:
    """Blend pictures into a new one, with words or without. Ctrl-C keeps the picture so far."""
    if not 2 <= len(images) <= 4:
        raise CommandError("Name two to four pictures.")
    options = painting_options(
        prompt, size=size, steps=steps, seed=seed, preset=preset, generator=generator, sets=tuple(sets)
    )
    paths = [str(Path(image).resolve()) for image in images]
    _paint(replace(options, image_prompts=blended(paths, weights)), ctx.obj, output, None)


def describe(
    ctx: typer.Context,
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="The picture to find words for.")],
    perceptor: Annotated[str | None, typer.Option(help="`models list` shows them.", show_default=False)] = None,
) -> None:
    """Print which words of a list a perceptor finds nearest to a picture, and a prompt of them."""
    from engine.describe import describe as find_words
    from engine.devices import pick_device
    from engine.models import ModelStore

    models = settings_of(ctx.obj).models
    name = perceptor or perceptors(usual_generator(models), models)[0]
    found = find_words(read_picture(image), ModelStore(models.folder, pick_device("cpu", "fp32")).perceptor(name))
    for kind, words in found.words.items():
        typer.echo(f"{kind}: {', '.join(f'{word} {cosine:.2f}' for word, cosine in words)}")
    typer.echo(f"prompt: {found.prompt}")


def show(
    picture: Annotated[Path, typer.Argument(help="A PNG painted by this program.")],
    tiled: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the picture 2 × 2 there.")] = None,
) -> None:
    """Print how a picture was painted, and the command that paints it again."""
    spec = spec_of(picture)
    if tiled is not None:
        laid_out(read_picture(picture)).save(tiled)
    for name, value in spec.model_dump(mode="json", exclude_none=True).items():
        typer.echo(visible(f"{name}: {json.dumps(value, ensure_ascii=False)}"))
    for path in pictures_of(spec):
        if not Path(path).is_file():
            typer.echo(f"\n{visible(path)} is missing: put it back there to paint the picture again.")
    typer.echo(f"\n{visible(command_for(spec, f'{picture.stem}-again.png'))}")


def _paint(options: PaintingOptions, config: Path | None, output: Path | None, save_every: int | None) -> None:
    settings = settings_of(config)
    _paint_spec(checked_spec(options, settings.models), settings, output, save_every)


def _paint_spec(
    spec: PaintingSpec,
    settings: Settings,
    output: Path | None,
    save_every: int | None,
    unfinished: Unfinished | None = None,
) -> None:
    path = _writable(output, spec, save_every)
    from bot.cli.painting import paint

    paths, finished = paint(spec, settings, path, CONSOLE, save_every=save_every, unfinished=unfinished)
    for path in paths:
        typer.echo(path)
    if not finished:
        raise typer.Exit(STOPPED)


def _writable(output: Path | None, spec: PaintingSpec, save_every: int | None) -> Path:
    """Return where the picture goes, having made sure of it before hours of painting; no file is written over."""
    named = output is not None and not output.is_dir()
    path = output if named and output is not None else name_for(spec, output or Path())
    if path.suffix.lower() != ".png":
        raise CommandError(f"Pictures are saved as PNG, which keeps how they were painted: call it {path.stem}.png.")
    if named and path.exists():
        path = free_name(path)
        say(f"{output} is there already: this one becomes {path}.")
    _require_writable(path.with_stem(f"{path.stem}-00000") if save_every else path)
    return path


def _require_writable(path: Path) -> None:
    """Raise `CommandError` where no file can be written beside `path`; make its folder."""
    trial = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        trial.touch()
        trial.unlink()
    except OSError as error:
        where = str(path).encode("utf-8", "replace").decode()
        raise CommandError(f"{where} cannot be written: {error.strerror}; choose another with --output.") from None
