"""What the memories of a model read while it runs."""

import contextlib

from lmn_tf.layers.product_key_memory import ProductKeyMemory


def memory_layers(model) -> list[ProductKeyMemory]:
    """Gives the memories of a model, wherever they are nested.

    Args:
        model: A `keras.Model`.

    Returns:
        Its `ProductKeyMemory` layers in the order in which Keras lists them.
    """
    return [layer for layer in model._flatten_layers() if isinstance(layer, ProductKeyMemory)]


@contextlib.contextmanager
def recorded_reads(memories):
    """Collects what each memory reads while the block runs the model.

    A memory's `read` is watched for the length of the block only, so counting costs training
    nothing. Within a `tf.function` the block runs while the function is traced, and the tensors
    are those of the graph.

    Args:
        memories: Layers from `memory_layers`.

    Yields:
        A list, filled by the time the block ends, with (slots, weights, mask) of each memory: as
        many queries for the three, the mask None where every query counts.

    Raises:
        RuntimeError: When a memory was not read in the block, or twice.
    """
    reads = []

    def watch(index, read):
        def watched(inputs, mask=None, training=None):
            reading = read(inputs, mask, training)
            reads.append((index, (reading.slots, reading.weights, mask)))
            return reading

        return watched

    ordered = []
    for index, memory in enumerate(memories):
        # Past Keras' attribute tracking: nothing of the layer is changed for good.
        object.__setattr__(memory, "read", watch(index, memory.read))
    try:
        yield ordered
    finally:
        for memory in memories:
            memory.__dict__.pop("read", None)
    if sorted(index for index, _ in reads) != list(range(len(memories))):
        raise RuntimeError(
            f"each memory must be read once. Received: {len(reads)} reads of {len(memories)}"
        )
    ordered.extend(read for _, read in sorted(reads, key=lambda pair: pair[0]))
