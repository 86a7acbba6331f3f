"""On how many devices and machines a run trains."""

from typing import Annotated, Literal

import pydantic

from lmn_tf.specs.section import Positive, PositiveNumber, Problem, section


def _refuse_multi_worker(strategy):
    if strategy == "multi_worker":
        raise Problem(
            (),
            "must be parameter_server to train on several machines, or mirrored for several "
            "devices of one; in Python, `model.fit` takes a MultiWorkerMirroredStrategy. "
            "Received: strategy='multi_worker'",
        )
    return strategy


@section
class Distribute:
    """On how many devices and machines a run trains.

    Args:
        strategy: `"none"`, `"mirrored"` or `"parameter_server"`. Defaults to `"none"`.
        replicas: Integer. With `mirrored`, on how many devices of this machine: GPUs, or without
            any as many parts of the CPU. Each takes its share of a batch. Defaults to `None`: all
            GPUs.
        steps_in_flight: Integer. On parameter servers, how many steps may be handed out to workers
            at a time. Defaults to `None`: twice the number of workers.
        hang_seconds: Float. On parameter servers, after how many seconds without any step ending
            the processes that do not answer are named; `lmn-tf launch` starts a worker again that
            has not answered for so long. Defaults to `60.0`.
    """

    strategy: Annotated[
        Literal["none", "mirrored", "parameter_server"],
        pydantic.BeforeValidator(_refuse_multi_worker),
    ] = "none"
    replicas: Positive | None = None
    steps_in_flight: Positive | None = None
    hang_seconds: PositiveNumber = 60.0
