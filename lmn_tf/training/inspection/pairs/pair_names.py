"""Names of the events and the candidates of a memory of pairs."""

import keras
import numpy as np

from lmn_tf.data.encoding.id_names import IdNames
from lmn_tf.layers.memory.pair_memory import PairMemory
from lmn_tf.models.base.pair_memory_plugin import PairMemoryPlugin
from lmn_tf.specs.feature_spec import FeatureSpec


class PairNames:
    """Converter of the ids of a memory of pairs to names.

    A candidate has the name of its item; an event too, and with a cross of fields the values of the
    others: `Alien, liked 1`. Of models without `PairMemoryPlugin` it is not known what the ids are
    of: `id 17`.

    Args:
        model: A model of this package or a subclass.
        memory: One of its `PairMemory` layers.
        spec: The model's `FeatureSpec`, with its assets.

    Example:

    >>> names = PairNames(keras.Sequential(), lmn_tf.layers.PairMemory(20, 9), spec)
    >>> names.event(17), names.candidate(3)
    ('id 17', 'id 3')
    """

    def __init__(self, model: keras.Model, memory: PairMemory, spec: FeatureSpec) -> None:
        self._item, self._fields, self._sizes = "id {}".format, [], ()
        memories = model.pair_memories if isinstance(model, PairMemoryPlugin) else {}
        for sequence, layer in memories.items():
            if layer is memory:
                item, cross = model.candidate_of(sequence), model.cross_of(sequence)
                self._item = IdNames(spec, spec.feature(item))
                if cross is not None:
                    fields = [spec.resolved_field(*key.split("/")) for key in cross.fields]
                    self._fields = [(_title(one, item), IdNames(spec, one)) for one in fields]
                    self._sizes = cross.sizes

    def candidate(self, id_: int) -> str:
        """Returns the name of the id of a candidate."""
        return self._item(int(id_))

    def event(self, id_: int) -> str:
        """Returns the name of the id of an event."""
        if not self._fields:
            return self._item(int(id_))
        ids = np.unravel_index(int(id_), self._sizes)
        return ", ".join(
            title + name(part) for (title, name), part in zip(self._fields, ids, strict=True)
        )


def _title(field, item) -> str:
    return "" if field.like == item else f"{field.name} "
