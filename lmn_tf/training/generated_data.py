"""The generated data of a pipeline."""

import os
from collections.abc import Callable

from lmn_tf.specs.errors import UserError
from lmn_tf.specs.pipeline_spec import PipelineData


def generate_missing(data: PipelineData, say: Callable[[str], None] = lambda text: None) -> None:
    """Writes the synthetic market of a pipeline into its folder, unless it is there.

    Args:
        data: The `data` section of a `PipelineSpec`; nothing happens when it has no `synthetic`.
        say: Function that gets a line to show. Defaults to one that shows nothing.

    Raises:
        UserError: When the section has `synthetic` without `directory`, or the folder holds a
            market of other arguments.
    """
    if data.synthetic is None:
        return
    if not data.directory:
        raise UserError("`data.directory` must be given with `data.synthetic`. Received: nothing")
    from lmn_tf.data import synthetic

    if not os.path.exists(os.path.join(data.directory, "report.json")):
        say(f"Generating the synthetic market in {data.directory}.")
    synthetic.ensure(data.directory, **data.synthetic)
