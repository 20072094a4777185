import pytest

from engine.presets import PRESETS
from tests.simulated import words


@pytest.mark.parametrize(
    ("command", "pieces"),
    [
        ("help", ("/imagine", "/edit", "/history", "::-0.5")),
        ("models", ("embedded", *PRESETS)),
        ("info", ("Painter", "cpu", "Paints with** · embedded", "waiting")),
    ],
)
async def test_it_answers_in_private_with_what_there_is_to_know(world, command, pieces):
    result = await world.alice.slash(world.channel, command)
    assert result.ephemeral
    for piece in pieces:
        assert piece in words(result)
