"""DIN on MovieLens 1M against FuxiCTR's DIN: examples a second, and the test AUC of one epoch.

With the same layer widths, once as FuxiCTR sets up its DIN and once as `lmn_tf` does; what else is
the same, and how it is timed, stands in `workload/fuxictr_race.py`.
"""

import sys

from workload.fuxictr_race import build_fuxictr, build_ours, race  # noqa: F401

# Options of either package: heads, attention units, what makes the weights.
SETTINGS = {
    "as FuxiCTR sets it up": (
        {
            "hidden_units": (512, 128, 64),
            "activation": "relu",
            "batch_norm": False,
            "attention_units": (64,),
            "attention_activation": "dice",
            "attention_weights": "raw",
        },
        {
            "dnn_hidden_units": [512, 128, 64],
            "dnn_activations": "ReLU",
            "attention_hidden_units": [64],
            "attention_hidden_activations": "Dice",
        },
    ),
    # FuxiCTR normalises what each hidden layer makes, lmn_tf what the head reads.
    "as lmn_tf sets it up": (
        {},
        {
            "dnn_hidden_units": [200, 80],
            "dnn_activations": "prelu",
            "batch_norm": True,
            "attention_hidden_units": [80, 40],
            "attention_hidden_activations": "sigmoid",
            "din_use_softmax": True,
        },
    ),
}


def main(argv=None):
    return race(__file__, __doc__, argv, "DIN", SETTINGS)


if __name__ == "__main__":
    sys.exit(main())
