#!/usr/bin/env python3
"""Times the same work in two builds of basin, interleaved, one thread each: is the second slower than the first?

usage: bench/peers/builds.py BEFORE AFTER [--rounds N] [--seconds S] [--only TEXT] [--out FILE]

BEFORE and AFTER are programs basin-bench-peer. Each round runs a piece of every workload in both, in turns (the first to go
changes from round to round), and compares processor time: a ratio is made of each pair, and the median of ratios is
what to read, since a busy machine slows both halves of a pair alike. Above 1: the second build is slower.
"""
import argparse
import json
import statistics
import subprocess
import sys


class Build:
    def __init__(self, program):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, request):
        self.process.stdin.write(request + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"builds.py: no answer to '{request}'")
        return json.loads(line)

    def seconds(self, runs):
        return self.ask(f"run {runs}")[1]


def quartiles(values):
    return statistics.quantiles(values, n=4) if len(values) > 1 else [values[0]] * 3


def measure(builds, name, rounds, seconds):
    """Ratios after / before, and the median time of before. Both must give the same kind of numbers first."""
    for build in builds:
        build.ask(f"open {name}")
    once = max(build.seconds(1) for build in builds)
    runs = max(1, round(seconds / once))
    rounds = rounds if once < 2 else min(rounds, 3)
    ratios, before = [], []
    for i in range(rounds):
        order = builds if i % 2 == 0 else builds[::-1]
        times = {build: build.seconds(runs) for build in order}
        before.append(times[builds[0]])
        ratios.append(times[builds[1]] / times[builds[0]])
    return ratios, statistics.median(before)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before")
    parser.add_argument("after")
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--seconds", type=float, default=0.1, help="of one piece")
    parser.add_argument("--only", default="", help="workloads whose name has this text")
    parser.add_argument("--out", help="a file for the table, beside the terminal")
    options = parser.parse_args()
    builds = [Build(options.before), Build(options.after)]
    versions = [build.ask("info")["version"] for build in builds]
    lines = [f"{versions[0]} and then {versions[1]}; processor time, one thread, {options.rounds} rounds", "",
             "| work | before, ms | after / before, median (quartiles) |", "| --- | --- | --- |"]
    print("\n".join(lines), flush=True)
    known = builds[1].ask("names")
    for name in [n for n in builds[0].ask("names") if n in known and options.only in n]:
        ratios, before = measure(builds, name, options.rounds, options.seconds)
        low, middle, high = quartiles(ratios)
        lines.append(f"| {name} | {1e3 * before:.4g} | {middle:.3f} ({low:.3f} .. {high:.3f}) |")
        print(lines[-1], flush=True)
    if options.out:
        with open(options.out, "w") as out:
            out.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
