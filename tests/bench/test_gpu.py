"""The one command for a machine that is lent for minutes: every part of it, on networks of no size."""

from bench.gpu import Scale, everything
from bench.setting import Setting

PARTS = ("Race", "A whole picture", "Stages", "Several paintings", "Ways", "Memory")


def test_every_part_measures_something():
    scale = Scale(Setting(32, 2, "tiny", "tiny"), steps=1, picture=2, batches=(2,), rounds=1)
    text = "\n".join(everything(scale, peers=[]))
    assert "failed" not in text
    sections = text.split("\n### ")[1:]
    assert [section.startswith(part) for section, part in zip(sections, PARTS, strict=True)] == [True] * len(PARTS)
    assert all(section.count("\n|") >= 3 for section in sections)  # a head, a rule and at least one row


def test_a_part_that_fails_says_so_and_the_rest_goes_on(monkeypatch):
    def broken(*_):
        raise RuntimeError("no such kernel")

    for name in ("race", "stages", "ways", "both_pairs"):
        monkeypatch.setattr(f"bench.gpu.{name}", broken)
    scale = Scale(Setting(32, 2, "tiny", "tiny"), picture=1)
    text = "\n".join(everything(scale, peers=[]))
    assert text.count("failed: RuntimeError: no such kernel") == 4
    assert "| compiler none, next picture |" in text
