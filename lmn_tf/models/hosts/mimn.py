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
    """A click model that keeps a memory of each user, written behaviour by behaviour.

    Computes `logit = MLP(concat[user, item, context, cross, memory(history, target)])`, with one
    `UserInterestMemory` a sequence: a small memory with a controller, a loss that evens out its
    use, and channels that follow interests over time. What it returns for a user without behaviours
    is 0.

    For serving, what the memory knows of users is a state that no candidate has a part in: `step`
    takes new behaviours into it, one or many, and `score` reads it for candidates. Together they
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
        `O(d ** 2 + m * d)` a behaviour of a user, one after another, and the same a candidate
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
                history.padded, history.target, mask=history.mask, training=training
            )
            for name, history in groups["histories"].items()
        ]

    def initial_state(self, batch_size: int | tf.Tensor) -> dict[str, dict[str, tf.Tensor]]:
        """State of users without behaviours.

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
                `make_dataset` yields for it, its mask included; others are not read.

        Returns:
            Dictionary like `state`.

        Raises:
            UserError: If `events` holds no sequence.
        """
        given = [name for name in self.interests if f"{name}/mask" in events]
        if not given:
            raise UserError(
                f"`events` must hold the columns of a sequence: {', '.join(self.interests)}. "
                f"Received: keys={sorted(events)}"
            )
        wanted = tuple(f"{name}/" for name in given)
        groups = self.encoder(self._filled(events, lambda key: key.startswith(wanted)))
        state = dict(state)
        for name in given:
            tensors = groups["histories"][name]
            state[name] = self.interests[name].advance(
                state[name], tensors["history"], tensors["mask"]
            )
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
        groups = self.encoder(self._filled(features, lambda key: not key.startswith(sequences)))
        read = [
            self.interests[name].read(state[name], tensors["target"])
            for name, tensors in groups["histories"].items()
        ]
        return self.combine(groups, read)

    def _filled(self, columns, is_wanted):
        """The columns that are wanted, and padding in place of all others."""
        signature = self.encoder.signature()
        filled = {key: columns[key] for key in signature if is_wanted(key) and key in columns}
        batch = tf.shape(next(iter(filled.values())))[0]
        for key, like in signature.items():
            if not is_wanted(key):
                sizes = [size or 1 for size in like.shape[1:]]
                filled[key] = tf.zeros([batch, *sizes], like.dtype)
        return filled
