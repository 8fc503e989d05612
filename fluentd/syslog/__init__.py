"""Syslog in: for what is not in a container, such as kubelet and the units of the host.

RFC 5424 and RFC 3164, over TCP (octet counting or a newline after each message, RFC 6587), TLS and UDP. Layers, in the
order in which bytes pass; a lower one knows nothing of a higher one::

    framing     bytes of a connection -> messages
    times       the times that messages state, with and without year and zone
    message     one message -> facility, severity, time, names, text; or "no such message"
    naming      whose lines it is: app by the operator's rules, process by what the message says
    batch       messages -> lines in the runtime's format, by app and process
    metrics     what was odd about messages, and who was turned away
    settings    off by default
    datagrams   UDP: best effort; what finds no room is dropped and counted
    server      TCP and TLS: a full buffer stops reading

The protocol has no answer, so nothing is promised: what this process has taken and the queue has not is lost with it.
What a client cannot say is whose app it writes to: the operator's rules do.
"""
