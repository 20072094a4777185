"""What people do, and what the bot may answer: a bot made of requests answers, so that each rule is seen."""

import asyncio

import pytest

from local_discord import Refused
from local_discord.permissions import Overwrite, Permission
from tests.local_discord.conftest import png

V2, EPHEMERAL, LOADING = 1 << 15, 64, 128
COMMANDS = [
    {
        "name": "paint",
        "description": "x",
        "options": [
            {"name": "prompt", "type": 3, "description": "x", "required": True, "max_length": 10},
            {"name": "steps", "type": 4, "description": "x", "min_value": 1},
            {"name": "preset", "type": 3, "description": "x", "choices": [{"name": "Quick", "value": "quick"}]},
            {"name": "picture", "type": 11, "description": "x"},
            {"name": "who", "type": 6, "description": "x"},
            {"name": "style", "type": 3, "description": "x", "autocomplete": True},
        ],
    },
    {
        "name": "admin",
        "description": "x",
        "default_member_permissions": "32",
        "options": [{"name": "pause", "type": 1, "description": "x"}],
    },
    {"name": "Edit this picture", "type": 3},
]


def text(name: str, value: object, kind: int = 3) -> dict:
    return {"name": name, "type": kind, "value": value}


@pytest.fixture
async def commands(local, rest):
    answer = await rest("PUT", f"/applications/{local.world.application_id}/commands", COMMANDS)
    return {command["name"]: int(command["id"]) for command in answer.body}


@pytest.fixture
async def asked(local, channel, alice, commands):
    """Use /paint and return the interaction."""

    async def ask(*options: dict):
        number = await local.people.command(alice, channel.id, commands["paint"], [text("prompt", "red"), *options])
        return local.world.interactions[int(number)]

    return ask


def callback(interaction) -> str:
    return f"/interactions/{interaction.id}/{interaction.token}/callback"


def webhook(local, interaction) -> str:
    return f"/webhooks/{local.world.application_id}/{interaction.token}"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "prompt must be given"),
        ([text("prompt", "x" * 11)], "at most 10 characters"),
        ([text("prompt", "x"), text("steps", "3", 4)], "another type"),
        ([text("prompt", "x"), text("steps", 0, 4)], "at least 1"),
        ([text("prompt", "x"), text("preset", "slow")], "one of Quick"),
        ([text("prompt", "x"), text("colour", "red")], "there is no option colour"),
    ],
)
async def test_a_client_does_not_send_what_a_command_does_not_take(local, channel, alice, commands, options, sentence):
    with pytest.raises(Refused, match=sentence):
        await local.people.command(alice, channel.id, commands["paint"], options)


async def test_what_the_bot_gets_of_a_command(local, channel, alice, asked):
    upload = await local.people.upload(alice, channel.id, "SPOILER_a.png", png())
    channel.overwrites[local.world.bot.id] = Overwrite(local.world.bot.id, member=True, deny=Permission.ATTACH_FILES)
    alice.upload_limit = 50 * 2**20
    interaction = await asked(text("picture", upload["id"], 11), text("who", str(local.world.bot.id), 6))
    payload = interaction.payload
    assert payload["data"]["resolved"]["attachments"][upload["id"]]["flags"] == 8
    assert payload["data"]["resolved"]["users"][str(local.world.bot.id)]["bot"] is True
    assert not Permission(int(payload["app_permissions"])) & Permission.ATTACH_FILES
    granted = Permission(int(payload["member"]["permissions"]))
    assert Permission.SEND_MESSAGES in granted
    assert Permission.MANAGE_MESSAGES not in granted
    assert payload["attachment_size_limit"] == 50 * 2**20
    with pytest.raises(Refused, match="no uploaded file"):
        await asked(text("picture", upload["id"], 11))


async def test_commands_are_for_those_who_may_use_them(local, channel, alice, commands):
    world, people = local.world, local.people
    assert {one["name"] for one in people.commands(alice, channel.id)} == {"paint", "Edit this picture"}
    assert {one["name"] for one in people.commands(world.owner, channel.id)} == set(commands)
    with pytest.raises(Refused, match="Missing Permissions"):
        await people.command(alice, channel.id, commands["admin"], [{"name": "pause", "type": 1}])
    channel.overwrites[alice.id] = Overwrite(alice.id, member=True, deny=Permission.VIEW_CHANNEL)
    with pytest.raises(Refused, match="Missing Access"):
        await people.command(alice, channel.id, commands["paint"], [text("prompt", "x")])
    assert str(channel.id) not in [one["id"] for one in people.channels(alice)]


async def test_an_answer_comes_once_and_names_what_it_answers(local, rest, asked, alice):
    interaction = await asked()
    answer = {"type": 4, "data": {"content": "hello"}}
    first = await rest("POST", callback(interaction) + "?with_response=true", answer)
    message = first.body["resource"]["message"]
    assert (message["type"], message["interaction_metadata"]["user"]["id"]) == (20, str(alice.id))
    again = await rest("POST", callback(interaction), answer)
    assert (again.status, again.body["code"]) == (400, 40060)


async def test_three_seconds_and_fifteen_minutes(local, rest, asked, received):
    local.rest.interactions.answer_seconds = 0.1
    late = await asked()
    await asyncio.sleep(0.2)
    refused = await rest("POST", callback(late), {"type": 4, "data": {"content": "x"}})
    assert (refused.status, refused.body["code"]) == (404, 10062)
    failed = next(event for event in received if event.name == "INTERACTION_FAILURE")
    assert (failed.data["id"], failed.only_for) == (str(late.id), late.user.id)
    local.rest.interactions.answer_seconds, local.rest.interactions.token_seconds = 3.0, 0.3
    answered = await asked()
    await rest("POST", callback(answered), {"type": 4, "data": {"content": "x"}})
    assert (await rest("GET", webhook(local, answered) + "/messages/@original")).status == 200
    await asyncio.sleep(0.4)
    refused = await rest("GET", webhook(local, answered) + "/messages/@original")
    assert (refused.status, refused.body["code"]) == (401, 50027)


async def test_thinking_becomes_the_answer_or_the_bot_did_not_respond(local, rest, asked, channel, alice):
    interaction = await asked()
    await rest("POST", callback(interaction), {"type": 5, "data": {"flags": EPHEMERAL}})
    [waiting] = await local.people.messages(alice, channel.id)
    assert waiting["flags"] == EPHEMERAL | LOADING
    followed = await rest("POST", webhook(local, interaction), {"content": "here"})
    assert followed.body["id"] == waiting["id"], "the first follow-up takes the place of thinking"
    [shown] = await local.people.messages(alice, channel.id)
    assert (shown["content"], shown["flags"]) == ("here", EPHEMERAL)
    assert await local.people.messages(local.world.user("bob"), channel.id) == []
    assert (await rest("GET", f"/channels/{channel.id}/messages/{shown['id']}")).body["code"] == 10008
    await local.people.dismiss(alice, int(shown["id"]))
    local.rest.interactions.answer_seconds, local.rest.interactions.token_seconds = 0.2, 0.3
    interaction = await asked()
    await rest("POST", callback(interaction), {"type": 5})
    await asyncio.sleep(0.4)
    [shown] = await local.people.messages(alice, channel.id)
    assert (shown["content"], shown["flags"]) == ("The application did not respond", 0)


async def test_autocomplete(local, rest, channel, alice, commands):
    options = [text("prompt", "x"), {**text("style", "oi"), "focused": True}]
    asking = asyncio.create_task(local.people.autocomplete(alice, channel.id, commands["paint"], options))
    await asyncio.sleep(0)
    [interaction] = local.world.interactions.values()
    assert (interaction.type, interaction.payload["data"]["options"][1]["focused"]) == (4, True)
    wrong = await rest("POST", callback(interaction), {"type": 4, "data": {"content": "x"}})
    assert wrong.status == 400, "choices are the only answer"
    await rest("POST", callback(interaction), {"type": 8, "data": {"choices": [{"name": "oil", "value": "oil"}]}})
    assert await asking == [{"name": "oil", "value": "oil"}]
    local.rest.interactions.answer_seconds = 0.1
    assert await local.people.autocomplete(alice, channel.id, commands["paint"], options) == []


async def test_a_menu_brings_the_whole_message(local, rest, channel, alice, commands):
    upload = await local.people.upload(alice, channel.id, "a.png", png())
    said = await local.people.say(alice, channel.id, "look", [int(upload["id"])])
    number = await local.people.menu(alice, channel.id, commands["Edit this picture"], int(said["id"]))
    data = local.world.interactions[int(number)].payload["data"]
    assert data["target_id"] == said["id"]
    assert data["resolved"]["messages"][said["id"]]["attachments"][0]["filename"] == "a.png"


async def test_buttons_and_selects(local, rest, channel, alice):
    options = [{"label": name, "value": name} for name in ("one", "two", "three")]
    select = {"type": 3, "custom_id": "select", "options": options, "max_values": 2}
    off = {"type": 2, "style": 1, "label": "x", "custom_id": "off", "disabled": True}
    rows = [{"type": 1, "components": [select]}, {"type": 1, "components": [off]}]
    sent = (await rest("POST", f"/channels/{channel.id}/messages", {"flags": V2, "components": rows})).body
    number = int(sent["id"])
    chosen = await local.people.select(alice, channel.id, number, "select", ["one", "three"])
    interaction = local.world.interactions[int(chosen)]
    assert interaction.payload["data"] == {
        "custom_id": "select",
        "component_type": 3,
        "id": sent["components"][0]["components"][0]["id"],
        "values": ["one", "three"],
    }
    assert interaction.payload["message"]["id"] == sent["id"]
    for values in (["four"], [], ["one", "two", "three"]):
        with pytest.raises(Refused):
            await local.people.select(alice, channel.id, number, "select", values)
    with pytest.raises(Refused, match="no component off"):
        await local.people.press(alice, channel.id, number, "off")
    update = {"type": 7, "data": {"components": [{"type": 10, "content": "changed"}]}}
    assert (await rest("POST", callback(interaction), update)).status == 204
    assert local.world.messages[number].text.strip() == "changed"


def label(number: int, component: dict) -> dict:
    return {"type": 18, "label": f"Field {number}", "component": component}


async def test_a_form_with_every_kind_of_field(local, rest, channel, alice, asked):
    """developers/components/reference, the "Interaction Response Structure" of each."""
    choices = [{"label": name, "value": name} for name in ("a", "b", "c")]
    fields = [
        [
            {"type": 4, "custom_id": "text", "style": 1, "max_length": 5},
            {"type": 3, "custom_id": "select", "options": choices},
            {"type": 21, "custom_id": "radio", "options": choices},
            {"type": 22, "custom_id": "boxes", "options": choices, "required": False, "min_values": 0},
            {"type": 23, "custom_id": "box"},
        ],
        [
            {"type": 19, "custom_id": "files", "max_values": 2},
            {"type": 5, "custom_id": "user"},
            {"type": 6, "custom_id": "role"},
            {"type": 7, "custom_id": "anybody"},
            {"type": 8, "custom_id": "place"},
        ],
    ]
    forms = []
    for number, five in enumerate(fields):
        interaction = await asked()
        components = [label(place, field) for place, field in enumerate(five)]
        form = {"custom_id": f"form {number}", "title": "Form", "components": components}
        assert (await rest("POST", callback(interaction), {"type": 9, "data": form})).status == 204
        forms.append(interaction)

    async def send(form, **values):
        number = await local.people.submit(alice, form.id, values)
        data = local.world.interactions[int(number)].payload["data"]
        return data, {row["component"]["custom_id"]: row["component"] for row in data["components"]}

    _, filled = await send(forms[0], text="hi", select=["b"], radio="c", boxes=["a", "c"], box=True)
    assert {name: one.get("value", one.get("values")) for name, one in filled.items()} == {
        "text": "hi",
        "select": ["b"],
        "radio": "c",
        "boxes": ["a", "c"],
        "box": True,
    }
    _, filled = await send(forms[0], text="hi", select=["b"], radio="c")
    assert (filled["boxes"]["values"], filled["box"]["value"]) == ([], False)
    for wrong in ({"text": "longer"}, {"text": ""}, {"radio": None}, {"select": ["d"]}, {"boxes": ["d"]}, {"no": "x"}):
        with pytest.raises(Refused):
            await send(forms[0], **({"text": "hi", "select": ["b"], "radio": "c"} | wrong))
    upload = await local.people.upload(alice, channel.id, "a.png", png())
    who, role, place = str(alice.id), str(local.world.guild_id), str(channel.id)
    data, filled = await send(forms[1], files=[upload["id"]], user=[who], role=[role], anybody=[role], place=[place])
    assert filled["files"]["values"] == [upload["id"]]
    assert {name: list(found) for name, found in data["resolved"].items()} == {
        "attachments": [upload["id"]],
        "users": [who],
        "roles": [role],
        "channels": [place],
    }


async def test_what_people_write_is_shown_and_sent_to_the_bot(local, rest, channel, alice, received):
    people = local.people
    said = await people.say(alice, channel.id, "hello")
    reply = await people.say(alice, channel.id, "again", reply_to=int(said["id"]))
    assert (reply["type"], reply["referenced_message"]["content"]) == (19, "hello")
    assert (await people.edit(alice, channel.id, int(said["id"]), "changed"))["edited_timestamp"]
    await people.react(alice, channel.id, int(said["id"]), "🎲")
    await people.react(alice, channel.id, int(said["id"]), "🎲")
    [reaction] = (await people.messages(alice, channel.id))[0]["reactions"]
    assert (reaction["count"], reaction["me"]) == (1, True)
    bob = local.world.user("bob")
    assert (await people.messages(bob, channel.id))[0]["reactions"][0]["me"] is False
    await people.unreact(alice, channel.id, int(said["id"]), "🎲")
    await people.typing(alice, channel.id)
    await people.delete(alice, channel.id, int(said["id"]))
    assert [event.name for event in received] == [
        "MESSAGE_CREATE",
        "MESSAGE_CREATE",
        "MESSAGE_UPDATE",
        "MESSAGE_REACTION_ADD",
        "MESSAGE_REACTION_REMOVE",
        "TYPING_START",
        "MESSAGE_DELETE",
    ]
    assert all(people.sees(bob, event) for event in received)
    channel.overwrites[bob.id] = Overwrite(bob.id, member=True, deny=Permission.VIEW_CHANNEL)
    assert not any(people.sees(bob, event) for event in received)
    with pytest.raises(Refused, match="empty"):
        await people.say(alice, channel.id, "  ")
