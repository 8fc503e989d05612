"""What is answered in place of a value."""

from typing import Final

NO_VALUE: Final = "no-value"
"""Cause of a refusal: see `no_value`."""


class RefusalError(Exception):
    """An answer that is a failure.

    Attributes:
        code: Status of HTTP.
        reason: As `meta/v1` has it, such as `NotFound`.
        cause: For a metric: few different ones.
    """

    def __init__(self, code: int, reason: str, message: str, *, cause: str) -> None:
        super().__init__(message)
        self.code, self.reason, self.cause = code, reason, cause


def no_value(message: str) -> RefusalError:
    """There is no value of what was asked for: an external list is empty then."""
    return RefusalError(404, "NotFound", message, cause=NO_VALUE)


class UnknownError(Exception):
    """Nothing here is called so, or is of such an object: another adapter may know it."""
