"""Random batches whose histories are windows into shared events."""

import numpy as np
from kitchen_sink import random_features


def random_windows(spec, rows=6, length=5, seed=0):
    """Features of random rows: of three that stand together the first two share a run of events."""
    rng = np.random.default_rng(seed)
    features = random_features(spec, rows=rows, seed=seed)
    for sequence in spec.sequences:
        first, lengths, end = [], [], 0
        for row in range(rows):
            start = end
            if row % 3 == 1 and lengths[-1]:
                start = rng.integers(first[-1], end + 1)
            count = int(rng.integers(end - start, length + 1))  # ends never decrease
            first.append(start)
            lengths.append(count)
            end = start + count
        # As many events and pairs as are needed, from rows of one event.
        of_events = random_features(spec, rows=max(end, 1), length=1, seed=seed + 1)
        of_pairs = random_features(spec, rows=max(sum(lengths), 1), length=1, seed=seed + 2)
        del features[f"{sequence.name}/mask"]
        for field in sequence.fields:
            column = spec.resolved_field(sequence, field)
            for key in (f"{sequence.name}/{field.name}", f"{sequence.name}/{field.name}/weights"):
                if key not in features:
                    continue
                if column.of_pairs:
                    features[key] = 1 + of_pairs[key][: sum(lengths), 0] % 2  # few buckets
                else:
                    features[key] = of_events[key][:end, 0]
        features[f"{sequence.name}/first"] = np.int32(first)
        features[f"{sequence.name}/length"] = np.int32(lengths)
    return features
