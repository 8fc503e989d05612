"""What network inputs share: lines that come over the network become chunks like those of files, and are acknowledged.

A client is answered when the queue has its lines durably, not before, and sends again what was not answered. So nothing
is kept on disk here. Layers, in the order in which a line passes::

    listening  TCP, TLS and UDP
    lines      a message and its time -> lines in the runtime's format
    source     a virtual source: a name of its own for each start of the process, offsets that count the bytes made
    ruling     secrets hidden, lines dropped and sampled, where there is a file of rules
    intake     lines by app -> chunks of virtual sources -> the sender's lanes; one byte budget for all inputs
    delivery   told by the lanes when the queue has a chunk; awaited by whoever answers the client
    metrics    lines and bytes taken, lines dropped by reason
    group      all inputs of an agent: listening, and an orderly stop

An input (`fluentd.forward`, for one) listens, parses and answers. What it must do, in this order: `intake.accept()`
around everything from having read a message until it is put, `await intake.room()`, `intake.put(...)`, and, if the
client wants an answer, `await delivery.wait()`.
"""
