"""DIN and FuxiCTR's DIN on MovieLens 1M: examples per second, and the test AUC of one epoch.

Layer widths are equal: in one case those of FuxiCTR's DIN, in another those of `lmn_tf`. For the
other settings and the measurement see `workload/fuxictr_race.py`.
"""

import sys

from workload.fuxictr_race import build_fuxictr, build_ours, race  # noqa: F401

# Options of lmn_tf and of FuxiCTR: head, attention units, attention weights.
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
    # FuxiCTR normalizes the output of each hidden layer, lmn_tf the head's input.
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
