"""How a comparison tunes its models, all on the same budget."""

import random
from typing import Annotated, Literal

import pydantic

from lmn_tf.specs import grid as grids
from lmn_tf.specs.grid import Grid
from lmn_tf.specs.section import Positive, section


@section
class Search:
    """A random search over a grid, with the same number of trials for every model.

    Each model gets exactly `trials` different configurations, drawn from the product of its grid:
    this one's keys that it has, and its own `grid`. They are trained with `seed` and judged by the
    validation set alone; the test set is left unread. The best is then trained with every seed of
    the comparison and tested once. A grid with fewer than `trials` configurations is refused: the
    budgets would not be equal.

    What a trial is judged by is the last epoch, or the best one under `train.early_stopping`.
    Then give it a `patience` of 2 or more: the validation set is evaluated after whole epochs,
    one bad epoch is common, and a patience of 1 ends some models' training before others'.

    Args:
        trials: Integer. Configurations tried for each model.
        seed: Integer in `[0, 2**32)`. Draws the configurations, and trains them. Defaults to `1`.
        monitor: `"auc"`, `"gauc"` or `"logloss"` of the validation set. Defaults to `"auc"`.
        grid: Mapping from `train.KEY` or `model.OPTION` to a list of values. An option counts for
            the models that have it. Defaults to none.
    """

    trials: Positive
    seed: Annotated[int, pydantic.Field(strict=True, ge=0, le=2**32 - 1)] = 1
    monitor: Literal["auc", "gauc", "logloss"] = "auc"
    grid: Grid = pydantic.Field(default_factory=dict)

    def draw(self, grid):
        """Returns `trials` different configurations of `grid`, the same for the same seed.

        More trials begin with those of fewer. The order of the keys does not matter, that of the
        values does.

        Args:
            grid: Mapping from key to values, of `trials` configurations or more.

        Raises:
            ValueError: when the grid is smaller.

        Example:

        >>> Search(trials=2).draw({"model.dropout": (0, 0.1, 0.2)})
        [{'model.dropout': 0}, {'model.dropout': 0.2}]
        """
        grid = dict(sorted(grid.items()))
        count = grids.size(grid)
        if count < self.trials:
            raise ValueError(
                f"`grid` must have {self.trials} configurations or more. Received: {count}"
            )
        # Only `random()` is promised to give the same numbers in every version of Python.
        generator = random.Random(self.seed)
        moved, drawn = {}, []
        for place in range(self.trials):
            other = place + int(generator.random() * (count - place))
            drawn.append(moved.get(other, other))
            moved[other] = moved.get(place, place)
        return [grids.configuration(grid, number) for number in drawn]
