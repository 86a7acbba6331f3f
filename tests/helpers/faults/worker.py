"""A process that tries damaged inputs, a seed a line: `python worker.py TARGET FOLDER`.

Answers each seed of the standard input with a line of JSON: what came of it, and the most memory
that the process has held so far.
"""

import json
import os
import random
import resource
import sys
import warnings
from pathlib import Path

_MEMORY_LIMIT = 6 * 2**30

# What damage makes of a file may ask for any amount of memory.
resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY_LIMIT, _MEMORY_LIMIT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from faults.targets import TARGETS  # noqa: E402

from lmn_tf.specs.errors import UserError  # noqa: E402


def attempt(target, seed):
    """Returns (outcome, detail): `same`, `other`, `refused` or `uncaught`."""
    rng = random.Random(seed)
    try:
        result = target.attempt(rng)
    except UserError as error:
        message = str(error)
        if not message.strip() or "\n" in message or len(message) > 2_000:
            return "uncaught", f"a message of {len(message)} characters: {message[:200]}"
        return "refused", message[:200]
    except Exception as error:  # noqa: BLE001
        place = error.__traceback__
        while place.tb_next is not None:
            place = place.tb_next
        at = f"{Path(place.tb_frame.f_code.co_filename).name}:{place.tb_lineno}"
        return "uncaught", f"{type(error).__name__} at {at}: {str(error)[:200]}"
    return ("same" if result == target.whole else "other"), ""


def main():
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    warnings.simplefilter("ignore")
    target = TARGETS[sys.argv[1]](Path(sys.argv[2]))
    answer(answers, "ready", "")
    for line in sys.stdin:
        answer(answers, *attempt(target, int(line)))


def answer(answers, outcome, detail):
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    answers.write(json.dumps({"outcome": outcome, "detail": detail, "peak": peak}) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
