"""Growth of a model's weights to a larger model with the same predictions."""

from collections.abc import Mapping, Sequence

import keras
import numpy as np

from lmn_tf.distribute.tables.rows import get_rows
from lmn_tf.models.base.id_rows import IdRows
from lmn_tf.specs.errors import UserError
from lmn_tf.training.growth.row_sources import RowSources, combined
from lmn_tf.training.saving.variable_paths import keyed_variables

KEYS = ("row_keys", "column_keys", "expanded_row_keys", "expanded_column_keys")
VALUES = "memory_values"
OPEN_KEYS = "open_keys"
CALIBRATION = tuple(f"/calibration/{key}" for key in ("term_weights", "term_slopes", "offset"))
# State of row-wise optimizers that does not depend on the step of the run.
ROW_STATE = ("accumulator", "first_moment", "second_moment", "reads", "most_reads")
AVERAGE = "average"  # slot of the moving average of a weight

_NOISE = 0.1


def grown_weights(
    model: keras.Model, old: Mapping[str, np.ndarray], rows: Mapping[str, RowSources]
) -> dict[str, np.ndarray]:
    """Returns the weights of a new model, grown from those of an older one.

    Rows of ids follow their values (`rows`), in embedding tables and wherever else a model has them
    (`CTRModel.id_rows`), such as in a memory of pairs. A memory with more keys keeps the old slots
    under their new ids, `row * num_keys + column`, and adds keys that are *closed* (`open_keys` of
    `ProductKeyMemory`). The search ignores closed keys. So each query reads the same slots as
    before with the same weights, and the model gives the same scores for any input, with or without
    normalized keys. No finite key has this property, since for each key there are queries that it
    matches best; nor have copies of old slots, since they displace others from the `top_k`.

    Training then opens the new keys one by one (`OpenKeys`). Each new key starts as a copy of an
    old key, in turn, with noise of a tenth of the keys' standard deviation. Its slots start with
    the values of the old key's slots, so that it is useful, and learns, as soon as it is open: a
    query that read a slot then reads the slot and its copies, which share its weight and diverge in
    training. Copies, and their order, are our choices.

    Args:
        model: The new model, built, with its initial weights.
        old: Arrays of the older model by stable key.
        rows: The row sources of each embedding table, by name.

    Returns:
        Dictionary from stable key to new array, for each variable of the model except seeds, the
        number of open keys, and what is written or fitted after training.

    Raises:
        UserError: If the models differ in more than rows of ids and keys of memories, or hashed
            pairs have new ids.
    """
    variables = keyed_variables(model)
    growing = {id(one.variable): one for one in model.id_rows()}
    memories = memory_sources(variables, old)
    wanted = {
        key: variable
        for key, variable in variables.items()
        if not (_stays(key) or _is_written(growing.get(id(variable))))
    }
    _check_keys(variables, wanted, old)
    grown = {}
    for key, variable in wanted.items():
        value, shape = old[key], tuple(variable.shape)
        memory, _, name = key.rpartition("/")
        if id(variable) in growing:
            sources = _sources(growing[id(variable)], rows)
            if _fits(value, variable, sources):
                value = _take_rows(value, sources.values, variable)
        elif memory in memories and name == VALUES:
            value = value[_slots(*memories[memory])]
        elif memory in memories and name in KEYS:
            value = _grow_keys(value, _array(variable), memories[memory][0])
        if value.shape != shape:
            raise UserError(
                f"`{key.removeprefix('model/')}` must have the shape {old[key].shape} of the "
                f"older model for a warm start. Received: {shape}"
            )
        grown[key] = value
    return grown


def carried_over(
    model: keras.Model, old: Mapping[str, np.ndarray], rows: Mapping[str, RowSources]
) -> dict[str, np.ndarray]:
    """Returns the state of a model and its optimizer, grown from older ones, to resume a run.

    In addition to `grown_weights` and `grown_row_state`, these are steps, moments of dense weights
    and of tables, seeds, and open keys.

    Args:
        model: The new model, built and compiled, with a built optimizer.
        old: Arrays of the older model and its optimizer by stable key.
        rows: The row sources of each embedding table, by name.

    Returns:
        Dictionary from stable key to new array.
    """
    values = {
        key: old[key]
        for key, variable in keyed_variables(model, model.optimizer).items()
        if key in old and old[key].shape == tuple(variable.shape)
    }
    values |= grown_weights(model, old, rows)
    return values | grown_row_state(model, old, rows, slots=None)


def grown_row_state(
    model: keras.Model,
    old: Mapping[str, np.ndarray],
    rows: Mapping[str, RowSources],
    slots: Sequence[str] | None = ROW_STATE,
) -> dict[str, np.ndarray]:
    """Returns the row state of a new optimizer, grown from that of an older one.

    New slots of a memory inherit the state of the slot that they copy. New rows of embedding tables
    have new state, except that their moving average is that of the row that they copy. State that
    does not fit, as after a change of optimizer, is omitted.

    Args:
        model: The new model, built and compiled, with a built optimizer.
        old: Arrays of the older model and its optimizer by stable key.
        rows: The row sources of each embedding table, by name.
        slots: Names of the state to return, or `None` for all. Defaults to `ROW_STATE`.

    Returns:
        Dictionary from stable key to new array.
    """
    variables = keyed_variables(model, model.optimizer)
    by_id = {id(variable): key.removeprefix("model/") for key, variable in variables.items()}
    tables = {
        by_id[id(one.variable)]: _sources(one, rows)
        for one in model.id_rows()
        if not _is_written(one)
    }
    for memory, sources in memory_sources(variables, old).items():
        copied = _slots(*sources)
        tables[f"{memory}/{VALUES}".removeprefix("model/")] = RowSources(
            copied, copied, sources[1] ** 2
        )
    state = {}
    for key, variable in variables.items():
        table, _, slot = key.removeprefix("optimizer/").rpartition("/")
        if table not in tables or key not in old or (slots and slot not in slots):
            continue
        if old[key].shape == () == tuple(variable.shape):
            state[key] = old[key]  # of the whole table
        elif _fits(old[key], variable, tables[table]):
            sources = tables[table].values if slot == AVERAGE else tables[table].state
            state[key] = _take_rows(old[key], sources, variable)
    return state


def memory_sources(variables: Mapping, old: Mapping[str, np.ndarray]) -> dict:
    """Finds the memories of a model, and the older key from which each key grows.

    Args:
        variables: The variables of the new model by stable key.
        old: Arrays of the older model by stable key.

    Returns:
        Dictionary from the stable key of a memory, without the name of a variable, to a pair: an
        integer array with the older key of each key of an axis, and the older number of keys.
    """
    grown = {}
    for key, variable in variables.items():
        memory, _, name = key.rpartition("/")
        if name in KEYS and key.startswith("model/") and key in old:
            count, size = old[key].shape[1], variable.shape[1]
            opened = int(old.get(f"{memory}/{OPEN_KEYS}", count))
            added = np.arange(max(size - count, 0)) % min(opened, count)
            grown[memory] = np.concatenate([np.arange(count), added]), count
    return grown


def whole_arrays(variables: Mapping) -> dict[str, np.ndarray]:
    """Reads variables, including those sharded over devices or servers.

    Args:
        variables: Variables by key.
    """
    return {
        key: _array(variable) if len(variable.shape) else np.asarray(variable)
        for key, variable in variables.items()
    }


def _sources(one: IdRows, rows: Mapping[str, RowSources]) -> RowSources:
    """Returns the older rows from which the rows of a variable grow."""
    parts, size = [rows[name] for name in one.tables], one.variable.shape[0]
    if one.kind == "hashed":
        if not all(part.are_same for part in parts):
            raise UserError(
                "`model.pair_slots` must be null for a warm start with other ids, with which "
                f"hashed pairs would move to other slots. Received: model.pair_slots={size}"
            )
        return RowSources(np.arange(size), np.arange(size), size)
    sources = combined(parts)
    return sources._replace(values=sources.state) if one.kind == "counted" else sources


def _is_written(one: IdRows | None) -> bool:
    return one is not None and one.kind == "written"


def _stays(key: str) -> bool:
    # Terms that are fitted after training have no weight until they are fitted again.
    return key.endswith(("/seed_generator_state", f"/{OPEN_KEYS}", *CALIBRATION))


def _check_keys(variables: Mapping, wanted: Mapping, old: Mapping) -> None:
    for key in wanted:
        if key not in old:
            raise UserError(
                "the model must have the variables of the older one for a warm start. "
                f"Received: {key.removeprefix('model/')}, which it does not have"
            )
    for key in old:
        if key.startswith("model/") and not _stays(key) and key not in variables:
            raise UserError(
                "the model must have the variables of the older one for a warm start. "
                f"Missing: {key.removeprefix('model/')}"
            )


def _slots(keys: np.ndarray, count: int) -> np.ndarray:
    """Returns the older slot of each slot, from the older key of each key."""
    return (keys[:, None] * count + keys[None, :]).reshape(-1)


def _fits(value: np.ndarray, variable, sources: RowSources) -> bool:
    same_width = value.shape[1:] == tuple(variable.shape)[1:]
    return value.ndim > 0 and same_width and len(value) == sources.size


def _take_rows(value: np.ndarray, sources: np.ndarray, variable) -> np.ndarray:
    fresh = _array(variable)
    has_source = (sources >= 0).reshape(-1, *[1] * (value.ndim - 1))
    return np.where(has_source, value[np.maximum(sources, 0)], fresh)


def _array(variable) -> np.ndarray:
    return get_rows(variable, 0, variable.shape[0])


def _grow_keys(value: np.ndarray, fresh: np.ndarray, keys: np.ndarray) -> np.ndarray:
    count = value.shape[1]
    if value.shape[::2] != fresh.shape[::2] or len(keys) == count:
        return value
    grown = value[:, keys].copy()
    noise = fresh[:, count:] / max(float(np.std(fresh)), 1e-12)
    grown[:, count:] += (_NOISE * float(np.std(value)) * noise).astype(value.dtype)
    return grown
