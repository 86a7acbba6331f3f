"""Runs of a comparison, in order, and the pipeline of each."""

from collections.abc import Mapping, Sequence
from typing import Any

from lmn_tf.models import registry
from lmn_tf.models.run_checks import fits_weights
from lmn_tf.specs.comparison_spec import ComparisonSpec
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.grid import ROWS, named_value
from lmn_tf.specs.pipeline_spec import PipelineSpec
from lmn_tf.training.comparison import comparison_checks
from lmn_tf.training.comparison.comparison_run import ComparisonRun


class ComparisonPlan:
    """Runs of a comparison, in order, and the pipeline of each.

    The first seed of every model comes before the second one of any. If an option is varied, the
    last value, which is that of the table, comes before the others.

    Rows without a network do not depend on the seed, unless it draws the training rows: each is
    fitted once, with the first seed or that of the search.

    Args:
        spec: A `ComparisonSpec`.
        seeds: Seeds of the comparison.

    Attributes:
        base: The `PipelineSpec` of the comparison.
        features: Its `FeatureSpec`, without learned assets.

    Raises:
        UserError: If a model, an option, a training key or a grid of any run is invalid.
    """

    def __init__(self, spec: ComparisonSpec, seeds: Sequence[int]) -> None:
        self.spec = spec
        self.seeds = tuple(seeds)
        self.base: PipelineSpec = spec.load_pipeline()
        self.features: FeatureSpec = self.base.load_feature_spec()
        comparison_checks.check_runs(spec, self.base, self.features)
        # By label, number of the trial and name of the value, which are None where there are none.
        self._configurations = {
            (entry.label, trial, value): configuration
            for entry in spec.models
            for trial, value, configuration in self._variants(entry)
        }
        runs = self._runs(self._configurations)
        for run in runs:
            self.pipeline(run)  # Refuses configurations that are invalid as a whole.
        if len({run.folder for run in runs}) < len(runs):
            raise UserError("labels of models must differ in their letters and digits.")

    def _variants(self, entry):
        """Returns trial, name of the value and configuration of each variant of a model."""
        key, values = self.spec.varied
        if key is not None and comparison_checks.applies(key, entry.model["name"]):
            return [(None, named_value(key, value), {key: value}) for value in values]
        if self.spec.search is None:
            return [(None, None, {})]
        trials = comparison_checks.trials(self.spec, entry)
        return [(trial, None, configuration) for trial, configuration in enumerate(trials, 1)]

    def _runs(self, variants):
        return [
            ComparisonRun(label, trial, seed, value)
            for place in range(len(self.seeds))
            for label, trial, value in variants
            for seed in self.own_seeds(label)[place : place + 1]
        ]

    @property
    def value_names(self) -> list[str | None]:
        """Names of the values of the varied option; `[None]` without one."""
        key, values = self.spec.varied
        return [None] if key is None else [named_value(key, value) for value in values]

    def trials(self, label: str) -> list[ComparisonRun]:
        """Returns the runs of the search of a model, in order."""
        seed = self.spec.search.seed
        return [
            ComparisonRun(label, trial, seed)
            for other, trial, _ in self._configurations
            if other == label
        ]

    def finals(self, chosen: Mapping[str, int]) -> list[ComparisonRun]:
        """Returns the runs that are tested, in order.

        Args:
            chosen: Number of the chosen trial by label; not used without a search.
        """
        if self.spec.search is not None:
            return self._runs([(label, trial, None) for label, trial in chosen.items()])
        names = self.value_names[::-1]
        # What has no such option comes with the first value.
        place = {None: 0} | {name: index for index, name in enumerate(names)}
        return self._runs(sorted(self._configurations, key=lambda key: place[key[2]]))

    def everything(self) -> list[ComparisonRun]:
        """Returns all runs that there may be, those of a search with every seed."""
        searched = () if self.spec.search is None else (self.spec.search.seed,)
        return [
            ComparisonRun(label, trial, seed, value)
            for label, trial, value in self._configurations
            for seed in dict.fromkeys([*self.own_seeds(label), *searched])
        ]

    def __len__(self) -> int:
        """Number of runs, including those of a search."""
        if self.spec.search is None:
            return len(self.finals({}))
        finals = sum(len(self.own_seeds(entry.label)) for entry in self.spec.models)
        return len(self._configurations) + finals

    def configuration(self, run: ComparisonRun) -> dict[str, Any]:
        """Returns what the search or the varied option sets in a run, by key."""
        return self._configurations[run.label, run.trial, run.value]

    def pipeline(self, run: ComparisonRun) -> PipelineSpec:
        """Returns the `PipelineSpec` of a run."""
        configuration = self.configuration(run)
        return self.spec.run_pipeline(run.label, run.seed, self.base, configuration)

    def own_seeds(self, label: str) -> tuple[int, ...]:
        """Returns the seeds with which a model is trained."""
        if not self._is_fitted_once(label):
            return self.seeds
        return self.seeds[:1] if self.spec.search is None else (self.spec.search.seed,)

    def seeds_of(self, run: ComparisonRun) -> tuple[int, ...]:
        """Returns the seeds whose result a run is."""
        return self.seeds if self._is_fitted_once(run.label) else (run.seed,)

    def fitted_labels(self) -> list[str]:
        """Returns the labels of rows whose weights are fitted to what the table measures them on.

        Without a test set, that is the validation set.
        """
        if self.base.data.test is not None:
            return []
        runs = [run for run in self.everything() if run.value in (None, self.value_names[-1])]
        fitted = [run.label for run in runs if fits_weights(self.pipeline(run))]
        return list(dict.fromkeys(fitted))

    def _is_fitted_once(self, label):
        names = {entry.label: entry.model["name"] for entry in self.spec.models}
        draws = self.base.data.draw_rows or self.spec.varied[0] == ROWS
        return registry.is_baseline(names[label]) and not draws
