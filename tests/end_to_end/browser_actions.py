"""Two hundred acts of a person at the page, while it paints: `python -m tests.end_to_end.browser_actions --name after`.

The command that people start (`python -m bot run` without a token), a real browser with two tabs, and one action after
the other, drawn by a seed: commands typed and chosen, buttons, forms, reactions, uploads, the message menu, `/admin`,
other people, reloads. Each must show what it is to bring about. Written to bench/browser/NAME.json.
"""

import argparse
import collections
import json
import random
import statistics
import tempfile
import time
from pathlib import Path

from PIL import Image

from tests.end_to_end.browser import ROOT, Person, Program, browser, free_port
from tests.end_to_end.page_actions import ACTIONS, Session, stop

RESULTS = ROOT / "bench" / "browser"


SETTINGS = {
    "models__size": "64x64",
    "models__preset": "draft",
    "limits__per_user": 100,
    "limits__most_steps": 10_000,
}


LONGEST_LINE = 6


def sit(session: Session, actions: int) -> list[dict[str, object]]:
    """Do so many actions; return what each was, how long it took and what went wrong."""
    done: list[dict[str, object]] = []
    for number in range(actions):
        (action,) = session.rng.choices(list(ACTIONS), list(ACTIONS.values()))
        if session.waiting() > LONGEST_LINE:  # so that what is asked for is soon painted, on a slow machine as well
            action = stop
        began = time.monotonic()
        problem = None
        try:
            action(session)
        except Exception as error:  # what fails is counted, and the next one is tried on a fresh page
            problem = f"{type(error).__name__}: {str(error).splitlines()[0]}"
            session.person.photograph(f"{number} {action.__name__}")
            session.person.here().driver.refresh()
            session.person.until(session.person.messages, "the channel is there again")
        done.append({"action": action.__name__, "seconds": round(time.monotonic() - began, 2), "problem": problem})
        print(number, done[-1], flush=True)
    return done


def main() -> None:
    """Run and write the result down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--actions", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--name", required=True)
    parser.add_argument("--folder", type=Path, default=None, help="where screenshots of what failed go")
    asked = parser.parse_args()
    folder = asked.folder or Path(tempfile.mkdtemp(prefix="browser-actions-"))
    folder.mkdir(parents=True, exist_ok=True)
    Image.linear_gradient("L").convert("RGB").resize((96, 64)).save(folder / "meadow.png")
    program = Program(folder, SETTINGS | {"local__port": free_port()})
    try:
        address = program.start()
        with browser(folder / "profile") as driver:
            person = Person(driver, folder)
            person.open(address)
            driver.switch_to.new_window("tab")
            other = Person(driver, folder)
            other.open(address)
            session = Session(person.here(), other, random.Random(asked.seed), folder / "meadow.png")
            began = time.monotonic()
            done = sit(session, asked.actions)
            seconds = time.monotonic() - began
            person.until(lambda: session.running() is None, "everything asked for is painted", 900)
            errors = [line["message"] for line in driver.get_log("browser") if line["level"] == "SEVERE"]
    finally:
        program.stop()
    times = sorted(float(str(one["seconds"])) for one in done)
    result = {
        "actions": len(done),
        "failed": sum(one["problem"] is not None for one in done),
        "seconds": round(seconds, 1),
        "median_seconds": round(statistics.median(times), 2),
        "longest_seconds": times[-1],
        "clicks_that_missed": person.missed,
        "by_action": dict(collections.Counter(str(one["action"]) for one in done)),
        "problems": [one for one in done if one["problem"] is not None],
        "browser_errors": errors,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{asked.name}.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    print(json.dumps(result, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
