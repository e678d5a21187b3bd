#!/usr/bin/env python3
"""Times max-pooling forward and back against a copy of the bytes that either has to move, in turns, one thread.

usage: bench/peers/pool.py PROGRAM [--shape 64x64x32x32] [--rounds N]

PROGRAM is basin-bench-peer. Windows are 2 x 2; those bytes are the image and the pooled image, once each (not the place that is
kept for each window). Processor time; of the ratios of a round the median, and the smallest and largest.
"""
import argparse
import statistics

from compare import Side


def opened(program, work):
    side = Side([program])
    side.ask(f"open {work}")
    side.ask("run 5")
    return side


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--shape", default="64x64x32x32")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    kinds = ("max-pool-copy", "max-pool", "max-pool-back")
    sides = {kind: opened(options.program, f"{kind} {options.shape}") for kind in kinds}
    size = 1
    for side in options.shape.split("x"):
        size *= int(side)
    rounds = [{kind: side.ask("run 10")[1] for kind, side in sides.items()} for _ in range(options.rounds)]
    print(f"images {options.shape}, {5 * size / 1e6:.1f} MB, {options.rounds} rounds of 10")
    print("| pass | GB/s, median | rate of the copy, median (least .. most) |\n| --- | --- | --- |")
    for kind in kinds:
        rates = [r["max-pool-copy"] / r[kind] for r in rounds]
        speed = 5 * size / statistics.median(r[kind] for r in rounds) / 1e9
        print(f"| {kind} | {speed:.1f} | {statistics.median(rates):.2f} ({min(rates):.2f} .. {max(rates):.2f}) |")


if __name__ == "__main__":
    main()
