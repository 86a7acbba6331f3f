"""Recording of the reads of a model's memories."""

import contextlib
from collections.abc import Iterator, Sequence

import keras

from lmn_tf.keras_internals import all_layers
from lmn_tf.layers.memory.slot_memory import SlotMemoryMixin


def memory_layers(
    model: keras.Model, kind: type[SlotMemoryMixin] = SlotMemoryMixin
) -> list[SlotMemoryMixin]:
    """Returns the memories of a model, at any depth.

    Args:
        model: A `keras.Model`.
        kind: Class of the memories. Defaults to `SlotMemoryMixin`: all that have slots.

    Returns:
        List of layers in the order in which Keras lists them.
    """
    return [layer for layer in all_layers(model) if isinstance(layer, kind)]


def memory_names(memories: Sequence[SlotMemoryMixin]) -> list[str]:
    """Returns a unique name for each memory.

    Args:
        memories: Layers from `memory_layers`.

    Returns:
        Names of the layers if these are unique and none is just `"memory"`; otherwise the preceding
        parts of their paths.
    """
    names = [memory.name for memory in memories]
    if len(set(names)) == len(names) and "memory" not in names:
        return names
    paths = [memory.path.split("/") for memory in memories]
    if len({path[0] for path in paths}) == 1:  # the model
        paths = [path[1:] or path for path in paths]
    if len({path[-1] for path in paths}) == 1:
        paths = [path[:-1] or path for path in paths]
    return ["/".join(path) for path in paths]


@contextlib.contextmanager
def recorded_reads(memories: Sequence[SlotMemoryMixin]) -> Iterator[list[tuple]]:
    """Records the read of each memory while the block runs the model.

    Within a `tf.function`, the block applies while the function is traced, and the tensors are
    those of the graph.

    Args:
        memories: Layers from `memory_layers`.

    Yields:
        List, filled at the end of the block, with (slots, weights, mask) of each memory. The mask
        is `None` if every query counts.

    Raises:
        RuntimeError: If a memory was not read in the block, or more than once.
    """
    reads = [[] for _ in memories]

    def recorder(readings):
        return lambda reading, mask: readings.append((reading.slots, reading.weights, mask))

    ordered = []
    with contextlib.ExitStack() as stack:
        for memory, readings in zip(memories, reads, strict=True):
            stack.enter_context(memory.watched(recorder(readings)))
        yield ordered
    if any(len(readings) != 1 for readings in reads):
        count = sum(len(readings) for readings in reads)
        raise RuntimeError(
            f"each memory must be read once. Received: {count} reads of {len(memories)}"
        )
    ordered.extend(readings[0] for readings in reads)
