import pytest
from pydantic import ValidationError

from bot.queue.database import Database
from bot.queue.preferences import WHOLE_PROCESS, GuildSettings, Preferences, UserSettings, defaults_for
from bot.settings import ModelSettings


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


@pytest.mark.parametrize("what", ["paused", "draining"])
async def test_pause_and_drain_are_two_things_for_one_server_and_for_all(tmp_path, what):
    database = await Database.open(tmp_path / "ledger.sqlite3")
    preferences = Preferences(database)
    other = {"paused": "draining", "draining": "paused"}[what]

    async def held(guild_id):
        now = await preferences.guild_in_effect(guild_id)
        return getattr(now, what), getattr(now, other)

    assert [await held(guild_id) for guild_id in (5, 6, None)] == [(False, False)] * 3
    await preferences.change_guild(5, **{what: True}, per_user=2)
    assert [await held(guild_id) for guild_id in (5, 6, None)] == [(True, False), (False, False), (False, False)]
    assert (await preferences.guild_in_effect(5)).per_user == 2
    await preferences.change_guild(WHOLE_PROCESS, **{other: True})
    assert [await held(guild_id) for guild_id in (5, 6, None)] == [(True, True), (False, True), (False, True)]
    await database.close()


def test_ones_own_defaults_come_before_the_servers_and_those_before_the_configurations():
    models = ModelSettings(preset="draft", size="32x32")
    nothing = defaults_for(UserSettings(), GuildSettings(), models)
    assert (nothing.preset, nothing.size, nothing.suffix, nothing.generator) == ("draft", "32x32", "", "embedded")
    guild = GuildSettings(preset="fine", size="64x64", generator="other")
    servers = defaults_for(UserSettings(), guild, models)
    assert (servers.preset, servers.size, servers.generator) == ("fine", "64x64", "other")
    own = defaults_for(UserSettings(preset="normal", size="96x96", suffix="on grey"), guild, models)
    assert (own.preset, own.size, own.suffix, own.generator) == ("normal", "96x96", "on grey", "other")
