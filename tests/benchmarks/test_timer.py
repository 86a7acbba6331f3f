"""The shared timer of the benchmarks, with contenders whose times are known."""

import json
import os
import time
import types
from pathlib import Path

import pytest

import lmn_tf

SCRIPT = '''"""Fakes.

More words.
"""
import os, signal, sys, time
from timer import Benchmark, Contender, Work

def writes(path, letter):
    def step():
        with open(path, "a") as file:
            file.write(letter)
    return step

def holds(mib):
    held = bytearray(b"x" * 2**20) * mib
    after = lambda: {"after": "end"}
    return Work(lambda: len(held), examples=10, facts={"held": mib}, finish=after)

def gives(number):
    import numpy as np
    print("libraries print")
    return Work(lambda: time.sleep(0.001), output=lambda: np.array([number, 2.0]))

def refuses():
    raise ValueError("no luck")

def breaks():
    def step():
        raise ValueError("broke while running")
    return step

def dies():
    return lambda: os.kill(os.getpid(), signal.SIGKILL)

def main(argv=None):
    benchmark = Benchmark(__file__, __doc__, argv)
    if benchmark.options.only == "turns":
        path = os.environ["TURNS"]
        benchmark.compare("turns", *(
            Contender(letter, writes, {"path": path, "letter": letter}) for letter in "abc"
        ), rounds=3, seconds=1e-9)
    benchmark.compare("sizes", Contender("small", holds, {"mib": 1}),
                      Contender("large", holds, {"mib": 200}))
    benchmark.compare("outputs", *(Contender(f"{x}", gives, {"number": x}) for x in (1.0, 1.01)),
                      agree=0.1)
    benchmark.compare("wrong outputs", *(Contender(f"{x}", gives, {"number": x}) for x in (1, 9)),
                      agree=0.1) if benchmark.options.only == "wrong" else None
    if benchmark.options.only == "faults":
        benchmark.compare("faults", Contender("refuses", refuses), Contender("breaks", breaks),
                          Contender("dies", dies), Contender("fine", gives, {"number": 1}),
                          Contender("missing", gives, {"number": 1}, needs=("no_such_module",)))
    benchmark.leave_out("too large", "huge", "would take more than there is")
    benchmark.note("A note.")
    return benchmark.finish()

if __name__ == "__main__":
    sys.exit(main())
'''


@pytest.fixture
def script(tmp_path):
    """Loads the fakes as a module; workers run the same file."""
    import importlib.util

    path = tmp_path / "fakes.py"
    path.write_text(SCRIPT)
    spec = importlib.util.spec_from_file_location("fakes", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def figures(script, capsys, *arguments, status=0):
    assert script.main(["--quick", "--quiet", "--json", *arguments]) == status
    return json.loads(capsys.readouterr().out)


def test_contenders_take_turns(script, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TURNS", str(tmp_path / "turns"))
    figures(script, capsys, "--only", "turns")
    # First each is run twice, to trace and to learn its time; a turn is an unmeasured step and one.
    assert (tmp_path / "turns").read_text() == "aaaabbbbcccc" + 2 * "aabbcc"


def test_memory_facts_and_outputs_of_workers(script, capsys):
    result = figures(script, capsys)
    sizes, outputs, too_large = result["cases"]
    [huge] = too_large["contenders"]
    assert huge == {"contender": "huge", "skipped": "would take more than there is"}
    small, large = sizes["contenders"]
    assert large["peak_mib"] - small["peak_mib"] == pytest.approx(200, abs=30)
    assert small["facts"] == {"held": 1, "after": "end"}
    assert small["examples_per_second"] == pytest.approx(10 / small["seconds"]["median"])
    assert outputs["contenders"][1]["difference"] == pytest.approx(0.005)
    assert {"tensorflow", "numpy", "python", "lmn_tf"} <= set(result["versions"])
    assert result["machine"]["cores"] >= 1 and result["machine"]["processor"]
    assert result["command"] == "lmn-tf benchmark fakes --quick --quiet --json"


def test_outputs_that_differ_stop_the_benchmark(script):
    with pytest.raises(RuntimeError, match="the output of 9 must agree with the first"):
        script.main(["--quick", "--quiet", "--only", "wrong"])


def test_who_fails_or_is_missing_leaves_the_others_alone(script, capsys):
    [case] = figures(script, capsys, "--only", "faults", status=1)["cases"]
    refuses, breaks, dies, fine, missing = case["contenders"]
    assert refuses["failed"] == "ValueError: no luck"
    assert breaks["failed"] == "ValueError: broke while running"
    assert dies["failed"] == "ended by signal 9: out of memory?"
    assert fine["seconds"]["median"] > 0 and "ratio" not in fine
    assert missing["skipped"] == "needs no_such_module: `pip install -e .[bench]`"


def test_figures_without_steps(script):
    from timer import Benchmark, Contender

    benchmark = Benchmark(script.__file__, "Fakes.", ["--quick", "--quiet"])
    held = benchmark.figures_of(Contender("held", script.holds, {"mib": 1}))
    assert held["facts"] == {"held": 1, "after": "end"} and "seconds" not in held
    failed = benchmark.figures_of(Contender("refuses", script.refuses))
    assert failed == {"contender": "refuses", "failed": "ValueError: no luck"}
    missing = benchmark.figures_of(Contender("x", script.refuses, needs=("no_such_module",)))
    assert missing["skipped"].startswith("needs no_such_module")
    assert benchmark.cases == []


def test_files_of_a_run(script, tmp_path, capsys):
    output = tmp_path / "out"
    assert script.main(["--quick", "--quiet", "--only", "outputs", "--output", str(output)]) == 0
    assert sorted(path.name for path in output.iterdir()) == ["fakes.json", "fakes.md"]
    text = (output / "fakes.md").read_text()
    assert capsys.readouterr().out == text + "\n"
    assert text.startswith("# fakes\n\nFakes.\n") and "- A note.\n" in text
    assert json.loads((output / "fakes.json").read_text())["quick"] is True


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--quik"], "benchmark fakes: `--quik` must be an option. Did you mean `--quick`?"),
        (["--rounds", "x"], "benchmark fakes: argument --rounds: invalid int value: 'x'"),
    ],
)
def test_mistakes_in_options(script, arguments, message, capsys):
    with pytest.raises(SystemExit) as status:
        script.main(arguments)
    assert status.value.code == 2
    assert capsys.readouterr().err == f"lmn-tf: {message}\n"


def test_a_title_that_no_case_has(script, capsys):
    assert script.main(["--quick", "--only", "nothing"]) == 2
    assert "`--only` must be in the title of a case" in capsys.readouterr().err


def test_medians_ratios_and_targets(script, monkeypatch, capsys):
    """With a clock that only steps move."""
    import timer.worker
    from timer import Benchmark, Contender, Work

    clock = [0.0]
    monkeypatch.setattr(timer.worker, "time", types.SimpleNamespace(perf_counter=lambda: clock[0]))

    def work(times, examples):
        times = iter([9.0, 1.0, *(time for turn in times for time in (9.0, turn))])

        def step():
            clock[0] += next(times)

        return Work(step, examples=examples)

    benchmark = Benchmark(script.__file__, "Fakes.", ["--quick", "--quiet", "--in-process"])
    for ratio in ("speed", "time"):
        benchmark.compare(
            ratio,
            Contender("base", work, {"times": (4.0, 8.0, 6.0), "examples": 10}),
            Contender("same", work, {"times": (2.0, 4.0, 1.0), "examples": 10}, at_least=2.0),
            Contender("more", work, {"times": (4.0, 8.0, 6.0), "examples": 20}, at_most=1.5),
            ratio=ratio,
            rounds=3,
        )
    speed, time = benchmark.cases
    base, same, more = speed["contenders"]
    assert base["seconds"] == {"median": 6.0, "q1": 5.0, "q3": 7.0} and "ratio" not in base
    # Of the turns' ratios 2, 2 and 6; the medians alone would say 3.
    assert same["ratio"] == {"median": 2.0, "q1": 2.0, "q3": 4.0}
    assert same["target"] == {"at_least": 2.0, "met": True}
    assert same["examples_per_second"] == 5.0
    # Twice the examples in the same time: ratios are of examples a second.
    assert more["ratio"]["median"] == 2.0 and more["target"] == {"at_most": 1.5, "met": False}
    assert time["contenders"][1]["ratio"]["median"] == pytest.approx(1 / 2)
    assert time["contenders"][1]["target"]["met"] is False
    assert benchmark.finish() == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == [
        *("case", "contender", "ms", "ms quartiles", "examples/s"),
        *("speed ×", "speed × quartiles", "target", "time ×", "time × quartiles"),
    ]
    assert cells[3] == [
        *("speed", "same", "2,000", "1,500 - 3,000", "5"),
        *("2.00", "2.00 - 4.00", "≥ 2 met", "", ""),
    ]
    assert cells[6][-2:] == ["0.50", "0.33 - 0.50"]


def test_other_work_is_told(monkeypatch):
    from timer import machine
    from timer.table import _others

    seconds = iter([(100.0, 50.0, 5.0), (200.0, 110.0, 25.0), None])
    monkeypatch.setattr(machine, "_seconds", lambda: next(seconds))
    others = machine.OtherWork()
    assert others.share() == pytest.approx(0.4)  # 60 busy, of which 20 ours, of 100
    assert others.share() is None
    assert _others(0.4) == "other processes used 40% of its time: too much for reliable times"
    assert _others(0.01) == "other processes used 1% of its time"
    assert _others(None) == "the load by other processes is unknown"


def test_processor_time_of_a_process():
    from timer.machine import cpu_seconds

    before, own = cpu_seconds(os.getpid()), time.process_time()
    while time.process_time() < own + 0.3:
        pass
    assert cpu_seconds(os.getpid()) - before == pytest.approx(0.3, abs=0.15)
    assert cpu_seconds(2**22 + 1) == 0.0  # no process has that id


def test_numbers_in_tables():
    from timer.table import _number

    assert [_number(x) for x in (0.01234, 12.34, 123.4, 12345.6, 7, True, "x")] == [
        *("0.0123", "12.3", "123", "12,346", "7", "True", "x")
    ]


def test_workers_find_the_package_where_it_was_found():
    from timer.worker import _environment

    first = _environment()["PYTHONPATH"].split(":")[0]
    assert Path(first, "lmn_tf").samefile(Path(lmn_tf.__file__).parent)
