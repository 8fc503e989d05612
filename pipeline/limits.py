"""Every bound of what passes between the services, each with its reason."""

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB

CHUNK_BYTES: Final = 256 * KIB
"""Most data of one chunk: one read of one file, small enough that a loud file does not delay the others."""

PACK_RAW_BYTES: Final = 768 * KIB
"""A pack is closed at this many bytes of data and headers, before compression.

Even data that does not compress then stays under `PACK_BYTES`; 1 MiB of it would exceed Kafka's default message size.
"""

PACK_BYTES: Final = 900 * 1000
"""Most bytes of one encoded pack, under Kafka's default `max.message.bytes` of 1,000,012 with room for its headers."""

PACK_DECODED_BYTES: Final = 16 * MIB
"""A decoder refuses a pack that claims more: a hostile frame must not fill the memory."""

LINGER_SECONDS: Final = 0.05
"""A pack that is not full is sent this long after its first chunk: the price of packs in follow latency."""

LINE_BYTES: Final = 1 * MIB
"""Most bytes of one stored row; a longer line goes on in continuation rows."""

FINGERPRINT_BYTES: Final = 1 * KIB
"""A source is named by its file's first complete line, or by this many bytes of a longer one."""

RESUME_BYTES: Final = 64
"""The bytes before an offset that must hash as remembered before reading goes on there."""

NAME_BYTES: Final = 253
"""Longest app, pod, container, node or namespace name: the longest name that Kubernetes allows."""

POD_RULES_BYTES: Final = 4 * KIB
"""Longest text of an app's own metric rules in an annotation of its pods; a longer one counts as none."""
