"""`config.yaml` and the environment, read into typed settings. Secrets come from the environment only."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from engine.catalog import Kind, catalogue
from engine.presets import PRESETS
from engine.spec import MOST_PICTURES

PREFIX = "PAINTER__"
"""`PAINTER__WORKER__DEVICE=cpu` in the environment is `worker.device: cpu` in config.yaml, and wins over it."""

AUTO = "auto"
"""Stands for the published networks where they have been fetched, and for the embedded ones elsewhere."""
EMBEDDED = "embedded"
Action = Literal["rerun", "same-seed", "vary", "refine", "timelapse", "send", "stop"]
_Seconds = Annotated[float, Field(gt=0)]
_Folder = Annotated[Path, AfterValidator(Path.expanduser)]


def _as_list(value: Any) -> Any:
    """Take a single value where a list is expected."""
    return value if value is None or value == AUTO or isinstance(value, list | tuple | dict | set) else [value]


def _known(name: str, there_are: Iterable[str]) -> str:
    """Return `name`; raise `ValueError` where there is no such thing."""
    names = tuple(there_are)
    if name not in names:
        raise ValueError(f"one of {', '.join(names)}")
    return name


def _models(kind: Kind) -> tuple[str, ...]:
    return (EMBEDDED, *(model.name for model in catalogue().values() if model.kind == kind))


def _known_perceptors(names: Any) -> Any:
    return names if names == AUTO else tuple(_known(name, _models("perceptor")) for name in names)


_Texts = Annotated[tuple[str, ...], BeforeValidator(_as_list)]
_Ids = Annotated[tuple[int, ...], BeforeValidator(_as_list)]
_PresetName = Annotated[str, AfterValidator(lambda name: _known(name, PRESETS))]
_GeneratorName = Annotated[str, AfterValidator(lambda name: _known(name, (AUTO, *_models("generator"))))]


class BadSettingsError(Exception):
    """Invalid settings; the text is one line naming the key and what is expected."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DiscordSettings(_Section):
    """Discord's addresses and the rate of edits."""

    api_base: str = Field(default="https://discord.com/api/v10", pattern=r"^https?://")
    cdn_hosts: _Texts = ("cdn.discordapp.com", "media.discordapp.net")
    guild_ids: _Ids = ()
    preview_seconds: _Seconds = 3.0
    edit_age_seconds: _Seconds = 3300.0
    longest_rate_limit: Annotated[float, Field(ge=30)] = 30.0


class LimitSettings(_Section):
    """Limits on requests."""

    per_user: int = Field(default=3, ge=0)
    per_guild: int = Field(default=50, ge=0)
    per_role: dict[int, int] = {}
    total: int = Field(default=1000, ge=1)
    cooldown_seconds: float = Field(default=0.0, ge=0)
    cooldown_per_role: dict[int, Annotated[float, Field(ge=0)]] = {}
    per_day: int | None = Field(default=None, ge=0)
    per_day_per_role: dict[int, Annotated[int, Field(ge=0)]] = {}
    paused_hours: float = Field(default=24.0, gt=0)
    upload_megabytes_per_user: float = Field(default=200.0, gt=0)
    upload_megabytes_in_all: float = Field(default=5000.0, gt=0)
    largest_side: int = Field(default=1024, ge=32, le=4096)
    most_steps: int = Field(default=2000, ge=1, le=10_000)
    most_pictures: int = Field(default=MOST_PICTURES, ge=1, le=MOST_PICTURES)
    upload_bytes: int = Field(default=25 * 2**20, ge=1024)


class WorkerSettings(_Section):
    """How jobs are painted, and on which device."""

    device: str = "auto"
    painters: Annotated[_Texts | Literal["auto"], BeforeValidator(_as_list), Field(min_length=1)] = AUTO
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    deterministic: bool = False
    checkpoint_seconds: _Seconds = 15.0
    first_preview_step: int = Field(default=4, ge=1)
    preview_side: int = Field(default=768, ge=64, le=4096)
    frames: int = Field(default=120, ge=0, le=2000)
    film_megabytes: float = Field(default=9.5, gt=0)
    attempts: int = Field(default=3, ge=1)
    isolation: Literal["thread", "process", "ray"] = "thread"
    hang_seconds: float = Field(default=600.0, ge=0)


class RaySettings(_Section):
    """Which cluster paints with `worker.isolation: ray`, and how many painters it has."""

    address: str = Field(default="local", pattern=r"^(local|[\w.-]+:\d{1,5})$")
    painters: int | None = Field(default=None, ge=1)


class DeliverySettings(_Section):
    """How pictures are posted."""

    enlarge_to: int = Field(default=512, ge=0, le=4096)


class ModelSettings(_Section):
    """Where networks are stored, and the defaults for painting."""

    folder: _Folder = Path("data/models")
    generator: _GeneratorName = AUTO
    perceptors: Annotated[_Texts | Literal["auto"], BeforeValidator(_as_list), AfterValidator(_known_perceptors)] = AUTO
    preset: _PresetName = "normal"
    count: int = Field(default=1, ge=1, le=MOST_PICTURES)
    size: str | None = Field(default=None, pattern=r"^\d{2,4}x\d{2,4}$")
    allowed: _Texts = ()


class StorageSettings(_Section):
    """Where data is stored, and for how long."""

    folder: _Folder = Path("data")
    keep_days: float = Field(default=30.0, gt=0)
    keep_gigabytes: float = Field(default=20.0, gt=0)
    ledger_days: float = Field(default=365.0, gt=0)


class ModerationSettings(_Section):
    """What is refused in every guild, and which pictures are hidden."""

    blocked_words: _Texts = ()
    blocked_users: _Ids = ()
    pictures: Literal["show", "spoiler", "refuse"] = "show"
    concepts: _Texts = ("an explicit nude", "a sexual act", "a bloody wound", "a mutilated body")
    picture_threshold: float = Field(default=0.5, gt=0, le=1)


class HealthSettings(_Section):
    """Where `/healthz` and `/metrics` listen."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)


class LocalSettings(_Section):
    """Where the bot is to be seen without a token."""

    port: int = Field(default=8765, ge=0, le=65535)
    open_browser: bool = True


class LogSettings(_Section):
    """Format and level of the log."""

    format: Literal["auto", "human", "json"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"


class ReactionSettings(_Section):
    """What each emoji does."""

    actions: dict[str, Action] = {
        "🔁": "rerun",
        "🔂": "same-seed",
        "🎲": "vary",
        "⬆️": "refine",
        "🎞️": "timelapse",
        "✉️": "send",
        "❌": "stop",
    }
    seeded: _Texts = ("🔁", "🎲", "❌")


class Settings(BaseSettings):
    """All settings. config.yaml explains each key."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    discord: DiscordSettings = DiscordSettings()
    limits: LimitSettings = LimitSettings()
    worker: WorkerSettings = WorkerSettings()
    ray: RaySettings = RaySettings()
    models: ModelSettings = ModelSettings()
    delivery: DeliverySettings = DeliverySettings()
    storage: StorageSettings = StorageSettings()
    reactions: ReactionSettings = ReactionSettings()
    moderation: ModerationSettings = ModerationSettings()
    health: HealthSettings = HealthSettings()
    local: LocalSettings = LocalSettings()
    log: LogSettings = LogSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over the file, whose content comes as arguments."""
        return env_settings, init_settings


def load_settings(path: Path | None) -> Settings:
    """Read the settings from `path` (None: defaults) and the environment; raise `BadSettingsError`."""
    _refuse_unknown_variables()
    try:
        return Settings(**_read_yaml(path))
    except ValidationError as error:
        raise BadSettingsError(_line(error)) from None
    except ValueError as error:  # pydantic-settings: a variable that should hold JSON and does not
        raise BadSettingsError(f"{error.args[0]}: expected JSON, such as [1, 2] or {{}}.") from None


def read_token(environment: Mapping[str, str] = os.environ) -> SecretStr | None:
    """Take the bot's token from DISCORD_TOKEN, or from the file named by DISCORD_TOKEN_FILE; None if neither is set."""
    token = _unquoted(environment.get("DISCORD_TOKEN", ""))
    file = environment.get("DISCORD_TOKEN_FILE", "").strip()
    if token and file:
        raise BadSettingsError("DISCORD_TOKEN and DISCORD_TOKEN_FILE are both set: keep one of them.")
    if file:
        try:
            token = _unquoted(Path(file).expanduser().read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError):
            raise BadSettingsError(f"DISCORD_TOKEN_FILE: expected a readable text file, found {file}.") from None
        if not token:
            raise BadSettingsError(f"DISCORD_TOKEN_FILE: expected the bot's token in {file}, found an empty file.")
    if any(character.isspace() for character in token):
        raise BadSettingsError("DISCORD_TOKEN: expected the bot's token alone, found spaces inside it.")
    return SecretStr(token) if token else None


def _unquoted(text: str) -> str:
    """Take off spaces around a value, and the quotes that shells take off and env files do not."""
    text = text.strip()
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1].strip() if quoted else text


def require_token(environment: Mapping[str, str] = os.environ) -> SecretStr:
    """Take the bot's token as `read_token` does; raise `BadSettingsError` when there is none."""
    token = read_token(environment)
    if token is None:
        raise BadSettingsError(
            "DISCORD_TOKEN: expected the bot's token in the environment (or its file in DISCORD_TOKEN_FILE)."
        )
    return token


def _read_yaml(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        raise BadSettingsError(f"{path}: expected a readable text file.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", which ends near line {mark.line + 1}" if mark else ""
        raise BadSettingsError(f"{path}: expected YAML{where}.") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise BadSettingsError(f"{path}: expected sections such as `worker:` at the top.")
    return {str(key): value for key, value in content.items() if value is not None}


def _refuse_unknown_variables() -> None:
    """Catch what pydantic-settings lets pass: a variable with our prefix and a section that does not exist."""
    for name in os.environ:
        section = name.upper().removeprefix(PREFIX).split("__")[0].lower()
        if name.upper().startswith(PREFIX) and section not in Settings.model_fields:
            sections = ", ".join(Settings.model_fields)
            raise BadSettingsError(f"{name}: there is no section '{section}'; there are {sections}.")


def _line(error: ValidationError) -> str:
    """Say in one line which key is wrong and what is expected there."""
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        hint = " Secrets belong in the environment." if "token" in key else ""
        return f"{key}: there is no such setting; config.yaml of the repository lists all of them.{hint}"
    expected = first["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    expected = _EXPECTED.get(first["type"], expected)
    return f"{key}: expected {expected}, found {first['input']!r}."


_EXPECTED = {"tuple_type": "a list such as [one, two]", "string_pattern_mismatch": "a value such as config.yaml shows"}
"""Pydantic's kinds of complaint that speak of Python, in words for people."""
