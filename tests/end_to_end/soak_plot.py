"""Draw what the soaks in bench/soak saw, and sum it up: `python -m tests.end_to_end.soak_plot before after`."""

import json
import sys

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt

from tests.end_to_end.soak import RESULTS, Course, SoakRequest

PICTURE = RESULTS / "soak.png"
_FIVE_MINUTES = 300.0
_FILMS = "timelapse"


def load(name: str) -> Course:
    """Read what a soak has written down."""
    course = Course(**json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8")))
    course.requests = [SoakRequest(**request) for request in course.requests]  # type: ignore[arg-type]
    return course


def draw(courses: dict[str, Course]) -> None:
    """Draw memory, answers and pictures over time, one column per soak."""
    figure, axes = plt.subplots(
        3, len(courses), figsize=(6 * len(courses), 8), sharex=True, sharey="row", squeeze=False
    )
    for column, (name, course) in enumerate(courses.items()):
        memory, answers, finals = axes[:, column]
        memory.plot([at / 60 for at, _ in course.memory], [value for _, value in course.memory])
        answered = [request for request in course.requests if request.answer is not None]
        answers.plot([request.at / 60 for request in answered], [request.answer for request in answered], ".")
        shown = [request for request in course.requests if request.final is not None and request.kind != _FILMS]
        finals.plot([request.at / 60 for request in shown], [request.final for request in shown], ".")
        memory.set_title(name)
        finals.set_xlabel("minutes")
    for row, label in enumerate(("memory of the bot, MiB", "interaction to answer, s", "request to picture, s")):
        axes[row, 0].set_ylabel(label)
        for axis in axes[row]:
            axis.set_ylim(bottom=0)
            axis.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(PICTURE, dpi=80)


def table(courses: dict[str, Course]) -> str:
    """Write the first five minutes beside the last, in Markdown."""
    lines = [
        "| soak | minutes | memory | answer, median / 95 % | picture, median / 95 % | pictures |",
        "|---" * 6 + "|",
    ]
    for name, course in courses.items():
        whole = course.minutes * 60
        for begin in (0.0, whole - _FIVE_MINUTES):
            part = course.part(begin, begin + _FIVE_MINUTES)
            lines.append(
                f"| {name} | {begin / 60:.0f} – {begin / 60 + 5:.0f} | {part['memory']:.0f} MiB"
                f" | {part['answer'] * 1000:.0f} / {part['answer_95'] * 1000:.0f} ms"
                f" | {part['final']:.1f} / {part['final_95']:.1f} s | {part['pictures']:.0f} |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    found = {name: load(name) for name in sys.argv[1:]}
    draw(found)
    print(table(found))
