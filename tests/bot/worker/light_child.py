"""The main function of a child process that is quick to start."""

import os
import signal
import time
from multiprocessing.connection import Connection


def main(pipe: Connection, greeting: str) -> None:
    """Greet, send back what comes, and do what it says; end when None comes."""
    pipe.send(greeting)
    while (message := pipe.recv()) is not None:
        pipe.send(("heard", len(message) if isinstance(message, bytes) else message))
        if message == "die":
            os._exit(3)
        if message == "hang":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(600)
    pipe.send("bye")
