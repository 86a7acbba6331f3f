"""Padded histories, made of events and windows row by row."""

import numpy as np


def padded(features, sequences, elapsed=(), width=None):
    """Returns a batch with `SEQ/mask` and fields `(batch, length, ...)`, zeros on the right.

    Args:
        features: Batch of events and windows, as a reader yields it.
        sequences: The spec's sequences. Those of which the batch has nothing are skipped.
        elapsed: Keys `SEQ/FIELD` of fields like a feature of elapsed time (whose own kind does not
            tell). Their values belong to the pairs, as those of fields of that kind do.
        width: Integer. Padded length. Defaults to `None`: that of the longest history, at least 1.
    """
    names = [sequence.name for sequence in sequences if f"{sequence.name}/first" in features]
    batch = {key: cells for key, cells in features.items() if key.split("/")[0] not in names}
    for sequence in sequences:
        if sequence.name not in names:
            continue
        first = [int(event) for event in features[f"{sequence.name}/first"]]
        lengths = [int(length) for length in features[f"{sequence.name}/length"]]
        longest = max([1, *lengths]) if width is None else width
        mask = np.zeros((len(lengths), longest), bool)
        for row, length in enumerate(lengths):
            mask[row, :length] = True
        batch[f"{sequence.name}/mask"] = mask
        for field in sequence.fields:
            key = f"{sequence.name}/{field.name}"
            by_pair = field.kind == "elapsed_time" or key in elapsed
            for name in (key, f"{key}/weights"):
                if name not in features:
                    continue
                cells = np.asarray(features[name])
                batch[name] = np.zeros((*mask.shape, *cells.shape[1:]), cells.dtype)
                pair = 0
                for row, length in enumerate(lengths):
                    at = pair if by_pair else first[row]
                    batch[name][row, :length] = cells[at : at + length]
                    pair += length
    return batch
