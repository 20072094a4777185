"""Who may do what where: developers/topics/permissions, "Permission Overwrites" and "Implicit Permissions"."""

from collections.abc import Iterable, Mapping
from enum import IntFlag

from local_discord.ids import Json


class Permission(IntFlag):
    """The permissions that are looked at here."""

    ADMINISTRATOR = 1 << 3
    MANAGE_CHANNELS = 1 << 4
    MANAGE_GUILD = 1 << 5
    ADD_REACTIONS = 1 << 6
    VIEW_CHANNEL = 1 << 10
    SEND_MESSAGES = 1 << 11
    MANAGE_MESSAGES = 1 << 13
    EMBED_LINKS = 1 << 14
    ATTACH_FILES = 1 << 15
    READ_MESSAGE_HISTORY = 1 << 16
    MENTION_EVERYONE = 1 << 17
    USE_EXTERNAL_EMOJIS = 1 << 18
    USE_APPLICATION_COMMANDS = 1 << 31
    MANAGE_THREADS = 1 << 34
    CREATE_PUBLIC_THREADS = 1 << 35
    CREATE_PRIVATE_THREADS = 1 << 36
    SEND_MESSAGES_IN_THREADS = 1 << 38


ALL = Permission((1 << 53) - 1)
MEMBER = (
    Permission.ADD_REACTIONS
    | Permission.VIEW_CHANNEL
    | Permission.SEND_MESSAGES
    | Permission.EMBED_LINKS
    | Permission.ATTACH_FILES
    | Permission.READ_MESSAGE_HISTORY
    | Permission.USE_APPLICATION_COMMANDS
    | Permission.CREATE_PUBLIC_THREADS
    | Permission.CREATE_PRIVATE_THREADS
    | Permission.SEND_MESSAGES_IN_THREADS
)
"""What everybody may do on a server as it is made."""
_NOT_ASKED_FOR = (
    Permission.USE_APPLICATION_COMMANDS | Permission.CREATE_PUBLIC_THREADS | Permission.CREATE_PRIVATE_THREADS
)
BOT = MEMBER & ~_NOT_ASKED_FOR
"""What a bot is invited with that posts pictures."""
DIRECT = MEMBER | Permission.MENTION_EVERYONE | Permission.USE_EXTERNAL_EMOJIS
"""In direct messages nobody can be kept from anything."""
_NEED_SENDING = Permission.MENTION_EVERYONE | Permission.ATTACH_FILES | Permission.EMBED_LINKS


class Overwrite:
    """What a channel allows and denies a role or a member."""

    def __init__(self, target_id: int, *, member: bool, allow: int = 0, deny: int = 0) -> None:
        self.target_id = target_id
        self.member = member
        self.allow = Permission(allow)
        self.deny = Permission(deny)

    def json(self) -> Json:
        """Return the API's overwrite object."""
        return {
            "id": str(self.target_id),
            "type": int(self.member),
            "allow": str(int(self.allow)),
            "deny": str(int(self.deny)),
        }


def base_permissions(roles: Iterable[Permission], *, owner: bool) -> Permission:
    """Compute what somebody may do on the server, by the permissions of their roles, @everyone among them."""
    granted = Permission(0)
    for permissions in roles:
        granted |= permissions
    return ALL if owner or Permission.ADMINISTRATOR in granted else granted


def in_channel(
    base: Permission,
    overwrites: Mapping[int, Overwrite],
    everyone: int,
    roles: Iterable[int],
    member: int,
    sending: Permission = Permission.SEND_MESSAGES,
) -> Permission:
    """Compute what somebody may do in a channel: @everyone's overwrite, then all roles' together, then their own.

    `sending` is what writing takes there: in a thread, whose overwrites are its channel's, SEND_MESSAGES_IN_THREADS.
    """
    if Permission.ADMINISTRATOR in base:
        return ALL
    granted = base
    if (general := overwrites.get(everyone)) is not None:
        granted = granted & ~general.deny | general.allow
    theirs = [overwrites[role] for role in roles if role in overwrites and role != everyone]
    for overwrite in theirs:
        granted &= ~overwrite.deny
    for overwrite in theirs:
        granted |= overwrite.allow
    if (own := overwrites.get(member)) is not None:
        granted = granted & ~own.deny | own.allow
    if Permission.VIEW_CHANNEL not in granted:
        return Permission(0)
    return granted if sending in granted else granted & ~_NEED_SENDING
