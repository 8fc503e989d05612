"""Lines and their bytes, of whoever wrote them."""

import numpy as np
import numpy.typing as npt

from monitor.metric import UNKNOWN, LabelSet, Samples
from monitor.rules.builtin import LINE_BYTES, LINES
from monitor.rules.columns import Column, Who, label_sets
from pipeline.cri import STREAMS
from pipeline.lines.batch import Batch, ChunkFacts


def traffic(batch: Batch, writers: Who, level: Column) -> list[Samples]:
    """Count all rows of a batch, by their writers and levels."""
    stream = Column(batch.stream.astype(np.int32), STREAMS)
    index, sets = label_sets(writers, [stream, level])
    rows = np.arange(batch.rows)
    sizes: npt.NDArray[np.float64] = (batch.stops - batch.starts).astype(np.float64)
    return [
        Samples(LINES, sets, index, rows, batch.time_ns),
        Samples(LINE_BYTES, sets, index, rows, batch.time_ns, sizes),
    ]


def writers_of(batch: Batch) -> Who:
    """Who wrote each row, for what a line says of the pod that wrote it."""
    return Who.distinct(batch.facts_index, [_writer(facts) for facts in batch.facts])


def _writer(facts: ChunkFacts) -> LabelSet:
    return LabelSet(facts.namespace, facts.app, facts.process, facts.release or UNKNOWN, facts.pod)
