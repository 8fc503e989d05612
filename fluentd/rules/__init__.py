"""Rules on whole chunks: secrets made unreadable, lines dropped, sampled and limited in their rate.

A chunk that no rule concerns passes untouched. One that a rule changed still covers all bytes of its range, and each
line that is left has the offset that it has in its file. What is done with a line is a function of the bytes up to it
and of the second after it, never of a clock or of where a chunk was cut, so that what is read again after a crash comes
out the same (see `state`).

Layers; a lower one knows nothing of a higher one::

    lines      physical lines of a chunk: stream, second, whether they go on
    state      what must be known of the lines before: part of the checkpoint
    limit      a token bucket in the time of the lines
    secrets    what secrets look like; cards
    redact     where the secrets of a line are, whole packs of kinds and users' patterns
    judge      one chunk, line by line
    linerules  rules on single lines
    seconds    a rate limit where lines of a second can be counted
    spots      rules on single lines and secrets where only some lines are concerned
    compiled   the rules of one run, around the line by line where that is possible
    parts      secrets in bytes that become several chunks
    rulesfile  what people write: JSON or TOML, validated
    book       which rules concern which run, from the file and from pods' annotations; counters
"""
