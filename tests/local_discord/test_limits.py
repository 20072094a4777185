"""Rate limits, nonces, and limits of what a message holds."""

import pytest

V2 = 1 << 15


async def test_a_bucket_is_in_the_headers_and_holds(local, rest, channel):
    """developers/topics/rate-limits: buckets by route and channel, Via, X-RateLimit-Scope only on a 429."""
    local.rest.limits.routes["send"] = (2, 5.0)
    path = f"/channels/{channel.id}/messages"
    first, second, third = [await rest("POST", path, {"content": "x"}) for _ in range(3)]
    assert [int(one.headers["X-RateLimit-Remaining"]) for one in (first, second, third)] == [1, 0, 0]
    assert third.status == 429
    assert third.headers["Via"] == "1.1 google"
    assert third.headers["X-RateLimit-Scope"] == "user"
    assert "X-RateLimit-Scope" not in first.headers
    assert 0 < third.body["retry_after"] <= 5
    assert third.body["global"] is False
    assert 0 < float(third.headers["Retry-After"]) <= 5
    history = await rest("GET", path)
    assert history.status == 200
    assert (
        history.headers["X-RateLimit-Bucket"]
        != first.headers["X-RateLimit-Bucket"]
        == third.headers["X-RateLimit-Bucket"]
    )
    other = local.world.direct(local.world.user("alice"))
    elsewhere = await rest("POST", f"/channels/{other.id}/messages", {"content": "x"})
    assert elsewhere.status == 200, "each channel has a window of its own"


async def test_a_nonce_is_enforced_for_some_minutes_and_only_if_asked(local, rest, channel):
    path = f"/channels/{channel.id}/messages"
    enforced = {"content": "x", "nonce": "n", "enforce_nonce": True}
    first = (await rest("POST", path, enforced)).body
    assert first["nonce"] == "n"
    assert (await rest("POST", path, enforced)).body["id"] == first["id"]
    assert (await rest("POST", path, {"content": "x", "nonce": "n"})).body["id"] != first["id"]
    local.rest.messages.forget_nonces()
    assert (await rest("POST", path, enforced)).body["id"] != first["id"]


def button(custom_id: str) -> dict:
    return {"type": 1, "components": [{"type": 2, "style": 1, "label": "x", "custom_id": custom_id}]}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"content": ""}, 50006),
        ({"content": "x" * 2001}, 50035),
        ({"content": "x", "flags": V2, "components": [{"type": 10, "content": "x"}]}, 50035),
        ({"components": [{"type": 10, "content": "x"}]}, 50035),
        ({"flags": V2, "components": [{"type": 10, "content": "x" * 2001}] * 2}, 50035),
        ({"flags": V2, "components": [{"type": 10, "content": "x"}] * 41}, 50035),
        ({"flags": V2, "components": [button("a"), button("a")]}, 50035),
        ({"flags": V2, "components": [button("x" * 101)]}, 50035),
        ({"flags": V2, "components": [{"type": 12, "items": []}]}, 50035),
        ({"flags": V2, "components": [{"type": 12, "items": [{"media": {"url": "attachment://no.png"}}]}]}, 50035),
    ],
)
async def test_a_message_that_discord_does_not_take(rest, channel, body, code):
    refused = await rest("POST", f"/channels/{channel.id}/messages", body)
    assert (refused.status, refused.body["code"]) == (400, code)


async def test_a_wrong_token_and_a_broken_body(local, rest, channel):
    local.rest.token = "another"
    assert (await rest("GET", "/users/@me")).status == 401
    local.rest.token = "local.token"
    assert (await rest("POST", "/users/@me/channels", {})).status == 400
