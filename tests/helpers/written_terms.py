"""Models with terms that are written after training, on users who rate items."""

import keras
import numpy as np
from pair_pooling import PairPooling
from rated_items import rated_dict, ratings

from lmn_tf.data.dataset import make_dataset
from lmn_tf.models.baselines.ease import EASE
from lmn_tf.models.baselines.interactions import Interactions
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.training.terms.written_terms import write_terms

L2 = 4.0
FOUND = ratings(users=60)


def crossed(crosses=({"name": "rated", "of": ["item", "liked"]},), labels=("like",)):
    plain = rated_dict(labels=[{"name": name, "column": "like"} for name in labels])
    plain["sequences"][0]["crosses"] = list(crosses)
    return FeatureSpec.from_dict(plain)


def written(folder, spec, **options):
    """A model whose memory has been written, that memory, and its sentence."""
    keras.utils.set_random_seed(1)
    model = PairPooling(spec, hidden_units=(4,), pair_values="ease", pair_l2=L2, **options)
    model.compile()
    model.build()
    text = write_terms(model, str(folder / "train-*.parquet"), enough_rows(folder, spec))
    return model, model.pair_memories["history"], text


def enough_rows(folder, spec):
    """Validation rows, so often that weights have no prior."""
    return make_dataset(spec, str(folder / "valid-*.parquet"), batch_size=32).repeat(20)


def fitted(folder, spec, outcome="liked"):
    model = EASE(spec, item="item", outcome=outcome, l2=L2)
    train = Interactions.read(spec, model.columns, str(folder / "train-*.parquet"))
    model.fit_scores(train, 0)
    return model


def value(ease, item, liked, candidate):
    """The value of one pair of ids, as the docstring says."""
    event, column = ease.column_of[item], ease.column_of[candidate]
    if event < 0 or column < 0:
        return 0.0
    residual = 1.0
    if liked is not None:
        rate = 1 / (1 + np.exp(-np.log(ease.rate / (1 - ease.rate)) - ease.item_offsets[item]))
        residual = (liked - 2) - rate if liked >= 2 else 0.0
    return residual * ease.similarities[column, event]


def features_of(spec, folder, name):
    [(features, labels)] = make_dataset(spec, str(folder / f"{name}-*.parquet"), batch_size=500)
    return features, labels.numpy()
