"""Settings: one line for whatever is wrong, and a config.yaml that says what the code does."""

import os
from pathlib import Path

import pytest
import yaml

from bot.settings import PREFIX, BadSettingsError, Settings, load_settings, read_token, require_token

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def no_overrides(monkeypatch):
    for name in list(os.environ):
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)


def complaint(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(BadSettingsError) as caught:
        load_settings(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_config_yaml_holds_every_setting_with_its_default_and_a_comment():
    path = REPOSITORY / "config.yaml"
    assert load_settings(path) == load_settings(None)
    lines, content = path.read_text().splitlines(), yaml.safe_load(path.read_text())
    assert set(content) == set(Settings.model_fields)
    for section, keys in content.items():
        fields = type(getattr(load_settings(None), section)).model_fields
        assert set(keys) == set(fields), section
    keys = [n for n, line in enumerate(lines) if line.startswith("  ") and line[2] not in ' #"']
    for number in keys:
        block = lines[max(0, number - 4) : number]
        assert any(line.lstrip().startswith("#") for line in block), lines[number]


def test_an_empty_file_means_defaults(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("worker:\n")
    assert load_settings(path) == load_settings(None)


def test_the_environment_wins_over_the_file(tmp_path, monkeypatch):
    path = tmp_path / "config.yaml"
    path.write_text("worker: {device: cuda, frames: 7}\n")
    monkeypatch.setenv("PAINTER__WORKER__DEVICE", "cpu")
    monkeypatch.setenv("PAINTER__LIMITS__PER_ROLE", '{"12345678901234567890": 9}')
    settings = load_settings(path)
    assert (settings.worker.device, settings.worker.frames) == ("cpu", 7)
    assert settings.limits.per_role == {12345678901234567890: 9}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("wroker: {}", "wroker: there is no such setting"),
        ("worker: {devise: cpu}", "worker.devise: there is no such setting"),
        ("discord: {token: abc}", "Secrets belong in the environment"),
        ("limits: {per_user: many}", "limits.per_user: expected a valid integer"),
        ("limits: {per_user: -1}", "limits.per_user: expected greater than or equal to 0, found -1"),
        ("worker: {precision: fp8}", "worker.precision: expected 'auto', 'bf16' or 'fp32', found 'fp8'"),
        ("reactions: {actions: {🔁: dance}}", "reactions.actions.🔁: expected 'rerun'"),
        ("health: {port: 99999}", "health.port: expected less than or equal to 65535"),
        ("worker: 5", "worker: expected"),
        ("- worker", "expected sections"),
        ("worker: [", "expected YAML"),
        ("discord: {guild_ids: {a: 1}}", "discord.guild_ids: expected a list such as [one, two]"),
        ("models: {preset: best}", "models.preset: expected one of paper, "),
        ("models: {generator: imagenet}", "models.generator: expected one of auto, embedded, imagenet-16384, "),
        ("models: {perceptors: [ViT-B/32, ViT-B/64]}", "expected one of embedded, ViT-B/32, "),
        ("models: {size: big}", "models.size: expected a value such as config.yaml shows, found 'big'"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(tmp_path, text, expected):
    assert expected in complaint(tmp_path, text)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("PAINTER__WORKER__DEVISE", "cpu", "worker.devise: there is no such setting"),
        ("PAINTER__WROKER__DEVICE", "cpu", "there is no section 'wroker'"),
        ("PAINTER__WORKER__ATTEMPTS", "three", "worker.attempts: expected a valid integer"),
        ("PAINTER__DISCORD__GUILD_IDS", "[1,", "JSON"),
    ],
)
def test_a_wrong_variable_is_named_in_one_line(monkeypatch, name, value, expected):
    monkeypatch.setenv(name, value)
    with pytest.raises(BadSettingsError) as caught:
        load_settings(None)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("text", "line"), [("worker: {}\n\tx", 2), ("\tx", 1), ("a: b\n\nc: @", 3)])
def test_where_a_file_is_no_yaml_the_line_is_named(tmp_path, text, line):
    assert complaint(tmp_path, text).endswith(f"config.yaml: expected YAML, which ends near line {line}.")


def test_where_the_parser_names_no_line_none_is_named(tmp_path):
    assert complaint(tmp_path, "a: \x01").endswith("config.yaml: expected YAML.")


def test_what_is_no_text_is_named(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadSettingsError, match=r"config\.yaml: expected a readable text file\."):
        load_settings(path)


def test_variables_of_others_are_nobodys_business_and_case_is_nothing(monkeypatch):
    monkeypatch.setenv("PAINT__WROKER__DEVICE", "cpu")
    monkeypatch.setenv("MY_PAINTER__WROKER", "cpu")
    monkeypatch.setenv("painter__worker__device", "cuda:3")
    assert load_settings(None).worker.device == "cuda:3"
    monkeypatch.setenv("painter__wroker__device", "cpu")
    with pytest.raises(BadSettingsError, match="there is no section 'wroker'; there are discord, limits, worker, ray"):
        load_settings(None)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(BadSettingsError, match=r"nowhere\.yaml"):
        load_settings(tmp_path / "nowhere.yaml")


def test_the_token_comes_from_the_environment_or_a_file(tmp_path):
    file = tmp_path / "token"
    file.write_text("abc.def\n")
    assert read_token({}) is None
    assert require_token({"DISCORD_TOKEN": "abc.def"}).get_secret_value() == "abc.def"
    assert require_token({"DISCORD_TOKEN_FILE": str(file)}).get_secret_value() == "abc.def"


def test_a_token_that_cannot_be_used_is_explained_without_being_shown(tmp_path):
    empty = tmp_path / "empty"
    empty.touch()
    for environment, expected in (
        ({}, "DISCORD_TOKEN: expected"),
        ({"DISCORD_TOKEN": "secret word"}, "spaces inside"),
        ({"DISCORD_TOKEN": "secret", "DISCORD_TOKEN_FILE": "x"}, "both set"),
        ({"DISCORD_TOKEN_FILE": str(tmp_path / "none")}, "readable text file"),
        ({"DISCORD_TOKEN_FILE": str(empty)}, "empty file"),
    ):
        with pytest.raises(BadSettingsError) as caught:
            require_token(environment)
        assert expected in str(caught.value)
        assert "secret" not in str(caught.value)


def test_a_single_value_is_a_list_of_one(tmp_path, monkeypatch):
    path = tmp_path / "config.yaml"
    path.write_text(
        "discord: {guild_ids: 123, cdn_hosts: cdn.example.org}\n"
        "moderation: {blocked_words: nude, blocked_users: 5, concepts: a nude}\n"
        "models: {perceptors: RN50, allowed: coco}\nreactions: {seeded: 🔁}\n"
    )
    settings = load_settings(path)
    assert settings.discord.guild_ids == (123,)
    assert settings.discord.cdn_hosts == ("cdn.example.org",)
    assert (settings.moderation.blocked_words, settings.moderation.blocked_users) == (("nude",), (5,))
    assert settings.moderation.concepts == ("a nude",)
    assert (settings.models.perceptors, settings.models.allowed) == (("RN50",), ("coco",))
    assert settings.reactions.seeded == ("🔁",)
    monkeypatch.setenv("PAINTER__DISCORD__GUILD_IDS", "123")
    assert load_settings(None).discord.guild_ids == (123,)


def test_a_tilde_is_the_home_folder_wherever_a_path_is_read(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "token").write_text("abc")
    path = tmp_path / "config.yaml"
    path.write_text("storage: {folder: ~/painter}\nmodels: {folder: ~/models}\n")
    settings = load_settings(path)
    assert (settings.storage.folder, settings.models.folder) == (tmp_path / "painter", tmp_path / "models")
    assert require_token({"DISCORD_TOKEN_FILE": "~/token"}).get_secret_value() == "abc"


@pytest.mark.parametrize("quoted", ['"abc.def"', "'abc.def'", ' "abc.def" \n'])
def test_quotes_around_the_token_are_taken_off(quoted, tmp_path):
    file = tmp_path / "token"
    file.write_text(quoted)
    assert require_token({"DISCORD_TOKEN": quoted}).get_secret_value() == "abc.def"
    assert require_token({"DISCORD_TOKEN_FILE": str(file)}).get_secret_value() == "abc.def"


@pytest.mark.parametrize("kept", ['"', "\"abc'", 'abc"', "'abc\""])
def test_what_are_no_quotes_around_the_token_stays(kept):
    assert require_token({"DISCORD_TOKEN": kept}).get_secret_value() == kept


@pytest.mark.parametrize("nothing", [{"DISCORD_TOKEN": " "}, {"DISCORD_TOKEN": '""'}, {"DISCORD_TOKEN_FILE": " "}])
def test_a_token_that_says_nothing_is_none(nothing):
    assert read_token(nothing) is None
