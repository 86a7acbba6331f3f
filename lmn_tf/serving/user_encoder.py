"""Encoding of a user by an export, before it sees any candidate."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from lmn_tf.serving.request_functions import CANDIDATES, EVENTS, USER, input_name, kept_name


@dataclasses.dataclass(frozen=True, eq=False)
class EncodedUser:
    """What an export computed of a user, and of what.

    Args:
        columns: Dictionary of the encoded columns of the user and of the histories.
        kept: Dictionary of tensors of shape `(events, ...)`: what depends on one event.
        state: Dictionary of tensors: all that candidates are scored with.
        row: Dictionary of the user's columns in a request, without the histories. Defaults to
            `None`.
    """

    columns: dict[str, np.ndarray]
    kept: dict[str, tf.Tensor]
    state: dict[str, tf.Tensor]
    row: Mapping[str, Any] | None = None

    @property
    def num_bytes(self) -> int:
        """Size of all arrays and tensors in bytes."""
        size = sum(array.nbytes for array in self.columns.values())
        tensors = [*self.kept.values(), *self.state.values()]
        return size + sum(tensor.dtype.size * int(tf.size(tensor)) for tensor in tensors)


class UserEncoder:
    """The signatures of an export that score many candidates of one user.

    Args:
        signatures: Mapping from the names of signatures to functions.
        sequences: Names of the sequences.

    Raises:
        KeyError: If the export has no such signatures.
    """

    def __init__(self, signatures: Mapping[str, Any], sequences: Collection[str]) -> None:
        self._functions = {name: signatures[name] for name in (EVENTS, USER, CANDIDATES)}
        self._inputs = {
            name: tuple(function.structured_input_signature[1])
            for name, function in self._functions.items()
        }
        self._sequences = tuple(sequences)
        outputs = self._functions[EVENTS].structured_outputs
        self._kept = {
            sequence: [
                name
                for name in (kept_name(sequence, index) for index in range(len(outputs)))
                if name in outputs
            ]
            for sequence in self._sequences
        }

    def encode(self, columns: Mapping[str, np.ndarray]) -> EncodedUser:
        """Encodes a user.

        Args:
            columns: Mapping of the encoded columns of the user, `(1, ...)`, and of the histories,
                `(events, ...)`.
        """
        kept = self._call(EVENTS, columns)
        return EncodedUser(dict(columns), kept, self._state(columns, kept))

    def renew(self, known: EncodedUser, columns: Mapping[str, np.ndarray]) -> EncodedUser | None:
        """Encodes a user of whom an earlier state is known; only what changed is computed anew.

        Events that were appended are encoded, and the oldest may have been dropped. What sees
        several events, or the time that has passed since, is computed anew unless nothing changed.

        Args:
            known: The earlier state.
            columns: As of `encode`.

        Returns:
            `EncodedUser`: the same one where nothing has changed; or `None` where something else
            has, so that nothing of it is of use.
        """
        if all(_equal(known.columns[key], columns[key]) for key in columns):
            return known
        alone = [key for key in columns if not self._is_event(key)]
        if not all(_equal(known.columns[key], columns[key]) for key in alone):
            return None
        appended = {}
        for sequence in self._sequences:
            keys = self._event_keys(sequence, columns)
            if keys:  # else all depends on the time that has passed since, and nothing is kept
                before, now = ([part[key] for key in keys] for part in (known.columns, columns))
                appended[sequence] = count_appended(before, now)
        if None in appended.values():
            return None
        kept = self._extended(known, columns, appended)
        return EncodedUser(dict(columns), kept, self._state(columns, kept))

    def score(self, user: EncodedUser, columns: Mapping[str, np.ndarray]) -> dict[str, tf.Tensor]:
        """Scores candidates.

        Args:
            user: What `encode` or `renew` returned.
            columns: Mapping of the encoded columns of the candidates, `(candidates, ...)`.

        Returns:
            Dictionary of a probability and a logit of each label, `(candidates,)`.
        """
        return self._call(CANDIDATES, columns, user.state)

    def _state(self, columns, kept):
        return self._call(USER, columns, kept)

    def _extended(self, known, columns, appended):
        """What is kept of the events: of known ones as it is, of others computed."""
        some = dict(columns)
        for sequence, count in appended.items():
            for key in self._event_keys(sequence, columns):
                some[key] = columns[key][len(columns[key]) - count :]
        new = self._call(EVENTS, some) if any(appended.values()) else None
        kept = {}
        for sequence, count in appended.items():
            length = len(columns[self._event_keys(sequence, columns)[0]])
            for name in self._kept[sequence]:
                old = known.kept[name]
                old = old[int(tf.shape(old)[0]) - (length - count) :]
                kept[name] = old if new is None else tf.concat([old, new[name]], axis=0)
        return kept

    def _is_event(self, key):
        return key.startswith(tuple(f"{sequence}/" for sequence in self._sequences))

    def _event_keys(self, sequence, columns):
        """Keys of the fields of a sequence that depend on the event alone."""
        keys = [key for key in columns if key.startswith(f"{sequence}/")]
        return [key for key in keys if input_name(key) in self._inputs[EVENTS]]

    def _call(self, name, columns, tensors=None):
        given = {input_name(key): values for key, values in columns.items()} | (tensors or {})
        inputs = {key: tf.convert_to_tensor(given[key]) for key in self._inputs[name]}
        return self._functions[name](**inputs)


def count_appended(before: list[np.ndarray], now: list[np.ndarray]) -> int | None:
    """Returns how many events were appended to a list of events, whose oldest may be gone.

    Args:
        before: Fields of the events before, arrays of shape `(events, ...)`.
        now: The same fields now.

    Returns:
        Integer; or `None` where the lists have no events in common.

    Example:

    >>> count_appended([np.array([1, 2, 3])], [np.array([2, 3, 4])])
    1
    """
    before, now = zip(*map(_alike, before, now), strict=True)
    old, new = len(before[0]), len(now[0])
    if not old or not new:
        return new
    ends = np.ones(new, bool)
    for one, other in zip(before, now, strict=True):
        ends &= (other == one[-1:]).reshape(new, -1).all(axis=1)
    for last in np.flatnonzero(ends[:old])[::-1]:
        count = last + 1
        pairs = zip(before, now, strict=True)
        if all(np.array_equal(one[old - count :], other[:count]) for one, other in pairs):
            return new - int(count)
    return None


def _equal(one, other):
    return np.array_equal(*_alike(one, other))


def _alike(one, other):
    """Arrays with lists of equal width: how many zeros follow the last value has no meaning."""
    if one.ndim < 2 or one.shape[1:] == other.shape[1:]:
        return one, other
    width = max(one.shape[1], other.shape[1])
    return tuple(np.pad(part, [(0, 0), (0, width - part.shape[1])]) for part in (one, other))
