#!/usr/bin/env python3
"""Times symmetric eigenvalues and vectors in f64: basin against numpy.linalg.eigh, one thread each, in turns.

usage: bench/peers/eigh.py PROGRAM [--sizes 256,1024] [--rounds N] [--out FILE]

PROGRAM is basin-bench-peer; what computes in it (Eigen, or LAPACK where the build found it) stands in the table. Run it with an
interpreter that has NumPy. The eigenvalues of both are compared first. Processor time, the median of ratios of pairs.
"""
import os

for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ[name] = "1"

import argparse
import statistics
import sys
import tempfile
import time

import numpy

from compare import Side


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--sizes", default="256,1024")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", help="a file for the table, beside the terminal")
    options = parser.parse_args()
    ask = Side([options.program]).ask
    info = ask("info")
    blas = numpy.show_config(mode="dicts")["Build Dependencies"]["lapack"]
    lines = [f"basin {info['version']} with {info['linalg']}; NumPy {numpy.__version__} with {blas['name']} {blas['version']}; "
             f"one thread, processor time, {options.rounds} rounds", "",
             "| D | NumPy, s | basin / NumPy, median (least .. most) |", "| --- | --- | --- |"]
    print("\n".join(lines), flush=True)
    for size in (int(word) for word in options.sizes.split(",")):
        ask(f"open eigh {size}")
        with tempfile.TemporaryDirectory() as folder:
            ask("dump " + folder)
            x = numpy.fromfile(folder + "/data.f32", dtype=numpy.float32).reshape(size, size).astype(numpy.float64)
        matrix = (x + x.T) / 2
        values = numpy.linalg.eigvalsh(matrix)
        bound = 1e-13 * size * max(abs(values[0]), abs(values[-1]))  # of the order of n eps |A|
        off = max(abs(a - b) for a, b in zip(ask("check"), (values[0], values[size // 2], values[-1])))
        if off > bound:
            sys.exit(f"eigh.py: the eigenvalues at D = {size} differ by {off}, more than {bound}")
        ratios, theirs = [], []
        for _ in range(options.rounds):
            ours = ask("run 1")[1]
            begin = time.process_time()
            numpy.linalg.eigh(matrix)
            theirs.append(time.process_time() - begin)
            ratios.append(ours / theirs[-1])
        lines.append(f"| {size} | {statistics.median(theirs):.3g} | {statistics.median(ratios):.2f} "
                     f"({min(ratios):.2f} .. {max(ratios):.2f}) |")
        print(lines[-1], flush=True)
    if options.out:
        with open(options.out, "w") as out:
            out.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
