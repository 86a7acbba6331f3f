"""SIM on MovieLens 1M against FuxiCTR's SIM: examples a second, and the test AUC of one epoch.

Soft search for 50 of 100 movies, both stages trained at once with equal weights. FuxiCTR reads the
newest 50 with multi-head attention, whose mask is one event off, `lmn_tf` with DIN's; what else is
the same, and how it is timed, stands in `workload/fuxictr_race.py`. FuxiCTR's fails on a batch
without a history of 50, as those of `--quick` are.
"""

import sys

from workload.fuxictr_race import build_fuxictr, build_ours, race  # noqa: F401

# Our options, FuxiCTR's.
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
