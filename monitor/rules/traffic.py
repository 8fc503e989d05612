"""Lines and their bytes, of whoever wrote them."""

import numpy as np
import numpy.typing as npt

from monitor.metric import UNKNOWN, LabelSet, Samples
from monitor.rules.builtin import LINE_BYTES, LINES
from monitor.rules.codes import encode_numbers
from pipeline.cri import STREAMS
from pipeline.lines.batch import Batch, ChunkFacts


def traffic(batch: Batch, level: npt.NDArray[np.uint8], names: tuple[str, ...]) -> list[Samples]:
    """Count all rows of a batch.

    Args:
        batch: The rows.
        level: Which of `names` is the level of each row.
        names: Of levels.
    """
    keys = (batch.facts_index.astype(np.int64) * len(STREAMS) + batch.stream) * len(names) + level
    index, distinct = encode_numbers(keys)
    sets = []
    for key in distinct.tolist():
        of_row, level_code = divmod(key, len(names))
        facts, stream = divmod(of_row, len(STREAMS))
        sets.append(written_by(batch.facts[facts], (STREAMS[stream], names[level_code])))
    row = np.arange(batch.rows, dtype=np.int64)
    sizes = (batch.stops - batch.starts).astype(np.float64)
    return [
        Samples(LINES, sets, index, row, batch.time_ns),
        Samples(LINE_BYTES, sets, index, row, batch.time_ns, sizes),
    ]


def written_by(facts: ChunkFacts, labels: tuple[str, ...]) -> LabelSet:
    """The label set of lines that say something of the pod that wrote them."""
    return LabelSet(facts.namespace, facts.app, facts.process, facts.release or UNKNOWN, facts.pod, labels)
