"""What passes between the services: chunks, in packs, over a queue; and what every service is made of.

Layers, lower ones know nothing of higher ones (enforced by import-linter, see `pyproject.toml`)::

    errors, names, limits          the error tree; every name on disk or on the wire; every bound
    failpoints                     places where a fault test ends the process
    chunk, cri                     consecutive bytes of one container log file; the runtime's line format
    pack                           many chunks of one partition in one compressed queue record
    queue                          producer and consumer by partition and offset: SQLite here, Kafka elsewhere
    apiserver                      the way to the Kubernetes API server
    settings, service              settings common to the services; logging, /healthz, /readyz, /metrics, shutdown
    up, __main__                   all services in one process (the only modules that import the services)
"""
