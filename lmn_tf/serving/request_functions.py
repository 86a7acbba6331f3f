"""Functions of a model that scores many candidates of one user, cut from one graph.

The graph is traced once, from the columns of one user and many candidates to the scores. Whatever
depends on no candidate is the user's part, so no model has to tell what can be kept of a user:

- `encode_events` computes what depends on single events and the user alone (`by_event`): vectors
  of events, and what they read from a memory. More events can be added to it.
- `encode_user` computes the rest of the user's part from it: pools, recurrences, and whatever else
  sees several events, or the time that has passed since.
- `score_encoded` scores candidates.
"""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from lmn_tf.ops.sequence.by_event import noted_events

EVENTS = "encode_events"
USER = "encode_user"
CANDIDATES = "score_encoded"
# Tensors that no function can return.
_HANDLES = (tf.variant, tf.resource)


def input_name(key: str) -> str:
    """Returns the name of a signature's input for the key of an encoded feature.

    Example:

    >>> input_name("history/item_id")
    'history__item_id'
    """
    return key.replace("/", "__")


def kept_name(sequence: str, index: int) -> str:
    """Returns the name of what `encode_events` computes of the events of a sequence.

    Example:

    >>> kept_name("history", 0)
    'history__kept_0'
    """
    return f"{sequence}__kept_{index}"


def request_functions(
    model: keras.Model, score: Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]]
) -> dict[str, Any]:
    """Returns the functions by name; none for a model that has nothing to keep of users.

    Args:
        model: A built model of this package.
        score: Function from features to the outputs of a signature.
    """
    columns = model.encoder.request_signature()
    of_user = {**columns.user, **columns.events, **columns.pairs}
    if not (model.reads_histories and columns.candidates):
        return {}
    graph = _Graph(score, columns.columns)
    state = graph.frontier(graph.outputs.values(), of_user)
    kept = {}
    for sequence in model.spec.sequences:
        mine = [key for key in columns.events if key.startswith(f"{sequence.name}/")]
        found = graph.noted(mine, {*mine, *columns.user}, state)
        kept |= {kept_name(sequence.name, index): tensor for index, tensor in enumerate(found)}
    state = {f"state_{index}": tensor for index, tensor in enumerate(state)}
    events = {**columns.user, **columns.events}
    return {
        EVENTS: graph.function(events, {}, kept),
        USER: graph.function(of_user, kept, state),
        CANDIDATES: graph.function(columns.candidates, state, graph.outputs),
    }


class _Graph:
    """A graph from columns to outputs, and what each of its operations depends on."""

    def __init__(self, score, columns):
        self._columns = columns

        def traced(*values):
            return score(dict(zip(columns, values, strict=True)))

        signature = [tf.TensorSpec(column.shape, column.dtype) for column in columns.values()]
        with noted_events() as self._noted:
            self._traced = tf.compat.v1.wrap_function(traced, signature)
        self.outputs = self._traced.structured_outputs
        self._inputs = dict(zip(columns, self._traced.inputs, strict=False))
        # The columns that each operation depends on.
        self._needs = {tensor.op: frozenset([key]) for key, tensor in self._inputs.items()}
        for op in self._traced.graph.get_operations():
            before = [tensor.op for tensor in op.inputs] + list(op.control_inputs)
            needs = frozenset().union(*(self._needs[one] for one in before))
            self._needs.setdefault(op, needs)

    def frontier(self, tensors, columns):
        """The first tensors, from the end, that depend on nothing but `columns`, and on some."""

        def is_first(tensor):
            needs = self._needs[tensor.op]
            return needs and needs <= set(columns) and tensor.dtype not in _HANDLES

        return list(_first(tensors, is_first).values())

    def noted(self, some, columns, ends):
        """What was noted, depends on some of `some` and on nothing but `columns`, and is used."""
        candidates = {
            tensor.ref(): tensor
            for tensor in self._noted
            if tensor.graph is self._traced.graph
            and self._needs[tensor.op] & set(some)
            and self._needs[tensor.op] <= set(columns)
        }
        found = _first(ends, lambda tensor: tensor.ref() in candidates)
        return [tensor for key, tensor in candidates.items() if key in found]

    def function(self, columns, given, outputs):
        """Returns the function from columns, and tensors of the graph, to tensors of the graph."""
        feeds = {input_name(key): self._inputs[key] for key in columns} | given
        part, read = self._part(feeds.values(), outputs.values())
        captured = {inner.name: outer for outer, inner in self._traced.graph.captures}

        @tf.function(autograph=False)
        def run(**inputs):
            known = {tensor.name: inputs[name] for name, tensor in feeds.items()}
            known |= {name: tf.identity(captured[name]) for name in read & captured.keys()}
            wanted = [tensor.name for tensor in outputs.values() if tensor.name not in known]
            found = tf.graph_util.import_graph_def(
                part, {name: known[name] for name in read & known.keys()}, wanted, name=""
            )
            known |= dict(zip(wanted, found, strict=True))
            return {name: tf.identity(known[tensor.name]) for name, tensor in outputs.items()}

        arguments = {
            name: tf.TensorSpec(tensor.shape, tensor.dtype, name) for name, tensor in feeds.items()
        }
        return run.get_concrete_function(**arguments)

    def _part(self, feeds, outputs):
        """Returns the part of the graph between tensors, and the names of all that it reads."""
        known = {tensor.ref() for tensor in feeds}
        ops, read, todo = {}, set(), [tensor for tensor in outputs if tensor.ref() not in known]
        while todo:
            op = todo.pop().op
            if op.name in ops or op.type == "Placeholder":
                continue
            ops[op.name] = op
            read |= {tensor.name for tensor in op.inputs}
            todo += [tensor for tensor in op.inputs if tensor.ref() not in known]
        whole = self._traced.graph.as_graph_def()
        part = tf.compat.v1.GraphDef(library=whole.library, versions=whole.versions)
        for op in ops.values():
            part.node.append(op.node_def)
            del part.node[-1].input[len(op.inputs) :]  # those that only tell the order
        return part, read


def _first(ends, is_first):
    """The tensors that a walk from the ends against the edges meets first, by reference."""
    found, seen, todo = {}, set(), list(ends)
    while todo:
        tensor = todo.pop()
        if is_first(tensor):
            found[tensor.ref()] = tensor
        elif tensor.op not in seen:
            seen.add(tensor.op)
            todo += tensor.op.inputs
    return found
