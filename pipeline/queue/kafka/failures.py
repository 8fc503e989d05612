"""Errors of the client library, told in the words of `pipeline.errors`."""

import contextlib
import ssl
from collections.abc import Iterator
from typing import Final

from aiokafka import errors as kafka

from pipeline.errors import FatalError, PipelineError, QueueUnavailableError

_FATAL: Final = (
    (
        (
            kafka.TopicAuthorizationFailedError,
            kafka.GroupAuthorizationFailedError,
            kafka.ClusterAuthorizationFailedError,
            kafka.TransactionalIdAuthorizationFailed,
        ),
        "not allowed by the brokers' access rules",
    ),
    (
        (kafka.SaslAuthenticationFailed, kafka.UnsupportedSaslMechanismError, kafka.IllegalSaslStateError),
        "the brokers refuse the login (sasl, user, password)",
    ),
    ((ssl.SSLError,), "TLS"),
    (
        (kafka.MessageSizeTooLargeError, kafka.RecordListTooLargeError),
        "the topic takes no record of this size (max.message.bytes)",
    ),
)
"""What repeating does not cure, and what it means."""

_HANDSHAKE_CUT: Final = (ssl.SSLEOFError, ssl.SSLZeroReturnError)


def translate(error: BaseException, doing: str) -> PipelineError:
    """Tell what `error` means to a caller: try again later, or stop.

    Args:
        error: What was caught.
        doing: What was tried, for the message: `kafka://host:1/topic: sending to partition 3`.
    """
    if isinstance(error, PipelineError):
        return error
    reason = str(error) or type(error).__name__
    if isinstance(error, TimeoutError):
        return QueueUnavailableError(f"{doing}: no answer in time")
    for kinds, verdict in _FATAL:
        if isinstance(error, kinds) and not isinstance(error, _HANDSHAKE_CUT):
            return FatalError(f"{doing}: {verdict}: {reason}")
    return QueueUnavailableError(f"{doing}: {reason}")


@contextlib.contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise errors of the client library and the system inside the block as `translate` says."""
    try:
        yield
    except (kafka.KafkaError, OSError, TimeoutError) as error:
        raise translate(error, doing) from error
