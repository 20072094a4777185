"""What stands for a child process where its parent is looked at."""

from typing import Any, ClassVar

import torch

from engine.devices import Device

DEVICE = Device(torch.device("cpu"), torch.float32, "A Chip")


class NotedChild:
    """Note what a child is told; the test says what it says and how it ends."""

    all: ClassVar[list[Any]] = []

    def __init__(self, name, main, arguments, on_message, on_exit):
        self.name, self.main, self.arguments = name, main, arguments
        self.say, self._on_exit = on_message, on_exit
        self.sent, self.waited = [], []
        self.alive, self.ends, self.killed = True, True, False
        self.pid, self.age = 100 + len(self.all), 1.0
        self.all.append(self)

    def send(self, message):
        self.sent.append(message)

    def exit(self, code):
        self.alive = False
        self._on_exit(code)

    def kill(self):
        self.killed = True

    async def end(self, seconds):
        self.waited.append(seconds)
        return self.ends


class Later:
    """What the loop was asked to do later."""

    def __init__(self, loop, monkeypatch):
        self.asked = []
        monkeypatch.setattr(loop, "call_later", lambda seconds, *what: self.asked.append((seconds, *what)))

    def do(self):
        """Do the last of it; return after how many seconds it was to be done."""
        seconds, callback, *arguments = self.asked.pop()
        callback(*arguments)
        return seconds
