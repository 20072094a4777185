"""The command line. Nothing here imports torch before it is needed, so that `--help` and `show` answer at once."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from bot.available_models import PUBLISHED, usual_pair
from bot.cli.console import CONSOLE, FAILED, CommandGroup, default_config, say, settings_of
from bot.cli.paint_commands import animate, batch, blend, describe, edit, imagine, outpaint, show
from bot.settings import read_token
from engine.catalog import ModelMissingError, catalogue, fetch, find

app = typer.Typer(
    cls=CommandGroup,
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


@app.callback()
def _options(
    ctx: typer.Context,
    config: Annotated[Path | None, typer.Option(help="The settings; config.yaml when there is one.")] = None,
    trace: Annotated[bool, typer.Option("--trace", help="Show where in the code a mistake was found.")] = False,
) -> None:
    ctx.obj = config


for command in (imagine, edit, animate, outpaint, batch, blend, describe, show):
    app.command()(command)


@models_app.command("list")
def list_models(ctx: typer.Context) -> None:
    """List the networks: what each is, how large, under which licence, and whether it is here."""
    folder = settings_of(ctx.obj).models.folder
    table = Table("Name", "Kind", "MiB", "Here", "Licence", box=None)
    table.add_row("embedded", "both", "", "yes", "MIT, comes with the program")
    for model in catalogue().values():
        size = "" if model.bytes is None else f"{model.bytes / 2**20:.0f}"
        table.add_row(model.name, model.kind, size, "yes" if model.is_in(folder) else "no", model.licence)
    Console(highlight=False).print(table)
    typer.echo(f"When nobody says otherwise: {usual_pair(settings_of(ctx.obj).models)}.")


@models_app.command("fetch")
def fetch_model(
    ctx: typer.Context, name: Annotated[str, typer.Argument(metavar="NAME", help="`published`: the usual pair.")]
) -> None:
    """Download a network and check it; an interrupted download goes on where it stopped."""
    models = settings_of(ctx.obj).models
    chosen = [find(one) for one in (PUBLISHED if name == "published" else (name,))]
    try:
        for model in chosen:
            fetch(model, models.folder, CONSOLE)
    except ModelMissingError as error:
        say(str(error))
        raise typer.Exit(FAILED) from None
    names = " and ".join(model.name for model in chosen)
    verb = "is in" if len(chosen) == 1 else "are in"
    say(f"{names} {verb} {models.folder}, whole. When nobody says otherwise: {usual_pair(models)}.")


@app.command()
def doctor(ctx: typer.Context) -> None:
    """Check that everything is in place; say what to do where it is not."""
    from bot.cli.doctor import examine

    healthy = True
    for finding in examine(ctx.obj or default_config()):
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

    say(f"Copied {copy(settings_of(ctx.obj).storage.folder, destination)} to {destination}.")


@app.command()
def restore(ctx: typer.Context, source: Annotated[Path, typer.Argument(metavar="FOLDER", help="A backup.")]) -> None:
    """Put a backup into the data folder, which must hold no ledger."""
    from bot.queue.backup import restore as take_back

    folder = settings_of(ctx.obj).storage.folder
    say(f"Took back {take_back(source, folder)} into {folder}.")


@queue_app.command("list")
def list_queue(ctx: typer.Context) -> None:
    """List how many paintings wait in which server, while the bot runs or not."""
    from bot.cli.queue import waiting

    for guild_id, count in waiting(settings_of(ctx.obj).storage.folder):
        typer.echo(f"{count}\t{'direct messages' if guild_id is None else guild_id}")


@queue_app.command("clear")
def clear_queue(ctx: typer.Context, server: Annotated[int, typer.Argument(metavar="ID")]) -> None:
    """Call off all that waits in a server, while the bot does not run; /owner clear does it while it does."""
    from bot.cli.queue import clear

    say(f"{clear(settings_of(ctx.obj).storage.folder, server)} paintings were called off.")


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
    ctx: typer.Context,
    jobs: Annotated[int, typer.Option(min=4, help="How many jobs with each configuration.")] = 12,
    only: Annotated[list[str], typer.Option(metavar="NAME", help="Not all configurations; may be repeated.")] = [],  # noqa: B006
) -> None:
    """Measure painters on this CPU: a thread, processes, a Ray cluster of this machine; four pictures in one job."""
    from bot.cli.painters_bench import configurations, measure

    known = {one.name: one for one in configurations()}
    unknown = [name for name in only if name not in known]
    if unknown:
        raise typer.BadParameter(f"{unknown[0]} is not one of: {'; '.join(known)}.", param_hint="--only")
    for one in measure(settings_of(ctx.obj), jobs, [known[name] for name in only or known]):
        typer.echo(
            f"{one.name}: {one.pictures_per_minute:.2f} pictures a minute, {one.step:.1f} ms a step, "
            f"{one.besides:.0f} ms a job beside its steps"
        )


@app.command()
def run(ctx: typer.Context) -> None:
    """Run the bot: on Discord with a token, else on a Discord of its own, in a page of the browser."""
    settings = settings_of(ctx.obj)
    if read_token() is None:
        from bot.cli import local_page

        local_page.run(settings)
    else:
        from bot.chat import client

        client.run(settings)


def main() -> None:
    """Run the command line."""
    app()
