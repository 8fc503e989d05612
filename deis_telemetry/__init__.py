"""`deis-telemetry`, the operators' command: autoscalers by metrics, and what the monitor knows of an app.

How a service is found and asked, and how a process ends, it has from `deis_logs`. Layers, lower ones know nothing of
higher ones::

    __main__               the process
    cli                    the command line; loads what follows only when a command needs it
    autoscaling, metrics   what the commands do
    cluster, shown         the API server: autoscalers that are there, one applied; metrics as text
    autoscaler, known      an autoscaler as an object; what the monitor answers
"""
