#!/usr/bin/env python3
"""Times the same work in two builds of basin, interleaved, one thread each: is the second slower than the first?

usage: bench/peers/builds.py BEFORE AFTER [--rounds N] [--seconds S] [--only TEXT | --pair NAME NAME] [--out FILE]

BEFORE and AFTER are programs basin-bench-peer. Each round runs a piece of every workload in both, in turns (the first to go
changes from round to round), and compares processor time: a ratio is made of each pair, and the median of ratios is
what to read, since a busy machine slows both halves of a pair alike. Above 1: the second build is slower. With --pair the first
name runs in BEFORE and the second in AFTER (which may be the same program): `--pair "smallest by hand" "smallest by nodes"`.
Where a process puts its memory moves a ratio by some per cent: --starts N starts both programs anew N times.
"""
import argparse
import statistics

from compare import Side


def seconds_of(build, runs):
    return build.ask(f"run {runs}")[1]


def quartiles(values):
    return statistics.quantiles(values, n=4) if len(values) > 1 else [values[0]] * 3


def measure(builds, names, rounds, seconds):
    """Ratios after / before, and the median time of before."""
    for build, name in zip(builds, names):
        build.ask(f"open {name}")
    once = max(seconds_of(build, 1) for build in builds)
    runs = max(1, round(seconds / once))
    rounds = rounds if once < 2 else min(rounds, 3)
    ratios, before = [], []
    for i in range(rounds):
        order = builds if i % 2 == 0 else builds[::-1]
        times = {build: seconds_of(build, runs) for build in order}
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
    parser.add_argument("--pair", nargs=2, metavar="NAME", help="one workload for each program")
    parser.add_argument("--starts", type=int, default=1, help="how often both programs are started")
    parser.add_argument("--out", help="a file for the table, beside the terminal")
    options = parser.parse_args()
    builds = [Side([options.before]), Side([options.after])]
    versions = [build.ask("info")["version"] for build in builds]
    lines = [f"{versions[0]} and then {versions[1]}; processor time, one thread, {options.rounds} rounds", "",
             "| work | before, ms | after / before, median (quartiles) |", "| --- | --- | --- |"]
    print("\n".join(lines), flush=True)
    known = builds[1].ask("names")
    same = [[n, n] for n in builds[0].ask("names") if n in known and options.only in n]
    for names in [options.pair] if options.pair else same:
        ratios, before = [], []
        for start in range(options.starts):
            if start > 0:
                builds = [Side([options.before]), Side([options.after])]
            found, time = measure(builds, names, options.rounds, options.seconds)
            ratios += found
            before.append(time)
        low, middle, high = quartiles(ratios)
        title = names[0] if names[0] == names[1] else f"{names[0]}, {names[1]}"
        lines.append(f"| {title} | {1e3 * statistics.median(before):.4g} | {middle:.3f} ({low:.3f} .. {high:.3f}) |")
        print(lines[-1], flush=True)
    if options.out:
        with open(options.out, "w") as out:
            out.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
