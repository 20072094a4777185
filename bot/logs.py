"""Logging: human-readable on a terminal, JSON elsewhere; job ids on every line of a job, secrets removed."""

import json
import logging
import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TextIO

from bot.jobs import Job
from bot.settings import LogSettings

HIDDEN = "[hidden]"
_OURS = ("bot", "cogs", "engine")
_COLOURS = {"WARNING": "\033[33m", "ERROR": "\033[31m", "CRITICAL": "\033[31m"}
_PLAIN, _DIM = "\033[0m", "\033[2m"
# A bot's token by its shape, an Authorization header, and the tokens in addresses of interactions and webhooks.
_TOKENS = re.compile(
    r"(?P<before>\bBot (?=\S{40})|/(?:interactions|webhooks)/\d+/|\b(?=[\w-]{24,28}\.[\w-]{6}\.))"
    r"(?P<token>[\w-]{16,}(?:\.[\w-]+)*)"
)
# Line ends and other controls: a name somebody chose must not look like a line of ours.
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")

_job: ContextVar[str | None] = ContextVar("job", default=None)


def about(job_id: str) -> None:
    """Have every further line of this task, or thread, carry the job's id."""
    _job.set(job_id)


@contextmanager
def of_job(job_id: str) -> Iterator[None]:
    """Have every line inside carry the job's id."""
    before = _job.set(job_id)
    try:
        yield
    finally:
        _job.reset(before)


def set_up(settings: LogSettings, secrets: tuple[str, ...] = (), stream: TextIO | None = None) -> None:
    """Send the whole process's log to `stream` (standard error), without the `secrets`.

    Libraries speak from INFO upwards whatever the level: below it they print prompts and tokens.
    """
    target: TextIO = stream or sys.stderr
    terminal = target.isatty()
    readable = settings.format == "human" or (settings.format == "auto" and terminal)
    handler = logging.StreamHandler(target)
    handler.addFilter(_note_job)
    handler.setFormatter(HumanFormatter(secrets, colours=terminal) if readable else JsonFormatter(secrets))
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    logging.basicConfig(handlers=[handler], level=max(level, logging.INFO), force=True)
    for name in _OURS:
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(capture=True)


def end_of(job: Job) -> tuple[str, Mapping[str, Any]]:
    """Return a summary of an ended job, as one sentence and as fields for `extra`. It holds no word of the prompt."""
    ended = job.finished_at or time.time()
    waited = (job.started_at or ended) - job.created_at
    fields: dict[str, Any] = {
        "state": job.state.value,
        "kind": job.kind,
        "user": job.user_id,
        "guild": job.guild_id,
        "size": f"{job.spec.width}x{job.spec.height}",
        "generator": job.spec.generator,
        "steps": job.step,
        "waited_seconds": round(waited, 3),
        "seconds": None if job.seconds is None else round(job.seconds, 3),
        "total_seconds": round(ended - job.created_at, 3),
    }
    work = f"painted {job.step} steps in {job.seconds:.1f} s" if job.seconds is not None else f"at step {job.step}"
    sentence = (
        f"Job {job.id} ended {job.state.value}: {job.kind} {fields['size']} on {job.spec.generator}"
        f" for user {job.user_id}, waited {waited:.1f} s, {work}"
    )
    return sentence, {"costs": fields}


def _note_job(record: logging.LogRecord) -> bool:
    record.job = _job.get()
    return True


class _Formatter(logging.Formatter):
    def __init__(self, secrets: tuple[str, ...]) -> None:
        super().__init__()
        self._secrets = tuple(secret for secret in secrets if secret)

    def _without_secrets(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return _TOKENS.sub(rf"\g<before>{HIDDEN}", text)

    def _message(self, record: logging.LogRecord) -> str:
        message = self._without_secrets(record.getMessage())
        return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), message)

    def _trace(self, record: logging.LogRecord) -> str:
        return self._without_secrets(self.formatException(record.exc_info)) if record.exc_info else ""


class HumanFormatter(_Formatter):
    """Write `21:05:13 INFO    bot.queue.service [k3v9x2ab] message`, and tracebacks below."""

    def __init__(self, secrets: tuple[str, ...] = (), *, colours: bool = False) -> None:
        super().__init__(secrets)
        self._colours = colours

    def format(self, record: logging.LogRecord) -> str:
        """Write one record."""
        moment = time.strftime("%H:%M:%S", time.localtime(record.created))
        job = getattr(record, "job", None)
        about = f"{record.name} [{job}]" if job else record.name
        level = f"{record.levelname:7}"
        if self._colours:
            moment, about = f"{_DIM}{moment}{_PLAIN}", f"{_DIM}{about}{_PLAIN}"
            level = f"{_COLOURS.get(record.levelname, '')}{level}{_PLAIN}"
        return "\n".join(filter(None, (f"{moment} {level} {about} {self._message(record)}", self._trace(record))))


class JsonFormatter(_Formatter):
    """Write one JSON object a line: time (UTC), level, logger, job, message; costs and trace where there are any."""

    def __init__(self, secrets: tuple[str, ...] = ()) -> None:
        super().__init__(secrets)

    def format(self, record: logging.LogRecord) -> str:
        """Write one record."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "time": f"{moment}.{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "job": getattr(record, "job", None),
            "message": self._message(record),
            "costs": getattr(record, "costs", None),
            "trace": self._trace(record) or None,
        }
        return json.dumps({key: value for key, value in line.items() if value is not None}, ensure_ascii=False)
