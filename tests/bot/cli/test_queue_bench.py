"""The queue at size: the bench runs, and what is asked often is found by an index."""

import pytest
from typer.testing import CliRunner

from bot.cli.commands import app
from bot.queue.database import Database


def test_the_bench_has_a_figure_for_each_size():
    done = CliRunner().invoke(app, ["queue", "bench", "--finished", "50", "--finished", "200", "--waiting", "30"])
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["50 finished, 30 waiting", "200 finished, 30 waiting"]
    assert all(name in line for line in lines for name in ("start", "/queue", "claim", "submit"))


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id FROM jobs WHERE state = 'queued' ORDER BY seq",
        "SELECT * FROM jobs WHERE state IN ('queued', 'running', 'rendered') AND message_id IS NULL ORDER BY seq",
        "SELECT * FROM jobs WHERE state IN ('rendered', 'cancelled', 'failed') AND delivered_at IS NULL ORDER BY seq",
        "SELECT * FROM jobs WHERE user_id = 1 AND deleted_at IS NULL ORDER BY seq DESC LIMIT 10",
        "SELECT * FROM jobs WHERE parent_id = 'a'",
        "DELETE FROM asked WHERE at < 1",
        "SELECT count(*) FROM asked WHERE user_id = 1 AND at > 1",
    ],
)
async def test_nothing_asked_often_looks_through_everything(tmp_path, sql):
    database = await Database.open(tmp_path / "ledger.sqlite3")
    plan = [row["detail"] for row in await database.read(f"EXPLAIN QUERY PLAN {sql}")]
    await database.close()
    assert all("INDEX" in step for step in plan if step.startswith(("SEARCH", "SCAN"))), plan
