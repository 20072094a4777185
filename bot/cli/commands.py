"""The command line. Nothing here imports torch before it is needed, so that `--help` and `show` answer at once."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from typer.core import TyperGroup

from bot.available_models import PUBLISHED, usual_pair
from bot.cli.arguments import checked_spec, free_name, name_for, painting_options, pictures_of
from bot.cli.repaint import command_for
from bot.escaping import visible
from bot.jobs import grown
from bot.options import HELP, PaintingOptions, blended, preset_names
from bot.permutations import permutations
from bot.settings import Settings, load_settings, read_token
from engine.catalog import ModelMissingError, catalogue, fetch, find
from engine.pictures import laid_out, read_picture, spec_of
from engine.spec import PLACES, Extend, Motion, PaintingSpec

FAILED, BAD_INPUT, STOPPED = 1, 2, 130
_console = Console(stderr=True, highlight=False, soft_wrap=True)


class CommandError(Exception):
    """Something the command line cannot do; the text is one sentence."""


class _CommandGroup(TyperGroup):
    """Run a command; print one sentence for its errors instead of a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            _print("Stopped; nothing was saved.")
            raise typer.Exit(STOPPED) from None
        except BrokenPipeError:
            raise
        except OSError as error:
            about = f"{error.filename}: " if error.filename else ""
            _print(f"{about}{error.strerror or error}.")
            raise typer.Exit(BAD_INPUT) from None
        except Exception as error:
            if ctx.params.get("trace") or _package_of(error) == "typer":
                raise
            if _package_of(error) in ("engine", "bot"):  # each of ours is a sentence for people
                _print(str(error))
                raise typer.Exit(FAILED if isinstance(error, RuntimeError) else BAD_INPUT) from None
            _print(f"This should not happen ({type(error).__name__}: {error}); `python -m bot --trace …` shows where.")
            raise typer.Exit(FAILED) from None


app = typer.Typer(
    cls=_CommandGroup,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Paint pictures from text with VQGAN-CLIP, here or as a Discord bot. "
    "Exit codes: 0 done, 1 failed, 2 bad input, 130 stopped by Ctrl-C.",
)
models_app = typer.Typer(no_args_is_help=True, help="List the networks there are, and fetch them.")
app.add_typer(models_app, name="models")
queue_app = typer.Typer(no_args_is_help=True, help="See what waits in which server, and call it off.")
app.add_typer(queue_app, name="queue")

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
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="The PNG to write, never over another. Named after the prompt when not given."),
]


@app.callback()
def _options(
    ctx: typer.Context,
    config: Annotated[Path | None, typer.Option(help="The settings; config.yaml when there is one.")] = None,
    trace: Annotated[bool, typer.Option("--trace", help="Show where in the code a mistake was found.")] = False,
) -> None:
    ctx.obj = config


@app.command()
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
    output: Output = None,
) -> None:
    """Paint a picture from text. Ctrl-C keeps the picture so far."""
    if (paintings := len(permutations(prompt))) > 1:
        raise CommandError(f"That makes {paintings} paintings: write the prompt into a file and use `batch FILE`.")
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
    _paint(options, ctx.obj, output, save_every)


@app.command()
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


@app.command()
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
    settings = _settings(ctx.obj)
    spec = checked_spec(replace(options, motion=motion), settings.models)
    still = _writable(output.with_suffix(".png"), spec, None)
    from bot.cli.painting import animate as paint_film

    path, finished = paint_film(spec, settings, still.with_suffix(output.suffix.lower()), _console)
    typer.echo(path)
    if not finished:
        raise typer.Exit(STOPPED)


@app.command()
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
    width, height = grown(*read_picture(Path(image)).size, extend, _settings(ctx.obj).limits.largest_side)
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


@app.command()
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
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where the pictures go.")] = Path(
        "batch"
    ),
) -> None:
    """Paint every prompt of a file, choices such as {red, green} too; what is painted already is left alone."""
    lines = [line.strip() for line in prompts.read_text(encoding="utf-8").splitlines()]
    asked = [prompt for line in lines if line and not line.startswith("#") for prompt in permutations(line)]
    settings = _settings(ctx.obj)
    options = [
        painting_options(prompt, preset=preset, size=size, steps=steps, seed=seed, generator=generator)
        for prompt in asked
    ]
    specs = [checked_spec(one, settings.models) for one in options]  # all, before the first takes its time
    for number, spec in enumerate(specs, 1):
        path = output / f"{number:03}-{name_for(spec, output / 'none').name}"
        if path.is_file():
            _print(f"{path} is there already.")
        else:
            _paint_spec(spec, settings, path, None)


@app.command()
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


@app.command()
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


@models_app.command("list")
def list_models(ctx: typer.Context) -> None:
    """List the networks: what each is, how large, under which licence, and whether it is here."""
    folder = _settings(ctx.obj).models.folder
    table = Table("Name", "Kind", "MiB", "Here", "Licence", box=None)
    table.add_row("embedded", "both", "", "yes", "MIT, comes with the program")
    for model in catalogue().values():
        size = "" if model.bytes is None else f"{model.bytes / 2**20:.0f}"
        table.add_row(model.name, model.kind, size, "yes" if model.is_in(folder) else "no", model.licence)
    Console(highlight=False).print(table)
    typer.echo(f"When nobody says otherwise: {usual_pair(_settings(ctx.obj).models)}.")


@models_app.command("fetch")
def fetch_model(
    ctx: typer.Context, name: Annotated[str, typer.Argument(metavar="NAME", help="`published`: the usual pair.")]
) -> None:
    """Download a network and check it; an interrupted download goes on where it stopped."""
    models = _settings(ctx.obj).models
    chosen = [find(one) for one in (PUBLISHED if name == "published" else (name,))]
    try:
        for model in chosen:
            fetch(model, models.folder, _console)
    except ModelMissingError as error:
        _print(str(error))
        raise typer.Exit(FAILED) from None
    names = " and ".join(model.name for model in chosen)
    verb = "is in" if len(chosen) == 1 else "are in"
    _print(f"{names} {verb} {models.folder}, whole. When nobody says otherwise: {usual_pair(models)}.")


@app.command()
def doctor(ctx: typer.Context) -> None:
    """Check that everything is in place; say what to do where it is not."""
    from bot.cli.doctor import examine

    healthy = True
    for finding in examine(ctx.obj or _default_config()):
        typer.echo(finding)
        healthy &= finding.mark != "bad"
    if not healthy:
        raise typer.Exit(1)


@app.command()
def backup(
    ctx: typer.Context, destination: Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder to be made.")]
) -> None:
    """Copy the ledger and all pictures, while the bot runs or not."""
    from bot.queue.backup import backup as copy

    _print(f"Copied {copy(_settings(ctx.obj).storage.folder, destination)} to {destination}.")


@app.command()
def restore(ctx: typer.Context, source: Annotated[Path, typer.Argument(metavar="FOLDER", help="A backup.")]) -> None:
    """Put a backup into the data folder, which must hold no ledger."""
    from bot.queue.backup import restore as take_back

    folder = _settings(ctx.obj).storage.folder
    _print(f"Took back {take_back(source, folder)} into {folder}.")


@queue_app.command("list")
def list_queue(ctx: typer.Context) -> None:
    """List how many paintings wait in which server, while the bot runs or not."""
    from bot.cli.queue import waiting

    for guild_id, count in waiting(_settings(ctx.obj).storage.folder):
        typer.echo(f"{count}\t{'direct messages' if guild_id is None else guild_id}")


@queue_app.command("clear")
def clear_queue(ctx: typer.Context, server: Annotated[int, typer.Argument(metavar="ID")]) -> None:
    """Call off all that waits in a server, while the bot does not run; /owner clear does it while it does."""
    from bot.cli.queue import clear

    _print(f"{clear(_settings(ctx.obj).storage.folder, server)} paintings were called off.")


@queue_app.command("bench")
def bench_queue(
    finished: Annotated[list[int], typer.Option(help="Finished jobs in the ledger; may be repeated.")] = [100_000],  # noqa: B006
    waiting: Annotated[int, typer.Option(min=1, help="Jobs that wait.")] = 1000,
) -> None:
    """Measure what the queue takes, in milliseconds, on ledgers of several sizes made for it."""
    from bot.cli.queue_bench import measure

    for count in finished:
        took = "  ".join(f"{name} {milliseconds:.1f}" for name, milliseconds in measure(count, waiting).items())
        typer.echo(f"{count} finished, {waiting} waiting: {took}")


@app.command("bench")
def bench_painters(
    ctx: typer.Context, jobs: Annotated[int, typer.Option(min=4, help="How many jobs with each configuration.")] = 12
) -> None:
    """Measure painters on this CPU: a thread, processes, a Ray cluster of this machine; four pictures in one job."""
    from bot.cli.painters_bench import measure

    for one in measure(_settings(ctx.obj), jobs):
        typer.echo(
            f"{one.name}: {one.pictures_per_minute:.2f} pictures a minute, {one.step:.1f} ms a step, "
            f"{one.besides:.0f} ms a job beside its steps"
        )


@app.command()
def run(ctx: typer.Context) -> None:
    """Run the bot: on Discord with a token, else on a Discord of its own, in a page of the browser."""
    settings = _settings(ctx.obj)
    if read_token() is None:
        from bot.cli import local_page

        local_page.run(settings)
    else:
        from bot.chat import client

        client.run(settings)


def main() -> None:
    """Run the command line."""
    app()


def _paint(options: PaintingOptions, config: Path | None, output: Path | None, save_every: int | None) -> None:
    settings = _settings(config)
    _paint_spec(checked_spec(options, settings.models), settings, output, save_every)


def _paint_spec(spec: PaintingSpec, settings: Settings, output: Path | None, save_every: int | None) -> None:
    path = _writable(output, spec, save_every)
    from bot.cli.painting import paint

    paths, finished = paint(spec, settings, path, save_every, _console)
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
        _print(f"{output} is there already: this one becomes {path}.")
    longest = path.with_stem(f"{path.stem}-00000") if save_every else path
    trial = longest.with_name(f"{longest.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        trial.touch()
        trial.unlink()
    except OSError as error:
        where = str(path).encode("utf-8", "replace").decode()
        raise CommandError(f"{where} cannot be written: {error.strerror}; choose another with --output.") from None
    return path


def _settings(config: Path | None) -> Settings:
    return load_settings(config or _default_config())


def _default_config() -> Path | None:
    path = Path("config.yaml")
    return path if path.is_file() else None


def _package_of(error: Exception) -> str:
    """Return the package that an error's class comes from."""
    return type(error).__module__.partition(".")[0]


def _print(sentence: str) -> None:
    _console.print("\n".join(map(visible, sentence.split("\n"))), markup=False)
