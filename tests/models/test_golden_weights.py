"""Weight names, shapes and dtypes of every model: checkpoints rest on them.

After a deliberate change, `PYTHONPATH=.:tests/helpers python tests/models/test_golden_weights.py`
writes the files anew.
"""

import json
from pathlib import Path

import pytest
from kitchen_sink import SMALL_OPTIONS, kitchen_sink_spec

from lmn_tf.models import registry

GOLDEN = Path(__file__).parent / "golden"


def weights_of(name):
    model = registry.build(name, kitchen_sink_spec(), SMALL_OPTIONS[name])
    model.build()
    root = model.name
    return [
        {
            "path": weight.path.removeprefix(f"{root}/"),
            "shape": list(weight.shape),
            "dtype": weight.dtype,
            "trainable": weight.trainable,
        }
        for weight in model.weights
    ]


@pytest.mark.parametrize("name", registry.names())
def test_weights_are_as_recorded(name):
    assert weights_of(name) == json.loads((GOLDEN / f"{name}.json").read_text())


if __name__ == "__main__":
    for one in registry.names():
        rows = ",\n ".join(json.dumps(row) for row in weights_of(one))
        (GOLDEN / f"{one}.json").write_text(f"[{rows}]\n")
