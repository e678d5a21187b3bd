#!/usr/bin/env python3
"""Times the same work in basin and in PyTorch, side by side, one thread each, and prints a Markdown table.

    cmake --preset default && cmake --build --preset default --target basin-bench-peer
    bench/peers/compare.py --python PYTHON --out bench/results/peers.md

PYTHON is any interpreter that can import torch (Debian: apt-get install python3-torch, then /usr/bin/python3). Nothing
else is needed. Each side is a process of its own that waits for requests, and the sides take turns: round 1 of basin, of
PyTorch, of PyTorch with other options, round 2 of basin, ... so that whatever else the machine does hits all alike. A round
runs the work as often as fits --seconds. Both sides start from the same parameters and data, written by basin; before any
timing, 20 losses (or the results) are compared with PyTorch in double precision. Reported: median and quartiles over the rounds, and the ratio of medians.
"""
import argparse
import datetime
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
# The project's targets: the smallest ratio PyTorch / basin.
WANTED = {
    "train 784 7x128 100": 2.0,
    "train 3 10x512 100": 1.5,
    "train 784 10x512 1000": 1.0,
    "iterate 3 10x512 1000": 1.0,
    "radius 784 7x128": 10.0,
    "newton 784 7x128": 20.0,
    "basins 3 6x128 20000": 1.3,
    "conv 3x32x32 128": 1.0,
    "minibatch 1x32x32 64": 1.3,
    "resnet9 3x32x32 64": 1.0,
    "spectrum 3x32x32 64": 5.0,
    "converge 3x16x16 10000": 2.0,
    "grouped 64x64x32x32 64": 1.0,
}
MEMORY = "train 784 10x512 1000"
# Both sides work in f32; what rounding does is seen in PyTorch's distance from its own double-precision run. basin may be as
# far from that run, or this far: where 1,000 points are iterated or eigenvalues sought, and in 20 losses of a training at
# the rate of ../workloads.cpp, where f32 is 1e-8 to 2e-6 off.
TOLERANCE, TRAINING_TOLERANCE = 1e-4, 1e-5


def tolerance(name):
    return TRAINING_TOLERANCE if name.split()[0] in ("train", "conv", "minibatch") else TOLERANCE


class Side:
    """A process that answers requests."""

    def __init__(self, command, cpu=None):
        prepare = (lambda: os.sched_setaffinity(0, {cpu})) if cpu is not None else None
        environment = dict(os.environ, OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        preexec_fn=prepare, env=environment)

    def ask(self, request):
        try:
            self.process.stdin.write(request + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise SystemExit(f"compare: {self.process.args[0]} ended at the request '{request}' (its message is above)")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def cpu_model():
    with open("/proc/cpuinfo") as info:
        for line in info:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return "unknown CPU"


def seconds_text(t):
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if t * factor >= 1 or unit == "µs":
            return f"{t * factor:.3g} {unit}"


def spread_text(times):
    low, middle, high = statistics.quantiles(times, n=4) if len(times) > 1 else times * 3
    return f"{seconds_text(middle)} ({seconds_text(low)} .. {seconds_text(high)})"


def error(numbers, reference):
    """The largest difference, relative to the largest number."""
    return max(abs(x - y) for x, y in zip(numbers, reference)) / max(abs(y) for y in reference)


def measure(name, sides, folder, rounds, seconds):
    sides[0].ask("open " + name)
    sides[0].ask("dump " + folder)
    for side in sides[1:]:
        side.ask("open " + name)
    exact = sides[1].ask("check64 " + name)
    errors = [error(side.ask("check"), exact) for side in sides]
    firsts = []
    for side in sides:
        once = max(1e-7, side.ask("run 1")[1])
        if once < 1:  # again, warm, and often enough to be seen by the clock
            once = min(once, side.ask(f"run {max(1, min(1000, int(0.05 / once)))}")[1])
        firsts.append(once)
    counts = [max(1, int(seconds / once)) for once in firsts]
    times = [[] for _ in sides]
    longest = max(firsts)
    for _ in range(rounds if longest < 5 else min(rounds, 3 if longest < 20 else 1)):
        for i, side in enumerate(sides):
            times[i].append(side.ask(f"run {counts[i]}"))
    return times, errors


def memory_rows(commands, folder, steps=5):
    """Fresh processes: what is resident before the work, and the peak of a training."""
    writer = Side(commands[0])
    writer.ask("open " + MEMORY)
    writer.ask("dump " + folder)
    writer.close()
    rows = []
    for command in commands:
        side = Side(command)
        before = side.ask("memory")["now"]
        side.ask("open " + MEMORY)
        side.ask(f"run {steps}")
        peak = side.ask("memory")["peak"]
        side.close()
        rows.append((before / 1024, peak / 1024, (peak - before) / 1024))
    return rows


def report(args, basin, folder):
    torch_work = str(pathlib.Path(__file__).with_name("torch_work.py"))
    commands = [[basin]] + [[args.python, torch_work, folder, kind] for kind in ("default", "tuned")]
    sides = [Side(command, args.cpu) for command in commands]
    info = [side.ask("info") for side in sides]
    clocks = ("wall", "processor") if args.clock == "wall" else ("processor", "wall")
    names = [n for n in sides[0].ask("names") if args.only in n]
    lines = [
        "# basin and PyTorch, the same work, interleaved",
        "",
        f"- basin {info[0]['version']}, {info[0]['compiler']}, {info[0]['flags']}",
        f"- PyTorch {info[1]['version']} ({info[1]['flags']}), eager; `tuned`: Adam(fused=True), jacobian(vectorize=True),"
        " inference_mode, autograd.grad",
        f"- {cpu_model()}, {os.cpu_count()} cores, one thread each; f32; load average {os.getloadavg()[0]:.1f}"
        f"; {datetime.date.today()}",
        f"- {args.rounds} rounds of about {args.seconds} s; {clocks[0]} time,"
        " median (quartiles); ratio = PyTorch / basin, of medians",
        "- `train D LxH B`: one step of forward, backward, Adam, loss read, D-[H ...]-D with L weight matrices, batch B;"
        " one more for the other reading (L hidden layers). `iterate`: 20 applications to 1,000 points. `radius`: spectral"
        " radius of the Jacobian at one point (PyTorch: autograd.functional.jacobian and linalg.eigvals; basin: the 128 x"
        " 128 product with the same non-zero spectrum). `newton`: fixed points from 100 examples of a trained network, f64,"
        " to a residual of 1e-12 (PyTorch: func.vmap of func.jacrev, linalg.solve, all coordinates; basin: the codes of the"
        " narrowest layer, 1e-13 beside their length). `basins`: starts until their steps are below"
        " 1e-6, at most 1,111; those that rest leave on both sides. `conv`: training step of the convolutional autoencoder (32-64-128-256"
        " channels, bottleneck 128). `minibatch`: the same with 8-16-32-64 channels and ELU on minibatches of 2,000 images. `resnet9`:"
        " loss and gradient of ResNet9. `spectrum`: all eigenvalues of a linear network 3x32x32 -> 1x1 -> 3x32x32 with 64 filters"
        " (PyTorch: func.jacrev, linalg.eigvals; basin: jvps to and from the bottleneck, the other eigenvalues are zero)."
        " `converge`: 10,000 points until they stand still (PyTorch: all go on until the last does; tuned: the converged"
        " leave). `grouped BxCxHxW G`: a convolution 3x3 in G groups and its gradients. `loss NAME BxD`: a loss of B examples and"
        " its gradient. `tiny`: tanh of one number and its derivative. `matmul`:"
        " one square product, which explains much of the rest.",
        "- error: of 20 losses (train) or of the results, against PyTorch in double precision from the same parameters",
        "",
        f"| work | basin | PyTorch | PyTorch tuned | ratio | ratio tuned | ratio in {clocks[1]} time | wanted | error | error of PyTorch |",
        "|" + " --- |" * 10,
    ]
    failed = False
    print("\n".join(lines), flush=True)
    for name in names:
        times, errors = measure(name, sides, folder, args.rounds, args.seconds)
        wall, cpu = ([[pair[i] for pair in t] for t in times] for i in (0, 1))
        times, others = (wall, cpu) if args.clock == "wall" else (cpu, wall)
        middle, other = ([statistics.median(t) for t in which] for which in (times, others))
        wanted = f"{WANTED[name]:.1f}" if name in WANTED else ("basin < 1.5 µs" if name == "tiny" else "")
        agrees = errors[0] <= max(tolerance(name), errors[1])
        failed |= not agrees
        lines.append("| " + " | ".join([name] + [spread_text(t) for t in times] + [
            f"{middle[1] / middle[0]:.2f}", f"{middle[2] / middle[0]:.2f}", f"{other[1] / other[0]:.2f}", wanted,
            f"{errors[0]:.1e}" + ("" if agrees else " **TOO LARGE**"), f"{errors[1]:.1e}"]) + " |")
        print(lines[-1], flush=True)
    for side in sides:
        side.close()
    if args.only in MEMORY:
        rest = ["", f"Memory of `{MEMORY}`, 5 steps, each in a fresh process (MiB resident):", "",
                "| | before the work (PyTorch: after import) | peak | working set = the difference |",
                "| --- | --- | --- | --- |"]
        for label, row in zip(("basin", "PyTorch", "PyTorch tuned"), memory_rows(commands, folder)):
            rest.append(f"| {label} | " + " | ".join(f"{v:.0f}" for v in row) + " |")
        print("\n".join(rest), flush=True)
        lines += rest
    if args.out:
        pathlib.Path(args.out).write_text("\n".join(lines) + "\n")
    if failed:
        raise SystemExit("compare: basin's results are wrong where TOO LARGE stands")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="interpreter that has PyTorch (default: this one)")
    parser.add_argument("--basin", default=str(ROOT / "build/default/bin/basin-bench-peer"), help="basin's program")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.3, help="length of a round (default 0.3)")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall",
                        help="cpu: processor time, for a machine that others use too")
    parser.add_argument("--only", default="", help="only work whose name contains this")
    parser.add_argument("--cpu", type=int, help="run every side on this core")
    parser.add_argument("--out", help="also write the report to this file")
    args = parser.parse_args()
    if not os.access(args.basin, os.X_OK):
        sys.exit(f"compare: no program {args.basin}; build the target basin-bench-peer, or give --basin")
    found = subprocess.run([args.python, "-c", "import torch"], capture_output=True, text=True)
    if found.returncode != 0:
        sys.exit(f"compare: {args.python} cannot import torch; give --python an interpreter that can, or"
                 " apt-get install python3-torch")
    with tempfile.TemporaryDirectory() as folder:
        report(args, args.basin, folder)


if __name__ == "__main__":
    main()
