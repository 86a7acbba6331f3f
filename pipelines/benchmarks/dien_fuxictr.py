"""DIEN on MovieLens 1M against FuxiCTR's DIEN: examples a second, and the test AUC of one epoch.

With the layer widths and the attention of FuxiCTR, whose DIEN has no auxiliary loss; what else is
the same, and how it is timed, stands in `workload/fuxictr_race.py`.
"""

import sys

from workload.fuxictr_race import build_fuxictr, build_ours, race  # noqa: F401

# Our options, FuxiCTR's. FuxiCTR normalises each hidden layer, lmn_tf what the head reads.
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
