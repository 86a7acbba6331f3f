"""Multi-channel user interest memory network."""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from lmn_tf.layers.base import name_running_means
from lmn_tf.layers.memory.user_interest_memory import UserInterestMemory
from lmn_tf.models.base.ctr_model import CTRModel
from lmn_tf.models.options import MIMNOptions
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec


@keras.saving.register_keras_serializable(package="lmn_tf")
class MIMN(CTRModel):
    """Click model with a memory of each user that is written behavior by behavior.

    Computes `logit = MLP(concat[user, item, context, cross, memory(history, target)])`, with one
    `UserInterestMemory` per sequence: a small memory with a controller, a loss that balances its
    use, and channels that follow interests over time. It returns 0 for a user without behaviors.

    Rows whose windows start with the same event share one memory that is written once; each row
    reads its exact state after the last event of the row. Rows whose histories were truncated to
    their newest events start with other events and have separate memories.

    For serving, the memory of a user is a state that does not depend on candidates: `step` updates
    it with one or more new behaviors, and `score` reads it for candidates. The result is that of
    the model on whole histories, if no field of an event changes later. An elapsed time until the
    request does, and keeps its value at the step.

    Args:
        spec: `FeatureSpec` with known vocabularies.
        **options: Options of `MIMNOptions`, and base model arguments such as `name`.

    Call arguments:
        features: Dictionary of the columns of a batch of `make_dataset`.
        training: Boolean. Whether to apply dropout and use batch statistics, and to add the
            auxiliary loss.

    Returns:
        Float32 logits of shape `(batch, labels)`.

    Complexity:
        `O(d ** 2 + m * d)` per behavior of a user, sequentially, and the same per candidate for any
        length of the history: the state is cached. `O(d ** 2)` parameters per sequence.

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
        name_running_means(self.interests)

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
        """Returns the state of users without behaviors.

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
        """Updates states with one or more new events per user, oldest first.

        Args:
            state: Result of `initial_state` or `step`.
            events: Dictionary of columns: for each sequence with new events, those of
                `make_dataset` or of its padded form. Other columns are not read.

        Returns:
            Dictionary like `state`.

        Raises:
            UserError: If `events` contains no sequence.
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
            # Each row starts with a separate state.
            history = groups["histories"][name]
            state[name] = self.interests[name].advance(state[name], history.padded, history.mask)
        return state

    def score(
        self, state: Mapping[str, dict[str, tf.Tensor]], features: Mapping[str, tf.Tensor]
    ) -> tf.Tensor:
        """Scores candidates for users with known states, one user and candidate per row.

        Args:
            state: Result of `initial_state` or `step`.
            features: Dictionary of the columns of a batch; those of sequences are not read.

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
        """Encodes the given columns, with padding for all others."""
        padded = self.encoder.signature()
        known = {*padded, *self.encoder.signature(padded=False)}
        filled = {key: columns[key] for key in known if is_wanted(key) and key in columns}
        for key, like in padded.items():
            if not is_wanted(key):
                sizes = [size or 1 for size in like.shape[1:]]
                filled[key] = tf.zeros([batch, *sizes], like.dtype)
        return self.encode(filled)
