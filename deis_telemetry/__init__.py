"""`deis-telemetry`, the operators' command: autoscalers by metrics, what the monitor knows of an app, and canaries.

How a service is found and asked, and how a process ends, it has from `deis_logs`. Layers, lower ones know nothing of
higher ones::

    __main__               the process
    cli                    the command line; loads what follows only when a command needs it
    canarycli              the same of canaries
    options                options that several commands have
    autoscaling, metrics,  what the commands do
    canaries, approving
    cluster                the API server: autoscalers that are there, one applied; canaries and a word on them
    canarytext, graphtext  canaries as text
    shown                  metrics as text
    counted                recorded counts out of files
    autoscaler, known,     an autoscaler as an object; what the monitor answers
    judged
"""
