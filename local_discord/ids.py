"""Snowflakes and moments, as Discord writes them."""

import itertools
import time
from datetime import UTC, datetime
from typing import Any

Json = dict[str, Any]

_EPOCH_MS = 1_420_070_400_000
_counter = itertools.count(1)


def snowflake() -> int:
    """Draw an id that holds the present moment."""
    return (int(time.time() * 1000) - _EPOCH_MS) << 22 | next(_counter) & 0x3FFFFF


def moment(number: int) -> float:
    """Return the moment (Unix time) that an id holds."""
    return ((number >> 22) + _EPOCH_MS) / 1000


def iso(moment: float) -> str:
    """Write a moment (Unix time) as ISO 8601 in UTC."""
    return datetime.fromtimestamp(moment, UTC).isoformat()
