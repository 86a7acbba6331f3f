"""Generated data of a pipeline."""

import os
from collections.abc import Callable

from lmn_tf.specs.errors import UserError
from lmn_tf.specs.pipeline_spec import PipelineData


def generate_missing(data: PipelineData, say: Callable[[str], None] = lambda text: None) -> None:
    """Generates the synthetic market of a pipeline in its folder, unless it exists.

    Args:
        data: The `data` section of a `PipelineSpec`. Nothing is generated without `synthetic`.
        say: Function called with a line of the log. Defaults to one that ignores it.

    Raises:
        UserError: If the section has `synthetic` but no `directory`, or the folder holds a market
            generated with other arguments.
    """
    if data.synthetic is None:
        return
    if not data.directory:
        raise UserError("`data.directory` must be given with `data.synthetic`. Received: nothing")
    from lmn_tf.data import synthetic

    if not os.path.exists(os.path.join(data.directory, "report.json")):
        say(f"Generating the synthetic market in {data.directory}.")
    synthetic.ensure(data.directory, **data.synthetic)
