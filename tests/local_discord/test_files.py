"""Files that components and embeds show are not attachments, and what is said of them instead."""

import time

import pytest

from local_discord import Refused
from tests.local_discord.conftest import png

V2 = 1 << 15


def gallery(*names: str) -> list:
    return [
        {"type": 17, "components": [{"type": 10, "content": "words"}]},
        {"type": 12, "items": [{"media": {"url": f"attachment://{name}"}} for name in names]},
        {"type": 1, "components": [{"type": 2, "style": 2, "label": "Press", "custom_id": "press"}]},
    ]


async def test_a_gallery_hides_its_files_from_attachments(local, rest, channel):
    """developers/resources/message: "any attached files that are not referenced in embeds or components"."""
    path = f"/channels/{channel.id}/messages"
    body = {"flags": V2, "components": gallery("a.png")}
    sent = await rest("POST", path, body, {"a.png": png(), "b.png": png(8, 8)})
    assert sent.status == 200
    for answer in (sent.body, (await rest("GET", f"{path}/{sent.body['id']}")).body, (await rest("GET", path)).body[0]):
        [listed] = answer["attachments"]
        assert listed["filename"] == "b.png"
        media = answer["components"][1]["items"][0]["media"]
        assert (media["width"], media["height"], media["content_type"]) == (48, 32, "image/png")
        assert media["attachment_id"] != listed["id"]
        assert media["url"].partition("?")[0].endswith("/a.png")
        assert media["proxy_url"] != media["url"]
    status, content = await rest.get(media["url"])
    assert (status, content) == (200, png())
    status, part = await rest.get(media["url"], Range="bytes=0-7")
    assert (status, part) == (206, png()[:8]), "films can be sought"


async def test_an_embed_hides_its_file(rest, channel):
    body = {"embeds": [{"title": "one", "image": {"url": "attachment://a.png"}}]}
    sent = (await rest("POST", f"/channels/{channel.id}/messages", body, {"a.png": png()})).body
    assert sent["attachments"] == []
    assert (sent["embeds"][0]["image"]["width"], sent["embeds"][0]["type"]) == (48, "rich")


async def test_a_file_that_an_edit_does_not_show_any_more_is_listed_or_gone(rest, channel):
    path = f"/channels/{channel.id}/messages"
    body = {"flags": V2, "components": gallery("a.png")}
    sent = (await rest("POST", path, body, {"a.png": png()})).body
    words = [{"type": 10, "content": "only words"}]
    kept = (await rest("PATCH", f"{path}/{sent['id']}", {"components": words})).body
    assert [one["filename"] for one in kept["attachments"]] == ["a.png"]
    gone = (await rest("PATCH", f"{path}/{sent['id']}", {"attachments": []})).body
    assert (gone["attachments"], gone["flags"] & V2) == ([], V2)


async def test_the_addresses_that_discord_gave_out_can_be_sent_back(rest, channel):
    path = f"/channels/{channel.id}/messages"
    sent = (await rest("POST", path, {"flags": V2, "components": gallery("a.png")}, {"a.png": png()})).body
    again = (await rest("PATCH", f"{path}/{sent['id']}", {"components": sent["components"]})).body
    assert again["attachments"] == []
    assert again["components"][1]["items"][0]["media"]["attachment_id"]


async def test_the_fields_of_a_file_are_those_that_are_known(local, rest, channel, alice):
    files = {"notes": b"abc", "SPOILER_a.png": png(), "a b?.png": b"no picture"}
    sent = (await rest("POST", f"/channels/{channel.id}/messages", {"content": "three"}, files)).body["attachments"]
    assert "content_type" not in sent[0]
    assert (sent[1]["flags"], sent[1]["width"]) == (8, 48)
    assert (sent[2]["filename"], "width" in sent[2]) == ("a_b_.png", False)
    listed = {"content": "one", "attachments": [{"id": 0, "is_spoiler": True, "description": "alt"}]}
    [one] = (await rest("POST", f"/channels/{channel.id}/messages", listed, {"a.png": png()})).body["attachments"]
    assert (one["flags"], one["description"]) == (8, "alt")


async def test_an_address_is_signed_and_expires(local, rest, channel, monkeypatch):
    sent = await rest("POST", f"/channels/{channel.id}/messages", {"content": "x"}, {"a.png": png()})
    address = sent.body["attachments"][0]["url"]
    assert (await rest.get(address))[0] == 200
    assert (await rest.get(address.partition("?")[0]))[0] == 404
    assert (await rest.get(address.replace("hm=", "hm=0")))[0] == 404
    expired = local.world.files.address(local.world.files.stored()[0], "cdn")
    now = time.time()
    monkeypatch.setattr("local_discord.files.time.time", lambda: now + 90_000)
    assert (await rest.get(expired))[0] == 404


async def test_limits_by_tier_and_by_subscription(local, rest, channel, alice):
    path, large = f"/channels/{channel.id}/messages", b"x" * (11 * 2**20)
    refused = await rest("POST", path, {"content": "x"}, {"a.bin": large})
    assert (refused.status, refused.body["code"]) == (413, 40005)
    local.world.premium_tier = 2
    assert (await rest("POST", path, {"content": "x"}, {"a.bin": large})).status == 200
    local.world.premium_tier = 0
    with pytest.raises(Refused, match="too large"):
        await local.people.upload(alice, channel.id, "a.bin", large)
    alice.upload_limit = 50 * 2**20
    assert (await local.people.upload(alice, channel.id, "a.bin", large))["size"] == len(large)


async def test_a_forward_is_a_snapshot_without_an_author(local, rest, channel, alice):
    """developers/resources/message, "Message Snapshot Object"."""
    upload = await local.people.upload(alice, channel.id, "a.png", png())
    said = await local.people.say(alice, channel.id, "look", [int(upload["id"])])
    other = local.world.direct(alice)
    await local.people.forward(alice, channel.id, int(said["id"]), other.id)
    [forwarded] = (await rest("GET", f"/channels/{other.id}/messages")).body
    [snapshot] = forwarded["message_snapshots"]
    assert (forwarded["content"], forwarded["attachments"], forwarded["message_reference"]["type"]) == ("", [], 1)
    assert snapshot["message"]["attachments"][0]["filename"] == "a.png"
    assert "author" not in snapshot["message"]
