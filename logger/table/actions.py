"""Writing the Delta log: the actions of one entry, as the protocol has them in JSON.

Source: Delta Lake protocol, actions; writer version 2, no table features.
"""

import json
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

from logger.table.datafile import STATISTICS
from logger.table.snapshot import FileEntry

PARTITION: Final = "date"
_ENGINE: Final = "deis-telemetry"

Action = Mapping[str, Any]
"""One line of an entry."""


def add_action(entry: FileEntry, *, data_change: bool = True) -> Action:
    """The action that puts a data file into the table. No text of a message is in its statistics."""
    ranges = [entry.apps[app] for app in entry.apps]
    stats = {
        "numRecords": entry.rows,
        "minValues": {
            "app": min(entry.apps),
            "time_ns": min(app.time_min for app in ranges),
            "order_ns": min(app.order_min for app in ranges),
        },
        "maxValues": {
            "app": max(entry.apps),
            "time_ns": max(app.time_max for app in ranges),
            "order_ns": max(app.order_max for app in ranges),
        },
        "nullCount": dict.fromkeys(STATISTICS, 0),
    }
    return {
        "add": {
            "path": entry.path,
            "partitionValues": {PARTITION: entry.date},
            "size": entry.size_bytes,
            "modificationTime": _now_ms(),
            "dataChange": data_change,
            "stats": json.dumps(stats),
        }
    }


def remove_action(entry: FileEntry, *, data_change: bool) -> Action:
    """The action that takes a data file out of the table."""
    return {
        "remove": {
            "path": entry.path,
            "deletionTimestamp": _now_ms(),
            "dataChange": data_change,
            "extendedFileMetadata": True,
            "partitionValues": {PARTITION: entry.date},
            "size": entry.size_bytes,
        }
    }


def encode_table(schema: str, configuration: Mapping[str, str]) -> bytes:
    """The first entry of a table's log; `schema` is JSON as the protocol has it."""
    now_ms = _now_ms()
    metadata = {
        "id": str(uuid.uuid4()),
        "format": {"provider": "parquet", "options": {}},
        "schemaString": schema,
        "partitionColumns": [PARTITION],
        "createdTime": now_ms,
        "configuration": dict(configuration),
    }
    info = {"timestamp": now_ms, "operation": "CREATE TABLE", "operationParameters": {}, "engineInfo": _ENGINE}
    protocol = {"minReaderVersion": 1, "minWriterVersion": 2}
    return _lines([{"commitInfo": info}, {"protocol": protocol}, {"metaData": metadata}])


def encode_entry(actions: Sequence[Action], transactions: Mapping[str, int]) -> bytes:
    """One entry of the log: who wrote it, the transactions, and the actions."""
    now_ms = _now_ms()
    info = {
        "commitInfo": {
            "timestamp": now_ms,
            "operation": "WRITE",
            "operationParameters": {"mode": "Append", "partitionBy": json.dumps([PARTITION])},
            "engineInfo": _ENGINE,
        }
    }
    moved = [{"txn": {"appId": name, "version": to, "lastUpdated": now_ms}} for name, to in transactions.items()]
    return _lines([info, *moved, *actions])


def _lines(actions: Sequence[Action]) -> bytes:
    return b"".join(json.dumps(action, separators=(",", ":")).encode() + b"\n" for action in actions)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
