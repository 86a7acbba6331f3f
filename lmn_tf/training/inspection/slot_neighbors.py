"""Slots of a memory that are like another one."""

import numpy as np

from lmn_tf.distribute.tables.rows import get_rows, row_chunks
from lmn_tf.layers.memory.product_key_memory import ProductKeyMemory
from lmn_tf.specs.errors import UserError
from lmn_tf.training.inspection.inspected_run import InspectedRun
from lmn_tf.training.inspection.memory_inspection import count_reads, find_readers


def slot_neighbors(
    run: InspectedRun, slot: int, top: int = 10, readers: int = 3
) -> dict[str, dict]:
    """Finds who reads a slot, and the slots that are like it by value and by key.

    Values that were never read are as they began, so only those of slots that were read are
    compared.

    Args:
        run: `InspectedRun`.
        slot: Integer. A slot, of each memory.
        top: Integer. Number of slots to report of each kind. Defaults to `10`.
        readers: Integer. Number of values of each feature to report. Defaults to `3`.

    Returns:
        Dictionary from the name of a memory to a dictionary of `num_keys`, `reads`, `slot` (as in
        `top_slots` of `MemoryInspection.figures`), and `by_value` and `by_key`: lists of such
        dictionaries with the `cosine`.

    Raises:
        UserError: If a memory has no such slot.
    """
    memories = run.evaluator.memories
    for name, memory in zip(run.memory_names, memories, strict=True):
        if not 0 <= slot < memory.memory_size:
            raise UserError(
                f"`--slot` must be from 0 to {memory.memory_size - 1:,}, as `{name}` has "
                f"{memory.memory_size:,} slots. Received: {slot}"
            )
    dataset = run.dataset()
    inspections = count_reads(run.evaluator, dataset)
    near = []
    for memory, inspection in zip(memories, inspections, strict=True):
        by_value = nearest(value_cosines(memory, slot), slot, top, inspection.reads > 0)
        opened = np.arange(memory.num_keys) < inspection.open_keys
        by_key = nearest(key_cosines(memory, slot), slot, top, np.outer(opened, opened).reshape(-1))
        near.append((by_value, by_key))
    shown = [list(dict.fromkeys([slot, *by_value, *by_key])) for by_value, by_key in near]
    find_readers(run.evaluator, run.spec, dataset, inspections, shown, readers)
    found = {}
    for inspection, (by_value, by_key) in zip(inspections, near, strict=True):
        known = {one["slot"]: one for one in inspection.slots}
        found[inspection.name] = {
            "num_keys": inspection.num_keys,
            "reads": float(inspection.reads.sum()),
            "slot": known[slot],
            "by_value": [{**known[one], "cosine": value} for one, value in by_value.items()],
            "by_key": [{**known[one], "cosine": value} for one, value in by_key.items()],
        }
    return found


def value_cosines(memory: ProductKeyMemory, slot: int) -> np.ndarray:
    """Returns the cosine of a slot's value and that of every slot; 0 where a value is 0.

    Args:
        memory: `ProductKeyMemory`.
        slot: Integer.

    Returns:
        Array of shape `(memory_size,)`.
    """
    table = memory.memory_values
    value = get_rows(table, slot, slot + 1)[0].astype("float64")
    found = []
    for start, stop in row_chunks(tuple(table.shape), itemsize=4):
        rows = get_rows(table, start, stop).astype("float64")
        lengths = np.linalg.norm(rows, axis=-1) * np.linalg.norm(value)
        found.append(rows @ value / np.maximum(lengths, 1e-300))
    return np.concatenate(found)


def key_cosines(memory: ProductKeyMemory, slot: int) -> np.ndarray:
    """Returns the cosine of a slot's key and that of every slot.

    The key of a slot consists of its row keys and its column keys in all heads, as they are scored.

    Args:
        memory: `ProductKeyMemory`.
        slot: Integer.

    Returns:
        Array of shape `(memory_size,)`.
    """
    products, lengths = [], []
    for axis_keys, key in zip(memory.scored_keys(), divmod(slot, memory.num_keys), strict=True):
        keys = np.asarray(axis_keys, np.float64).transpose(1, 0, 2)  # (num_keys, heads, key_dim)
        keys = keys.reshape(len(keys), -1)
        products.append(keys @ keys[key])
        lengths.append(np.square(keys).sum(axis=-1))
    squares = np.add.outer(*lengths).reshape(-1)
    norms = np.sqrt(squares * squares[slot])
    return np.add.outer(*products).reshape(-1) / np.maximum(norms, 1e-300)


def nearest(cosines: np.ndarray, slot: int, count: int, among: np.ndarray) -> dict[int, float]:
    """Returns the slots with the largest cosines, in order.

    Args:
        cosines: Array of shape `(memory_size,)`.
        slot: Integer. The slot itself, which is left out.
        count: Integer. Number of slots.
        among: Boolean array of shape `(memory_size,)`. Slots to choose from.

    Returns:
        Dictionary from slot to cosine.

    Example:

    >>> nearest(np.array([0.5, 1.0, 0.9]), 1, 2, np.array([True, True, True]))
    {2: 0.9, 0: 0.5}
    """
    slots = np.flatnonzero(among)
    slots = slots[slots != slot]
    order = slots[np.argsort(-cosines[slots], kind="stable")[:count]]
    return {int(one): float(cosines[one]) for one in order}
