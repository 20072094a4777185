"""Discord's refusals: an HTTP status with one of its own codes."""


class Refused(Exception):  # noqa: N818, it is an answer, not a fault
    """Discord's no."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class RateLimited(Refused):
    """Too many requests; `seconds` says when the next one will be taken."""

    def __init__(self, seconds: float) -> None:
        super().__init__(429, 0, "You are being rate limited.")
        self.seconds = seconds


def invalid(message: str) -> Refused:
    """Make the refusal of a body with something wrong in it."""
    return Refused(400, 50035, f"Invalid Form Body: {message}")


def missing_permissions() -> Refused:
    """Make the refusal of what somebody may not do."""
    return Refused(403, 50013, "Missing Permissions")


def unknown(code: int, what: str) -> Refused:
    """Make the refusal for something that is not there."""
    return Refused(404, code, f"Unknown {what}")
