"""DIEN and FuxiCTR's DIEN on MovieLens 1M: examples per second, and the test AUC of one epoch.

Layer widths and attention are those of FuxiCTR, whose DIEN has no auxiliary loss. For the other
settings and the measurement see `workload/fuxictr_race.py`.
"""

import sys

from workload.fuxictr_race import build_fuxictr, build_ours, race  # noqa: F401

# Options of lmn_tf and of FuxiCTR. FuxiCTR normalizes each hidden layer, lmn_tf the head's input.
SETTINGS = {
    "as FuxiCTR sets it up": (
        {"hidden_units": (200, 80), "activation": "relu", "auxiliary_weight": 0.0},
        {"dnn_hidden_units": [200, 80], "dnn_activations": "ReLU"},
    ),
}


def main(argv=None):
    return race(__file__, __doc__, argv, "DIEN", SETTINGS)


if __name__ == "__main__":
    sys.exit(main())
