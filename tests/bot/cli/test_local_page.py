import socket
from pathlib import Path

import pytest

from bot.cli import local_page
from bot.cli.local_page import at, has_browser, is_remote, welcome
from bot.settings import BadSettingsError, ModelSettings
from engine.catalog import find

URL = "http://127.0.0.1:8765/secret/"
FROM_AFAR = {"SSH_CONNECTION": "10.0.0.7 51234 10.0.0.9 2222", "DISPLAY": "localhost:10.0"}


def test_the_first_lines_say_where_and_what(tmp_path: Path) -> None:
    text = welcome(URL, ModelSettings(folder=tmp_path), {})
    assert f"Open  {URL}\nType  /imagine a red apple\n" in text
    assert "models fetch published   (1.3 GB;" in text
    assert "ssh" not in text
    for word in ("token", "invit", "login"):
        assert word not in text.lower()


def test_from_afar_one_line_says_how_to_come_here(tmp_path: Path) -> None:
    text = welcome(URL, ModelSettings(folder=tmp_path), FROM_AFAR)
    assert "ssh -L 8765:127.0.0.1:8765 " in text
    assert text.split("ssh -L")[1].splitlines()[0].endswith("@10.0.0.9 -p 2222")


def test_what_is_there_already_is_not_offered(tmp_path: Path) -> None:
    for name in ("imagenet-16384", "ViT-B/32"):
        find(name).converted(tmp_path).touch()
    assert "fetch" not in welcome(URL, ModelSettings(folder=tmp_path), {})


def test_a_browser_opens_only_on_a_screen_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    assert has_browser({"DISPLAY": ":0"})
    assert not has_browser({})
    assert not has_browser(FROM_AFAR)
    assert is_remote(FROM_AFAR)


def test_the_bot_has_a_data_folder_of_its_own_and_takes_uploads_from_here_only(settings) -> None:
    own = at(settings, "http://127.0.0.1:8765/api/v10", settings.storage.folder / "local")
    assert own.storage.folder == settings.storage.folder / "local"
    assert own.discord.cdn_hosts == ("127.0.0.1",)
    assert own.limits == settings.limits


def test_a_port_that_is_taken_is_named(settings) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = settings.local.model_copy(update={"port": other.getsockname()[1], "open_browser": False})
        with pytest.raises(BadSettingsError, match=r"local\.port: expected a free port"):
            local_page.run(settings.model_copy(update={"local": taken}))
