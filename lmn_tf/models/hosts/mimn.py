"""Multi-channel user interest memory network."""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from lmn_tf.layers.memory.user_interest_memory import UserInterestMemory
from lmn_tf.models.base.ctr_model import CTRModel
from lmn_tf.models.options import MIMNOptions
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec


@keras.saving.register_keras_serializable(package="lmn_tf")
class MIMN(CTRModel):
    """A click model that keeps a memory of each user, written behavior by behavior.

    Computes `logit = MLP(concat[user, item, context, cross, memory(history, target)])`, with one
    `UserInterestMemory` a sequence: a small memory with a controller, a loss that evens out its
    use, and channels that follow interests over time. What it returns for a user without behaviors
    is 0.

    Rows whose windows begin with the same event share one memory, which is written once; each row
    reads it as it was after its own last event, exactly. Rows whose histories were cut to their
    newest events begin elsewhere, and have memories of their own.

    For serving, what the memory knows of users is a state that no candidate has a part in: `step`
    takes new behaviors into it, one or many, and `score` reads it for candidates. Together they
    give what calling the model on whole histories gives. Events must then hold nothing that changes
    after them: a time elapsed until the request does, and is as of the step.

    Args:
        spec: `FeatureSpec` whose vocabularies are known.
        **options: Options of `MIMNOptions`, and base model arguments such as `name`.

    Call arguments:
        features: Dictionary of a batch's columns, as `make_dataset` yields it.
        training: Boolean. Whether to drop units and use batch statistics, and to add the
            auxiliary loss.

    Returns:
        Float32 logits of shape `(batch, labels)`.

    Complexity:
        `O(d ** 2 + m * d)` a behavior of a user, one after another, and the same a candidate
        whatever the length of the history: all else is cached. Parameters are `O(d ** 2)` a
        sequence.

    Example:

    >>> model = MIMN(spec, hidden_units=(16,))
    >>> state = model.step(model.initial_state(2), features)
    >>> np.allclose(model.score(state, features), model(features), atol=1e-4)
    True

    Reference:
        - Pi et al., "Practice on Long Sequential User Behavior Modeling for Click-Through Rate
          Prediction", KDD 2019, section 4.
    """

    Options = MIMNOptions
    reads_histories = True

    def __init__(self, spec: FeatureSpec | dict[str, Any], **options: Any) -> None:
        super().__init__(spec, **options)
        arguments = self.options.arguments(MIMNOptions, controller_units="units")
        self.interests = {
            sequence.name: UserInterestMemory(
                **arguments,
                dtype=self.dtype_policy,
                name=f"{sequence.name}_interests",
            )
            for sequence in self.spec.sequences
        }

    def read_histories(
        self, groups: dict[str, Any], training: bool | None = None
    ) -> list[tf.Tensor]:
        return [
            self.interests[name](
                history.vectors, history.target, training=training, windows=history.windows
            )
            for name, history in groups["histories"].items()
        ]

    def initial_state(self, batch_size: int | tf.Tensor) -> dict[str, dict[str, tf.Tensor]]:
        """State of users without behaviors.

        Args:
            batch_size: Integer, or scalar integer tensor. Number of users.

        Returns:
            Dictionary from the name of a sequence to a dictionary of float tensors of shape
            `(batch_size, ...)`.
        """
        self.build()
        return {name: memory.initial_state(batch_size) for name, memory in self.interests.items()}

    def step(
        self, state: Mapping[str, dict[str, tf.Tensor]], events: Mapping[str, tf.Tensor]
    ) -> dict[str, dict[str, tf.Tensor]]:
        """Takes new events of users into account, one or many, oldest first.

        Args:
            state: What `initial_state` or `step` returned.
            events: Dictionary of columns. For each sequence with new events the columns that
                `make_dataset` yields for it, or those of its padded form; others are not read.

        Returns:
            Dictionary like `state`.

        Raises:
            UserError: If `events` holds no sequence.
        """
        given = {
            name: events[key]
            for name in self.interests
            for key in (f"{name}/mask", f"{name}/first")
            if key in events
        }
        if not given:
            raise UserError(
                f"`events` must hold the columns of a sequence: {', '.join(self.interests)}. "
                f"Received: keys={sorted(events)}"
            )
        wanted = tuple(f"{name}/" for name in given)
        batch = tf.shape(next(iter(given.values())))[0]
        groups = self._encode(events, batch, lambda key: key.startswith(wanted))
        state = dict(state)
        for name in given:
            # Each row has a state of its own to begin with.
            history = groups["histories"][name]
            state[name] = self.interests[name].advance(state[name], history.padded, history.mask)
        return state

    def score(
        self, state: Mapping[str, dict[str, tf.Tensor]], features: Mapping[str, tf.Tensor]
    ) -> tf.Tensor:
        """Scores candidates for users of known states, row by row.

        Args:
            state: What `initial_state` or `step` returned.
            features: Dictionary of a batch's columns; those of the sequences are not read.

        Returns:
            Float32 logits of shape `(batch, labels)`.
        """
        sequences = tuple(f"{name}/" for name in self.interests)
        batch = tf.shape(next(iter(state.values()))["count"])[0]
        groups = self._encode(features, batch, lambda key: not key.startswith(sequences))
        read = [
            self.interests[name].read(state[name], history.target)
            for name, history in groups["histories"].items()
        ]
        return self.combine(groups, read)

    def _encode(self, columns, batch, is_wanted):
        """Encodes the columns that are wanted, with padding in place of all others."""
        padded = self.encoder.signature()
        known = {*padded, *self.encoder.signature(padded=False)}
        filled = {key: columns[key] for key in known if is_wanted(key) and key in columns}
        for key, like in padded.items():
            if not is_wanted(key):
                sizes = [size or 1 for size in like.shape[1:]]
                filled[key] = tf.zeros([batch, *sizes], like.dtype)
        return self.encoder.encode(filled)
