"""The error for requests that are refused."""


class Refusal(Exception):  # noqa: N818, it is an answer, not a fault
    """A refused request; the text is one sentence for the person who asked, shown to them alone."""
