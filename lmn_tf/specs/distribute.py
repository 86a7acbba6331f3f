"""On how many devices and machines a run trains."""

from typing import Literal

from lmn_tf.specs.section import section


@section
class Distribute:
    """On how many devices and machines a run trains.

    Args:
        strategy: `"none"`, `"mirrored"`, `"multi_worker"` or `"parameter_server"`. Defaults to
            `"none"`.
    """

    strategy: Literal["none", "mirrored", "multi_worker", "parameter_server"] = "none"
