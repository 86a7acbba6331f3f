"""On how many devices and machines a run trains."""

from typing import Literal

from lmn_tf.specs.section import Positive, PositiveNumber, section


@section
class Distribute:
    """On how many devices and machines a run trains.

    Args:
        strategy: `"none"`, `"mirrored"`, `"multi_worker"` or `"parameter_server"`. Defaults to
            `"none"`.
        replicas: Integer. With `mirrored`, on how many devices of this machine: GPUs, or without
            any as many parts of the CPU. Each takes its share of a batch. Defaults to `None`: all
            GPUs.
        steps_in_flight: Integer. On parameter servers, how many steps may be handed out to workers
            at a time. Defaults to `None`: twice the number of workers.
        hang_seconds: Float. On parameter servers, after how many seconds without any step ending
            the processes that do not answer are named; `lmn-tf launch` starts a worker again that
            has not answered for so long. Defaults to `60.0`.
    """

    strategy: Literal["none", "mirrored", "multi_worker", "parameter_server"] = "none"
    replicas: Positive | None = None
    steps_in_flight: Positive | None = None
    hang_seconds: PositiveNumber = 60.0
