"""Lines out of queue records: what the logger stores and the monitor measures, exactly once each.

Layers, lower ones know nothing of higher ones::

    resume      what is known of a shard's runs and sources, as it is written down
    batch       lines as arrays over one buffer
    accepted    new bytes of records
    pending     lines whose end has not come
    accept      which bytes of a record are new
    parse       headers of the runtime's format, all at once
    join        lines that go on in another piece
    assemble    new bytes to a batch
"""
