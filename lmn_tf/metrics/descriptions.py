"""Descriptions of figures, as TensorBoard shows them."""

# By the last part of a tag. TensorBoard shows them as Markdown beside the title of a card.
DESCRIPTIONS = {
    "loss": "Loss of the training steps, averaged since the start of the epoch.",
    "epoch_loss": "Loss of the training steps of a whole epoch.",
    "examples_per_second": "Training rows per second since the point before.",
    "input_wait": (
        "Share of the time since the point before that training waited for input. Above 0.1, "
        "reading limits the speed: use Parquet, fewer columns or larger row groups."
    ),
    "dense": "Learning rate of the dense variables.",
    "tables": "Learning rate of the embedding tables and of the values of memories.",
    "all": "Learning rate.",
    "auc": "Area under the ROC curve: the probability that a click scores above a non-click.",
    "gauc": "AUC within each group (such as a user), averaged with the rows of the groups.",
    "qauc": "AUC within each group (such as a request), averaged over the groups.",
    "logloss": "Mean cross-entropy of the predictions in nats. Smaller is better.",
    "normalized_entropy": (
        "Log loss divided by that of predicting the mean rate for each row. Below 1 is better than "
        "the mean rate."
    ),
    "calibration": (
        "Sum of the predicted probabilities divided by the number of positives. 1 is calibrated; "
        "above 1, the model predicts too many."
    ),
    "memory_loss": (
        "Smooth-L1 distance of the read-outs from the queries, without its weight, averaged since "
        "the start of the epoch. It falls while the memory learns the behaviors, and rises where "
        "the queries grow faster: compare `query_norm`."
    ),
    "query_norm": "Mean length of the queries M_Q, since the start of the epoch.",
    "read_out_norm": (
        "Mean length of the read-outs M_O, since the start of the epoch. It should approach "
        "`query_norm`."
    ),
    "slots_used": (
        "Percentage of the slots with at least one read (or gradient). Below 1 %, the memory has "
        "collapsed: normalize the queries, or make the memory smaller."
    ),
    "memory_kl": (
        "KL divergence of the use of the slots from even use, in nats: 0 for even use, the "
        "logarithm of the number of slots if a single slot gets everything."
    ),
    "gini": (
        "Gini coefficient of the use of the slots: 0 for even use, near 1 if few slots get "
        "everything."
    ),
    "slots_for_50": "Smallest number of slots that get 50 % of the weight.",
    "slots_for_90": "Smallest number of slots that get 90 % of the weight.",
    "slots_for_99": "Smallest number of slots that get 99 % of the weight.",
    "dead_slots": (
        "Number of open slots without a read by the probe's rows, or without a gradient since the "
        "point before. Slots that stay dead over many rows are wasted: try `key_balance_weight`, "
        "`key_expansion` or a smaller memory."
    ),
    "slots_trained": (
        "Percentage of the slots of a memory of pairs whose value is not 0. Unless they start with "
        "other values, these are the pairs that training rows have had."
    ),
    "memory_norm": "Euclidean norm of all values of a memory of pairs.",
    "collapsed": "1 if nearly all reads of the evaluation went to a few slots, else 0.",
    "gate_openness": (
        "Mean of the gate's sigmoid over tokens and units: 0 is closed, 1 open. A gate near 0 "
        "shuts out the memory."
    ),
    "attention_entropy": (
        "Entropy of the attention weights of a walk over the history in nats, averaged over rows: "
        "0 if one behavior has all the weight, log(n) for n equal weights. A last walk near the "
        "first one adds little."
    ),
}


def describe(tag: str) -> str:
    """Returns the description of a tag, by its last part; `""` if there is none.

    Args:
        tag: String, such as `"valid/auc"`. The number of a walk is ignored.

    Example:

    >>> describe("valid/auc")[:24], describe("imn/attention_entropy_2")[:7]
    ('Area under the ROC curve', 'Entropy')
    """
    name = tag.rpartition("/")[2]
    of_walk = name.rstrip("0123456789").rstrip("_")
    for known in (name, of_walk):
        if known in DESCRIPTIONS:
            return DESCRIPTIONS[known]
    # `evaluate` prefixes the figures of several memories with their names.
    for end, text in DESCRIPTIONS.items():
        if name.endswith(f"_{end}") or of_walk.endswith(f"_{end}"):
            return text
    return ""
