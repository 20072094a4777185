"""The server that a person finds at the first start."""

from local_discord.objects import Channel, User
from local_discord.permissions import Overwrite, Permission
from local_discord.world import World

_CHANNELS = (
    ("paintings", "Type / to see what the bot can do"),
    ("sketches", "A second channel, to see that they do not wait for each other"),
    ("no-pictures", "The bot may not attach files here"),
)


def furnish(world: World) -> None:
    """Make two people, one of whom owns the server, and three channels, in one of which the bot lacks a permission."""
    if world.channels:
        return
    world.owner.name = "you"
    world.add_user(world.owner)
    world.add_user(User("a friend"))
    for position, (name, topic) in enumerate(_CHANNELS):
        channel = Channel(name, world.guild_id, topic=topic, position=position)
        if name == "no-pictures":
            channel.overwrites[world.bot.id] = Overwrite(world.bot.id, member=True, deny=Permission.ATTACH_FILES)
        world.add_channel(channel)
