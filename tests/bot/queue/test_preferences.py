import pytest
from pydantic import ValidationError

from bot.queue.database import Database
from bot.queue.preferences import WHOLE_PROCESS, GuildSettings, Preferences, UserSettings


async def test_preferences_survive_a_reopening(tmp_path):
    path = tmp_path / "ledger.sqlite3"
    database = await Database.open(path)
    preferences = Preferences(database)
    guild = await preferences.change_guild(5, paused=True, per_role={5: 2}, blocked_words=frozenset({"spam"}))
    await preferences.save_user(1, UserSettings(suffix="oil on canvas"))
    await database.close()
    database = await Database.open(path)
    preferences = Preferences(database)
    assert await preferences.guild(5) == guild
    assert guild.paused
    assert await preferences.all_guilds() == {5: guild}
    assert (await preferences.user(1)).suffix == "oil on canvas"
    assert await preferences.guild(6) == GuildSettings()
    await database.close()


async def test_the_whole_processs_pause_holds_everywhere_and_changes_nobodys_own(tmp_path):
    database = await Database.open(tmp_path / "ledger.sqlite3")
    preferences = Preferences(database)
    await preferences.change_guild(5, per_user=2)
    await preferences.change_guild(WHOLE_PROCESS, paused=True)
    for guild_id in (5, 6, None):
        assert (await preferences.guild_in_effect(guild_id)).paused
    assert await preferences.guild(5) == GuildSettings(per_user=2)
    with pytest.raises(ValidationError):
        await preferences.change_guild(5, per_user=-1)
    assert await preferences.guild(5) == GuildSettings(per_user=2)
    await database.close()
