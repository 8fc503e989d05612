"""The error tree. Two branches matter to callers: try again later, or stop.

::

    PipelineError
    +-- RetriableError            the same call may succeed later: back off and repeat
    |   +-- QueueUnavailableError the queue does not answer, or has no room
    |   +-- StoreUnavailableError the table's storage does not answer, or has no room
    |   +-- KubernetesUnavailableError  the API server does not answer, or not now
    +-- FatalError                repeating cannot help: a person or a new process is needed
        +-- SettingsError         a setting is missing or out of its range; names the variable
        +-- FencedError           another writer has taken over this shard
        +-- OffsetOutOfRangeError the queue no longer has, or never had, the offset asked for
        +-- FormatError           bytes that are no pack, state or checkpoint of a version known here
"""

from collections.abc import Iterable


class PipelineError(Exception):
    """Root of the errors that this project raises on purpose."""


class RetriableError(PipelineError):
    """The same call may succeed later."""


class FatalError(PipelineError):
    """Repeating the call cannot help."""


class QueueUnavailableError(RetriableError):
    """The queue does not answer, or has no room."""


class StoreUnavailableError(RetriableError):
    """The table's storage does not answer, or has no room."""


class KubernetesUnavailableError(RetriableError):
    """The API server does not answer, or not now, or not to us.

    Attributes:
        reason: For a metric: few different ones.
        retry_after_seconds: How long it wants to be left alone, at least; 0 if it did not say.
    """

    def __init__(self, message: str, *, reason: str, retry_after_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds


class SettingsError(FatalError):
    """A setting is missing or out of its range; the message names the variable."""


class FencedError(FatalError):
    """Another writer has taken over: what this one holds in memory must not be committed.

    Attributes:
        shards: The shards that were taken over.
    """

    def __init__(self, message: str, shards: Iterable[int] = ()) -> None:
        super().__init__(message)
        self.shards = frozenset(shards)


class FormatError(FatalError):
    """Bytes that are no pack, state or checkpoint of a version known here."""


class OffsetOutOfRangeError(FatalError):
    """The queue no longer has, or never had, the offset asked for.

    Attributes:
        partition: The partition read.
        offset: What was asked for.
        start: The oldest offset that the queue still has.
        end: The offset that the next record will get.
    """

    def __init__(self, partition: int, offset: int, start: int, end: int) -> None:
        super().__init__(f"partition {partition}: offset {offset} is outside [{start}, {end}]")
        self.partition = partition
        self.offset = offset
        self.start = start
        self.end = end
