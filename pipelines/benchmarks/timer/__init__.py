"""Side-by-side timing of contenders in separate processes, with one table as the result.

A benchmark is a script in the parent folder. It has builders, which are functions that prepare some
work and return one step of it, and compares them case by case:

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

Each contender of a case is built in a separate worker process, so that the threads of libraries do
not compete, and peak memory is that of one contender. Then the workers take turns: A, B, C, A, B,
C, ..., so that other load on the machine slows down all of them. The first step of each turn is not
measured; the time of a turn is the median of the others. The table shows the median over turns, the
quartiles, and the ratio to the first contender of the case, computed turn by turn. Every case
starts new workers.

`lmn-tf benchmark` lists the scripts with the first lines of their docstrings.
"""

from timer.benchmark import Benchmark
from timer.contender import Contender, Work
from timer.machine import cores

__all__ = ["Benchmark", "Contender", "Work", "cores"]
