# SPDX-License-Identifier: Apache-2.0
"""`python -m tests.fuzz`: many broken studies, and a line for each thing that reading or writing got wrong."""

from __future__ import annotations

import argparse
import collections
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.jail import place
from tests.fuzz.mutations import mutated
from tests.fuzz.program import kneesynth, prepare
from tests.fuzz.runner import Runner
from tests.fuzz.seeds import make_studies


def main() -> int:
    """Return 1 where anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=20_000, help="how many studies [20000]")
    parser.add_argument("--first", type=int, default=0, help="number of the first one, to share them out [0]")
    parser.add_argument("--seed", type=int, default=0, help="which ones [0]")
    parser.add_argument("--only", type=int, help="only this one of them, with all that is said about it")
    parser.add_argument("--keep", type=Path, help="folder for the files of what is found")
    arguments = parser.parse_args()
    prepare()
    studies = make_studies()
    many = range(arguments.first, arguments.first + arguments.inputs)
    indices = many if arguments.only is None else [arguments.only]
    found, codes, started = 0, collections.Counter[str](), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch, Runner(Path(scratch), kneesynth) as runner:
        for count, index in enumerate(indices, start=1):
            words, study = mutated(studies, arguments.seed, index)
            outcome = runner.run(study)
            codes.update(f"{verb} {code}" for verb, code in outcome.codes.items())
            if outcome.faults:
                found += 1
                print(f"{index} ({words})", *outcome.faults, sep="\n    ", flush=True)
                if arguments.keep is not None:
                    place(study, arguments.keep / str(index))
            if count % 1000 == 0:
                print(f"{count} inputs, {count / (time.monotonic() - started):.1f} per second", flush=True)
        print(f"{len(indices)} inputs of seed {arguments.seed}, {found} with findings, {runner.lost} processes lost")
    print("exit codes:", ", ".join(f"{name}: {count}" for name, count in sorted(codes.items())))
    print(f"at most {runner.slowest:.2f} s of processor time for one, {runner.peak_bytes >> 20} MiB resident")
    return int(found > 0)


if __name__ == "__main__":
    sys.exit(main())
