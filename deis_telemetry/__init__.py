"""The operators' command: `deis-telemetry` prints autoscalers, and shows metrics, canaries and the graph of apps."""
