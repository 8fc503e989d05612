"""Settings of the self-audit, read once from the environment."""

from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import Field, StringConstraints, model_validator

from pipeline.limits import NAME_BYTES
from pipeline.settings import CommonSettings, Listen

MOST_LINES: Final = 500_000
"""Most lines that a way remembers, which is what bounds the memory: about 100 bytes each."""


class AuditSettings(CommonSettings):
    """What the self-audit needs beside what every service needs; the queue is not among it."""

    logger_url: Annotated[str, StringConstraints(pattern=r"^https?://[A-Za-z0-9.\-\[\]:]{1,255}/?$")] = Field(
        "http://127.0.0.1:8088",
        validation_alias="AUDIT_LOGGER_URL",
        description="The logger that is asked for the lines.",
    )
    token_file: Path | None = Field(
        None,
        validation_alias="AUDIT_TOKEN_FILE",
        description="File with a token that opens AUDIT_APP; read again for each connection.",
    )
    app: str = Field(
        "audit",
        min_length=1,
        max_length=NAME_BYTES,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._\-]*$",
        validation_alias="AUDIT_APP",
        description="The app under which the audit's own lines arrive.",
    )
    listen: Listen = Field(
        "127.0.0.1:8091",
        validation_alias="AUDIT_LISTEN",
        description="Address of `/healthz`, `/readyz` and `/metrics`.",
    )
    lines_per_second: float = Field(
        2.0, ge=0.01, le=1000.0, validation_alias="AUDIT_LINES_PER_SECOND", description="How many lines are written."
    )
    line_bytes: int = Field(
        200,
        ge=100,
        le=100_000,
        validation_alias="AUDIT_LINE_BYTES",
        description="Length of a line; over 16 KiB the runtime stores it in pieces.",
    )
    query_seconds: float = Field(
        10.0, ge=0.1, le=3600.0, validation_alias="AUDIT_QUERY_SECONDS", description="How often the logger is asked."
    )
    stored_seconds: float = Field(
        180.0,
        ge=1.0,
        le=86400.0,
        validation_alias="AUDIT_STORED_SECONDS",
        description="At this age each line is asked for once more, when it should have come from memory to the table.",
    )
    settle_seconds: float = Field(
        5.0,
        ge=0.0,
        le=600.0,
        validation_alias="AUDIT_SETTLE_SECONDS",
        description="Longest time from writing a line to its being in the container's log file. `Complete-Up-To` must "
        "have passed a line by that much before the line counts as missing.",
    )
    wait_seconds: float = Field(
        600.0,
        ge=1.0,
        le=86400.0,
        validation_alias="AUDIT_WAIT_SECONDS",
        description="After this time a line that did not come counts as missing, whether `Complete-Up-To` has passed "
        "it or not.",
    )
    late_seconds: float = Field(
        3600.0,
        ge=0.0,
        le=7 * 86400.0,
        validation_alias="AUDIT_LATE_SECONDS",
        description="For how long a missing line is still looked for.",
    )

    @model_validator(mode="after")
    def _memory_is_bounded(self) -> Self:
        lines = self.lines_per_second * (self.stored_seconds + self.wait_seconds + self.late_seconds)
        if lines > MOST_LINES:
            raise ValueError(
                f"AUDIT_LINES_PER_SECOND times AUDIT_STORED_SECONDS, AUDIT_WAIT_SECONDS and AUDIT_LATE_SECONDS "
                f"together is {lines:.0f} lines to remember, over {MOST_LINES}"
            )
        return self
