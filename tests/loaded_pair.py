"""Load the pair that ships when this is imported, and let the painters of this process and of its forks take it.

To be imported by what others are forked from (`tests.warm_processes`).
"""

from pathlib import Path

import bot.worker.thread
from engine.devices import pick_device
from engine.models import ModelStore
from engine.third_party import tokenizer

STORE = ModelStore(Path("nothing is fetched"), pick_device("cpu", "fp32"))
for load in (STORE.generator, STORE.perceptor, STORE.prior):
    load("embedded")
tokenizer()
bot.worker.thread.ModelStore = lambda *_: STORE  # type: ignore[misc,assignment]
