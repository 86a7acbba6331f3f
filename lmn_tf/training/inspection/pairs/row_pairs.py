"""Effect of the events of one row on its logit, by a memory of pairs."""

import contextlib
import functools

import numpy as np

from lmn_tf.distribute.tables.rows import get_rows
from lmn_tf.layers.memory.pair_memory import PairMemory, PairReading
from lmn_tf.training.inspection.inspected_run import InspectedRun
from lmn_tf.training.inspection.pairs.pair_names import PairNames
from lmn_tf.training.inspection.row_slots import last_row, score, score_without


def row_pairs(run: InspectedRun, user: str, item: str, top: int = 10) -> dict[str, object]:
    """Finds what the events of the row of a user and an item add to its logit.

    If the data have several such rows, it is the last one. With several labels, all is that of the
    first one.

    Args:
        run: `InspectedRun`.
        user: String. Name of a user in the data.
        item: String. Name of an item in the data.
        top: Integer. Number of events to report: those with the largest values, and of these
            those that change the logit most first. Defaults to `10`.

    Returns:
        Dictionary of `rows` (the number of such rows), `label`, `logit`, `probability`, and
        `pairs`: from the name of a memory to a dictionary of `events` (of the history), `known`
        (those with a value for the candidate), `without` (`logit` and `probability` of another
        forward pass, in which these values are 0) and `top_events`: the `event`, its `times` in the
        history, its `value` in the memory, and what it `adds` to the logit, by one more pass, with
        all events of the row that share its slot.

    Raises:
        UserError: If a name is unknown, or the user has no row with the item.
    """
    rows, features = last_row(run, user, item)
    model, found = run.evaluator.model, {}
    with contextlib.ExitStack() as stack:
        for name, memory in run.pairs.items():
            names = PairNames(model, memory, run.spec)
            note = functools.partial(_describe, found, name, memory, names, top)
            stack.enter_context(memory.watched(note))
        logits = model(features, training=False)
    label, whole = run.spec.labels[0].name, score(logits)
    for name, memory in run.pairs.items():
        without = functools.partial(score_without, model, features, memory.memory_values)
        slots = found[name].pop("slots")
        for event in found[name]["top_events"]:
            event["adds"] = whole["logit"] - without([event.pop("slot")])["logit"]
        found[name]["top_events"].sort(key=lambda event: -abs(event["adds"]))
        found[name]["without"] = without(slots)
    return {"rows": rows, "label": label, **whole, "pairs": found}


def _describe(
    found: dict,
    name: str,
    memory: PairMemory,
    names: PairNames,
    top: int,
    reading: PairReading,
    known: object,
) -> None:
    """Notes what the events of a row read of a memory."""
    known = np.asarray(known)
    events, first, times = np.unique(
        np.asarray(reading.rows)[known], return_index=True, return_counts=True
    )
    slots = np.asarray(reading.slots)[known, 0, 0][first]
    values = np.array([get_rows(memory.memory_values, slot, slot + 1)[0, 0] for slot in slots])
    found[name] = {
        "events": len(known),
        "known": int(known.sum()),
        "slots": np.unique(slots),
        "top_events": [
            {
                "event": names.event(events[place]),
                "times": int(times[place]),
                "value": float(values[place]),
                "slot": int(slots[place]),
            }
            for place in np.argsort(-np.abs(times * values), kind="stable")[:top]
        ],
    }
