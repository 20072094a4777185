"""The content of a job's message, as plain data, for each state of the job."""

from dataclasses import dataclass

from bot.escaping import bare, plain
from bot.flags import with_flags
from bot.jobs import Job, JobState
from bot.options import PaintingOptions
from bot.refusals import Refusal
from bot.worker.events import HIDING_NOTICES, Progress
from engine.prompts import BadPromptError, Prompt, format_prompts, parse_prompts
from engine.spec import PaintingSpec

GREY, BLUE, GREEN, AMBER, RED = 0x6D6F78, 0x5865F2, 0x3BA55D, 0xF0B232, 0xDA373C
TITLE_LIMIT = 600
ALT_LIMIT = 256
"""discord.py's limit for a gallery item's description; the API's own is 1024."""
_HEADING_LIMIT = 80
_BAR_CELLS = 20
_ORIGINS = {
    "rerun": "rerun of",
    "remix": "remix of",
    "edit": "edit of",
    "vary": "varied from",
    "refine": "refined from",
    "timelapse": "film of",
    "zoom": "zoomed out from",
    "pan": "panned from",
}

WAITING_BUTTONS = ("stop",)
PAINTING_BUTTONS = ("steer", "stop")
STATES = {
    JobState.QUEUED: "waiting",
    JobState.RUNNING: "being painted",
    JobState.RENDERED: "just finished",
    JobState.DELIVERED: "done",
    JobState.CANCELLED: "cancelled",
    JobState.FAILED: "failed",
}
"""The word for each state, wherever people see it."""
FINISHED_BUTTONS = (
    *("rerun", "remix", "vary", "refine", "edit"),
    *("pan-left", "pan-up", "pan-down", "pan-right", "zoom-out"),
    *("zoom-out-far", "timelapse", "delete"),
)
GRID_BUTTONS = ("rerun", "remix", "timelapse", "delete")
FILM_BUTTONS = ("delete",)
TILED_BUTTONS = (*FINISHED_BUTTONS[:-1], "tiled", "delete")
ANIMATED_BUTTONS = ("rerun", "remix", "edit", "delete")
FAILED_BUTTONS = ("rerun", "remix", "delete")


@dataclass(frozen=True, slots=True)
class MessageContent:
    """The texts and buttons of one message; `alt` describes its picture, which is sent separately."""

    colour: int
    title: str
    status: str
    small: tuple[str, ...]
    buttons: tuple[str, ...]
    alt: str
    spoiler: bool = False
    """Hide the picture until somebody clicks it."""


def queued(job: Job, position: int, starts_at: float | None) -> MessageContent:
    """Show a waiting job: `position` 1 is next; `starts_at` in unix seconds, None when unknown."""
    place = "Next in line" if position <= 1 else f"Number {position} in line"
    when = f", starts {_countdown(starts_at)}" if starts_at is not None else ""
    return _content(job, GREY, f"⏳ {place}{when}", WAITING_BUTTONS)


def waiting(job: Job) -> MessageContent:
    """Show a waiting job without position and expected start."""
    return _content(job, GREY, "⏳ Waiting for its turn; /queue tells how long.", WAITING_BUTTONS)


def held(job: Job) -> MessageContent:
    """Show a waiting job while painting is paused."""
    return _content(job, AMBER, "⏸️ Painting is paused here; this waits until it goes on.", WAITING_BUTTONS)


def painting(job: Job, progress: Progress, now: float) -> MessageContent:
    """Show a running job: bar, step, speed and the time left as a stamp that counts down by itself."""
    share = progress.step / max(progress.steps, 1)
    parts = [f"step {progress.step} of {progress.steps}"]
    if progress.per_second > 0:
        parts.append(speed(progress.per_second))
    if progress.step < progress.steps:
        parts.append(f"ready {_countdown(now + progress.seconds_left)}")
    return _content(job, BLUE, f"{bar(share)} **{share:.0%}**\n{' · '.join(parts)}", PAINTING_BUTTONS)


def starting(job: Job) -> MessageContent:
    """Show a running job before its first picture."""
    return _content(job, BLUE, f"{bar(0)} **0%** · mixing the paint…", PAINTING_BUTTONS)


def interrupted(job: Job) -> MessageContent:
    """Show a running job while the bot restarts."""
    return _content(job, AMBER, "💤 Back soon: this picture goes on from where it is.", ("stop",))


def finished(job: Job) -> MessageContent:
    """Show a finished picture, or the film of one."""
    took = duration(job.seconds or 0)
    if job.kind == "timelapse":
        return _content(job, GREEN, f"🎞️ The painting in the making · {took}", FILM_BUTTONS)
    if job.spec.motion is not None:
        return _content(job, GREEN, f"🎞️ Animated in {took}", ANIMATED_BUTTONS)
    buttons = _finished_buttons(job.spec)
    if 0 < job.step < job.spec.steps:
        return _content(job, GREEN, f"⏹️ Stopped at step {job.step} of {job.spec.steps}, after {took}", buttons)
    return _content(job, GREEN, f"🖼️ Painted in {took}", buttons)


def _finished_buttons(spec: PaintingSpec) -> tuple[str, ...]:
    if spec.count > 1:
        numbers = range(1, spec.count + 1)
        return (*(f"v{number}" for number in numbers), *(f"u{number}" for number in numbers), *GRID_BUTTONS)
    return TILED_BUTTONS if spec.tile else FINISHED_BUTTONS


def cancelled(job: Job) -> MessageContent:
    """Show a job that was stopped before there was a picture."""
    return _content(job, GREY, "⏹️ Cancelled.", FAILED_BUTTONS)


def failed(job: Job, sentence: str) -> MessageContent:
    """Show a job that could not be painted, with the one sentence that says why."""
    return _content(job, RED, f"⚠️ {plain(sentence, 400)}", FAILED_BUTTONS)


def gone(job: Job) -> MessageContent:
    """Show a job whose picture was deleted by the retention policy."""
    return _content(job, GREY, "🕸️ This picture has been cleared away; Rerun paints another.", FAILED_BUTTONS)


def bar(share: float) -> str:
    """Draw `share` (0 to 1) as a bar of fixed length."""
    full = round(min(max(share, 0.0), 1.0) * _BAR_CELLS)
    return "▰" * full + "▱" * (_BAR_CELLS - full)


def speed(per_second: float) -> str:
    """Write steps per second as it/s, or as s/it when slower than one."""
    return f"{per_second:.1f} it/s" if per_second >= 1 else f"{1 / per_second:.1f} s/it"


def duration(seconds: float) -> str:
    """Write `seconds` as people say it: `8 s`, `2 min 5 s`, `1 h 3 min`."""
    whole = max(round(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def settings_line(spec: PaintingSpec) -> str:
    """Write the settings of a picture in one line, without its prompt."""
    perceptors = " + ".join(choice.name for choice in spec.perceptors)
    models = spec.generator if perceptors == spec.generator else f"{spec.generator} · {perceptors}"
    parts = [spec.preset, f"{spec.width} × {spec.height}", f"{spec.steps} steps", f"seed {spec.seed}", models]
    if spec.tile:
        parts.append("tiles")
    if spec.count > 1:
        parts[3] = f"{spec.count} pictures, seeds from {spec.seed}"
    if spec.init_image is not None and spec.strength < 1:
        parts.insert(3, f"strength {spec.strength:g}")
    return " · ".join(parts)


def _countdown(moment: float) -> str:
    return f"<t:{int(moment)}:R>"


def _title(prompt: str) -> str:
    words = plain(prompt, TITLE_LIMIT)
    return f"### {words}" if len(words) <= _HEADING_LIMIT else f"**{words}**"


def _other_words(job: Job) -> tuple[str, ...]:
    """Say what is painted where it is not just what was typed: a suffix was added, or words to push away."""
    painted = tuple(prompt for prompt in job.spec.prompts if prompt.kind != "image")
    if not painted or painted == _typed(job):
        return ()
    return (f"-# Paints: {plain(format_prompts(painted), 300)}",)


def _typed(job: Job) -> tuple[Prompt, ...]:
    """Read the prompt as it was typed; nothing where another version's grammar was meant."""
    try:
        words = with_flags(PaintingOptions(prompt=job.prompt)).prompt
        return parse_prompts(words, timed=job.spec.motion is not None)
    except (Refusal, BadPromptError):
        return ()


def _content(job: Job, colour: int, status: str, buttons: tuple[str, ...]) -> MessageContent:
    made_from = _ORIGINS.get(job.kind)
    origin = f" · {made_from} `{job.parent_id}`" if made_from and job.parent_id else ""
    small = tuple(f"-# ℹ️ {plain(note, 300)}" for note in job.notices) + _other_words(job)
    small += (f"-# {settings_line(job.spec)}", f"-# `{job.id}` by <@{job.user_id}>{origin}")
    spoiler = not HIDING_NOTICES.isdisjoint(job.notices)
    return MessageContent(colour, _title(job.prompt), status, small, buttons, bare(job.prompt, ALT_LIMIT), spoiler)
