"""The listener's certificate and the authority that it asks of callers, exchanged without a break.

Each handshake takes the newest context. Sessions are not resumed: a resumed one would keep a caller in whom an
authority that no longer counts has signed.
"""

import ssl
from pathlib import Path
from typing import Final

_Stamp = tuple[tuple[int, int, int], ...]


class Certificates:
    """See the module.

    Args:
        certificate: PEM file, with its chain.
        key: PEM file of its private key.

    Attributes:
        context: For the listener.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        self._files: Final = (certificate, key)
        self._stamp: _Stamp = ()
        self._authority = ""
        self.context = _context()
        self.context.sni_callback = self._exchange
        self._newest = self.context

    def renew(self, authority: str) -> bool:
        """Read the files again if they, or the authority, have changed.

        Args:
            authority: PEM of who signs callers' certificates.

        Returns:
            Whether they had.

        Raises:
            OSError: A file cannot be read, or holds no certificate and key of one pair (`ssl.SSLError`); the ones
                before stay.
        """
        stamp = tuple((status.st_mtime_ns, status.st_ino, status.st_size) for status in (f.stat() for f in self._files))
        if (stamp, authority) == (self._stamp, self._authority):
            return False
        certificate, key = self._files
        context = _context()
        context.load_cert_chain(certificate, key)
        context.load_verify_locations(cadata=authority)
        self._newest, self._stamp, self._authority = context, stamp, authority
        return True

    def is_newest(self, connection: ssl.SSLObject | None) -> bool:
        """Whether a connection's handshake was under the newest context."""
        return connection is not None and connection.context is self._newest

    def _exchange(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._newest


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    context.verify_mode = ssl.CERT_OPTIONAL  # callers with a bearer token have none
    return context
