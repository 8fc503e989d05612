"""Every name on disk or on the wire, in one place; a change here changes a format and needs a decision record."""

from typing import Final

POD_LOGS: Final = "/var/log/pods"
"""Where kubelet keeps container logs: `<namespace>_<pod>_<uid>/<container>/<restart>.log`."""

CHECKPOINT_FILE: Final = "checkpoint"
"""The agent's checkpoint, in its state directory."""

PODS_FILE: Final = "pods"
"""What the agent knew of pods, in its state directory: a hint for its next start."""

PODS_MAGIC: Final = b"\x01"
"""First byte of that file: the version of its format."""

PACK_MAGIC: Final = b"\x01"
"""First byte of a pack: the version of its format."""

TABLE_DIRECTORY: Final = "logs"
"""The Delta table, below the store's root."""

MONITOR_DIRECTORY: Final = "monitor"
"""The monitors' states of shards, below the store's root."""

STATE_DIRECTORY: Final = "_state"
"""The logger's resume states and tombstones, inside the table's folder: a Delta vacuum spares names with `_`."""

DEAD_LETTERS_SUFFIX: Final = "-dead-letters"
"""The topic for records of a Kafka queue that are no packs: the queue's name with this at its end."""

CONTROLLER_PROCESS: Final = "@controller"
"""Process of a line that the Deis controller wrote about an app. No process that comes from outside has an `@`."""

MALFORMED_PROCESS: Final = "@malformed"
"""Process of a line that came over the network in a form that could not be read, and is kept as it came."""
