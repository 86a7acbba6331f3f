"""SIM and FuxiCTR's SIM on MovieLens 1M: examples per second, and the test AUC of one epoch.

Soft search for 50 of 100 movies; both stages are trained together with equal weights. FuxiCTR reads
the newest 50 by multi-head attention, whose mask is off by one event, `lmn_tf` by the attention of
DIN. For the other settings and the measurement see `workload/fuxictr_race.py`. FuxiCTR fails on
batches without a history of 50, such as those of `--quick`.
"""

import sys

from workload.fuxictr_race import build_fuxictr, build_ours, race  # noqa: F401

# Options of lmn_tf and of FuxiCTR.
SETTINGS = {
    "as FuxiCTR sets it up": (
        {
            "hidden_units": (512, 128, 64),
            "search_hidden_units": (512, 128, 64),
            "activation": "relu",
            "batch_norm": False,
            "search_top_k": 50,
            "short_length": 50,
            "search_units": 64,
            "found_units": 64,
            "found_heads": 1,
        },
        {
            "dnn_hidden_units": [512, 128, 64],
            "dnn_activations": "ReLU",
            "attention_dim": 64,
            "num_heads": 1,
            "short_seq_len": 50,
            "topk": 50,
        },
    ),
}


def main(argv=None):
    return race(__file__, __doc__, argv, "SIM", SETTINGS)


if __name__ == "__main__":
    sys.exit(main())
