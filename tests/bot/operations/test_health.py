"""What an orchestrator and a Prometheus see of a bot at work on a simulated Discord."""

import asyncio
import re
import socket
import time
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families

from bot.operations.health import serving
from bot.operations.loop_lag import watch_lag
from bot.settings import HealthSettings, Settings
from tests.simulated import quick_settings, running_bot

DEPLOY = Path(__file__).parents[3] / "deploy"


@pytest.fixture
def free_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


class Pages:
    """Look at the pages as anybody would; `health` is who answers."""

    def __init__(self, health, session, port):
        self.health = health
        self._session = session
        self._port = port

    async def __call__(self, path):
        async with self._session.get(f"http://127.0.0.1:{self._port}{path}") as response:
            return response.status, await (response.json() if path == "/healthz" else response.text())


@pytest.fixture
async def look(free_port):
    async with serving(HealthSettings(port=free_port)) as health, aiohttp.ClientSession() as session:
        yield Pages(health, session, free_port)


@pytest.fixture
async def world(tmp_path, quick_start):
    async with running_bot(quick_settings(tmp_path)) as world:
        yield world


def watch(health, bot):
    health.watch(bot.queue, bot.connected, lambda: bot.progress.dropped)


def samples(text):
    families = text_string_to_metric_families(text)
    return {(one.name, *sorted(one.labels.values())): one.value for family in families for one in family.samples}


async def test_nothing_is_healthy_before_the_bot_lives(look):
    status, report = await look("/healthz")
    assert status == 503
    assert set(report["wrong"]) == {"gateway", "worker", "ledger"}
    assert samples((await look("/metrics"))[1])["painter_healthy", "ledger"] == 0


async def test_healthy_only_while_each_part_is(look, world, monkeypatch):
    watch(look.health, world.bot)
    assert await look("/healthz") == (200, {"healthy": True, "wrong": {}})

    with monkeypatch.context() as cut_off:
        cut_off.setattr(type(world.bot.ws), "open", property(lambda _: False))
        assert await look("/healthz") == (503, {"healthy": False, "wrong": {"gateway": "not connected to Discord"}})

    database = world.ledger.database
    await database.read("PRAGMA query_only = ON")
    assert await look("/healthz") == (503, {"healthy": False, "wrong": {"ledger": "cannot be written"}})
    await database.read("PRAGMA query_only = OFF")
    assert (await look("/healthz"))[0] == 200
    assert await world.ledger.served() == {}  # the probe leaves nothing behind

    await world.bot.stop_services()
    status, report = await look("/healthz")
    assert (status, set(report["wrong"])) == (503, {"worker", "ledger"})
    assert (await look("/metrics"))[0] == 200


async def test_a_stuck_ledger_is_no_answer_to_wait_for(look, world, monkeypatch):
    watch(look.health, world.bot)
    monkeypatch.setattr("bot.operations.health._LEDGER_SECONDS", 0.1)
    async with world.ledger.database.transaction():
        status, report = await look("/healthz")
    assert (status, report["wrong"]) == (503, {"ledger": "not written within 0.1 s"})
    assert (await look("/healthz"))[0] == 200


async def test_what_happens_is_counted(look, world):
    watch(look.health, world.bot)
    done = await world.ended(await world.imagine(world.alice))
    job = await world.imagine(world.bob, "a lighthouse", steps=9000)
    await world.bot.queue.cancel(job.id)
    await world.ended(job)
    await asyncio.sleep(0.3)  # one look at the loop
    found = samples((await look("/metrics"))[1])
    assert found["painter_jobs", "delivered"] == 1
    assert found["painter_jobs", "cancelled"] == 1
    assert found["painter_jobs", "queued"] == 0
    assert found["painter_jobs_ended_total", "imagine", "rendered"] == 1
    assert found["painter_jobs_ended_total", "cancelled", "imagine"] == 1
    assert found["painter_queue_wait_seconds_count",] >= 1
    assert found["painter_painting_seconds_count",] == 1
    assert found["painter_painting_seconds_sum",] == pytest.approx(done.seconds)
    assert found["painter_step_seconds_count",] >= 1
    assert found["painter_loop_lag_seconds_count",] >= 1
    assert found["painter_previews_dropped",] == world.bot.progress.dropped
    assert found["process_resident_memory_bytes",] > 0
    assert {part: found["painter_healthy", part] for part in ("gateway", "worker", "ledger")} == {
        "gateway": 1,
        "worker": 1,
        "ledger": 1,
    }


@pytest.mark.parametrize("page", ["grafana/painter.json", "prometheus/alerts.yml"])
async def test_what_the_dashboard_shows_and_alerts_look_at_is_there_from_the_start(look, world, page):
    """Prometheus sees an increase only of what it has seen before; a GPU and errors of Discord need not be there."""
    look.health.watch(world.bot.queue, world.bot.connected, lambda: 0, world.bot.shard_latencies)
    families = text_string_to_metric_families((await look("/metrics"))[1])
    there = {}
    for sample in (sample for family in families for sample in family.samples):
        there.setdefault(sample.name, []).append(sample.labels)
    text = (DEPLOY / page).read_text(encoding="utf-8").replace('\\"', '"')
    looked_at = set(re.findall(r"\b((?:painter|process)_\w+)(?:{(.*?)})?", text))
    assert len(looked_at) > 3
    for name, conditions in looked_at:
        if "gpu" in name or "discord_errors" in name:
            continue
        label, _, pattern = conditions.replace('"', "").replace("=~", "=").partition("=")
        values = {labels.get(label) for labels in there.get(name, [])} if label else {None}
        assert name in there
        assert not label or all(any(re.fullmatch(one, str(value)) for value in values) for one in pattern.split("|"))


async def test_errors_of_discord_are_counted_by_their_code(look, answering):
    session = aiohttp.ClientSession(trace_configs=[look.health.metrics.trace()])
    async with session:
        for status in (204, 404, 429, 429, 503):
            async with session.get(f"{answering}/{status}") as response:
                assert await response.text() == ("" if status != 404 else '{"code": 10008}')
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get("http://127.0.0.1:1/")
    found = samples((await look("/metrics"))[1])
    errors = {key[1:]: value for key, value in found.items() if key[0] == "painter_discord_errors_total"}
    assert errors == {("10008", "404"): 1, ("", "429"): 2, ("", "503"): 1, ("", "ClientConnectorError"): 1}


@pytest.fixture
async def answering():
    """A server that answers with the status in its path."""

    async def answer(request):
        if (status := int(request.match_info["status"])) == 404:
            return web.json_response({"code": 10008}, status=404)
        return web.Response(status=status)

    app = web.Application()
    app.add_routes([web.get("/{status}", answer)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_only_this_machine_is_served_unless_configured():
    assert Settings().health.host == "127.0.0.1"


async def test_a_port_in_use_is_logged_and_is_no_reason_not_to_paint(free_port, caplog):
    with socket.socket() as other:
        other.bind(("127.0.0.1", free_port))
        other.listen()
        async with serving(HealthSettings(port=free_port)) as health:
            assert await health.problems()
    assert f"health.port: 127.0.0.1:{free_port} cannot be had" in caplog.text


async def test_nothing_listens_when_it_is_off(free_port):
    async with serving(HealthSettings(port=free_port, enabled=False)), aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(f"http://127.0.0.1:{free_port}/healthz")


async def test_whatever_holds_the_loop_up_is_seen():
    seen = []
    watch = asyncio.create_task(watch_lag(seen.append, period=0.01))
    await asyncio.sleep(0.05)
    time.sleep(0.2)  # noqa: ASYNC251, that is the fault
    await asyncio.sleep(0.05)
    watch.cancel()
    assert max(seen) > 0.15
