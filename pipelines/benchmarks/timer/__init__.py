"""Times contenders side by side, each in a process of its own, and writes one table.

A benchmark is a script beside this file. It names builders, functions of the script that prepare
something and return what one step of it is, and compares them case by case:

    import sys
    from timer import Benchmark, Contender, Work

    def build_sum(rows):
        import numpy as np
        numbers = np.random.default_rng(0).normal(size=rows)
        return Work(numbers.sum, examples=rows)

    def build_torch_sum(rows):
        import torch
        numbers = torch.rand(rows)
        return lambda: numbers.sum().item()

    def main(argv=None):
        benchmark = Benchmark(__file__, __doc__, argv)
        for rows in (1_000,) if benchmark.quick else (10_000, 1_000_000):
            benchmark.compare(
                f"{rows:,} rows",
                Contender("torch", build_torch_sum, {"rows": rows}, needs=("torch",)),
                Contender("numpy", build_sum, {"rows": rows}, at_least=1.0),
            )
        return benchmark.finish()

    if __name__ == "__main__":
        sys.exit(main())

How it measures. Each contender of a case is built in its own worker process (libraries that bring
their own threads do not fight, and peak memory is one contender's). Then the workers take turns: A,
B, C, A, B, C, ..., so a machine that slows down slows all of them. Of each turn the first step is
not measured; its figure is the median of the others. The table shows the median over turns, the
quartiles, and the ratio to the first contender of the case, formed turn by turn. Every case starts
with fresh workers.

The first docstring line of a script is what `lmn-tf benchmark` says of it.
"""

from timer.benchmark import Benchmark
from timer.contender import Contender, Work
from timer.machine import cores

__all__ = ["Benchmark", "Contender", "Work", "cores"]
