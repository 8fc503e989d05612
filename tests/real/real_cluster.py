"""The cluster of the demo, by the name that the tests beside this have for it."""

from demo.cluster import Cluster, missing_tools

__all__ = ["Cluster", "missing_tools"]
