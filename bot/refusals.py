"""No, in one sentence."""


class Refusal(Exception):  # noqa: N818, it is an answer, not a fault
    """Something that will not be done; the text is one sentence for the person who asked, shown to them alone."""
