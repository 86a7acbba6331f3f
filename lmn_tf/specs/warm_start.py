"""Whose weights a run starts with."""

from lmn_tf.specs.section import Flag, PathText, Positive, section


@section
class WarmStart:
    """Starts a run with the weights of another one of the same model.

    Args:
        run: Folder of the other run, relative to the current folder.
        opening_steps: Integer. Training steps over which the keys that a larger memory adds are
            opened one after another. Defaults to `None`: half of the run's.
        row_state: Boolean. Whether what row-wise optimizers know of the rows of tables is taken
            over, too. Defaults to `True`.
    """

    run: PathText
    opening_steps: Positive | None = None
    row_state: Flag = True
