#!/usr/bin/env python3
"""Times the elementwise operations of kernels/ops.def against PyTorch's, in turns, one thread, and prints a Markdown table.

usage: bench/peers/ops.py PROGRAM --python PYTHON [--only NAME] [--rounds N]

PROGRAM is basin-bench-peer, PYTHON an interpreter that can import torch. Nanoseconds an element of 65,536, processor time, median.
"""
import argparse
import pathlib
import statistics
import tempfile

from compare import Side


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--python", required=True)
    parser.add_argument("--only", default="", help="only operations whose name contains this")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        torch_work = str(pathlib.Path(__file__).with_name("torch_work.py"))
        sides = [Side([options.program]), Side([options.python, torch_work, folder, "default"])]
        print("| operation | " + " | ".join(f"{t}: basin | PyTorch | ratio" for t in ("f32", "f64")) + " |\n|" + " --- |" * 7)
        for name in sides[1].ask("elementwise"):
            if options.only not in name:
                continue
            row = []
            for dtype in ("f32", "f64"):
                sides[0].ask(f"open op {name} {dtype}")
                sides[0].ask("dump " + folder)
                sides[1].ask(f"open op {name} {dtype}")
                rounds = [[side.ask("run 40")[1] for side in sides] for _ in range(options.rounds + 1)][1:]
                basin, torch = (statistics.median(r[i] for r in rounds) * 1e9 / 65536 for i in (0, 1))
                row += [f"{basin:.2f}", f"{torch:.2f}", f"{torch / basin:.2f}"]
            print(f"| {name} | " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
