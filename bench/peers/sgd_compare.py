"""Online SGD of shallow autoencoders: basin against PyTorch and JAX, interleaved, one thread each.

    python3 bench/peers/sgd_compare.py [--build build/default] [--python PY] [--rounds 7] [--out FILE] [--device cuda]
                                       [--peers torch,torch-tuned,jax] [--quick]

With --device, 1,024 trajectories side by side on it beside one of them on one core of the CPU. PY is a Python with PyTorch,
and if it is to take part, JAX; what is not installed is left out. Each round times every side once; a ratio is that of the
sides within a round, the table shows the median and the range over the rounds. Time is the processor's (the machine may be
shared), for a device the wall's.
"""
import argparse
import json
import os
import platform
import statistics
import subprocess
import sys

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--build", default="build/default")
parser.add_argument("--python", default=sys.executable)
parser.add_argument("--rounds", type=int, default=7)
parser.add_argument("--out")
parser.add_argument("--device")
parser.add_argument("--peers", default="torch,torch-tuned,jax", help="those to compare with; may be empty")
parser.add_argument("--quick", action="store_true", help="few steps, to see that it works")
options = parser.parse_args()
here = os.path.dirname(os.path.abspath(__file__))


class Side:
    def __init__(self, command):
        environment = dict(os.environ, OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True, env=environment)

    def ask(self, request):
        self.process.stdin.write(request + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(self.process.stderr.read().strip().splitlines()[-1:])
        return json.loads(answer)


def middle(values):
    return f"{statistics.median(values):.3g} ({min(values):.3g} to {max(values):.3g})"


basin = Side([os.path.join(options.build, "bin", "basin-bench-sgd")])
peers = {}
for name in filter(None, options.peers.split(",")):
    try:
        side = Side([options.python, os.path.join(here, "sgd_work.py"), name])
        peers[name] = (side.ask("info")["version"], side)
    except (RuntimeError, BrokenPipeError):
        print(f"{name}: not installed in {options.python}, left out", file=sys.stderr)

# what is asked of each side: (title, request, steps)
D, FULL, PEER, GRAM, JAX = 1000, 200000, 3000, 1000000, 20000
TOGETHER = 1024
if options.quick:
    FULL, PEER, GRAM, JAX, TOGETHER = 2000, 300, 10000, 2000, 4
EULER = 1 if options.quick else 100
ours = {"f32": (f"full32 {D} {FULL}", FULL), "f64": (f"full64 {D} {FULL}", FULL), "random": (f"random32 {D} {FULL}", FULL),
        "gram": (f"gram {D} {GRAM}", GRAM), "gram 10^4": (f"gram 10000 {GRAM}", GRAM),
        "gram 10^5": (f"gram 100000 {GRAM}", GRAM), "gram 10^6": (f"gram 1000000 {GRAM}", GRAM)}
seconds = {name: [] for name in list(ours) + list(peers)}
errors = {}
for turn in range(options.rounds):
    for name, (request, steps) in ours.items():
        answer = basin.ask(request)
        seconds[name].append(answer[0] / steps)
        errors[name] = answer[2]
    for name, (_, side) in peers.items():
        steps = JAX if name == "jax" else PEER
        answer = side.ask(f"full {D} {steps}")
        seconds[name].append(answer[0] / steps)
    print(f"round {turn + 1} of {options.rounds}", file=sys.stderr)
together = {"f32": [], "f64": []}  # (seconds of a step of all, of one on a core, name of the device)
for turn in range(options.rounds if options.device else 0):
    for kind, steps in (("f32", 5 * FULL), ("f64", FULL)):
        all_of_them = basin.ask(f"together{kind[1:]} {D} {steps} {TOGETHER} {options.device}")
        one = basin.ask(f"full{kind[1:]} {D} {FULL}")
        together[kind].append((all_of_them[1] / steps, one[1] / FULL, all_of_them[3]))
ode, euler = [], []
for turn in range(3):
    ode.append(basin.ask("ode 100000 1e-8"))
    euler.append(basin.ask(f"euler {EULER} 0.001"))
exact = basin.ask("ode 100000 1e-11")
near = basin.ask(f"ode {EULER} 1e-11")[2]
off_ours, off_euler = (abs(error / near - 1) for error in (basin.ask(f"ode {EULER} 1e-8")[2], euler[0][2]))
info = basin.ask("info")
lines = [f"# Online SGD: basin {info['commit'][:10]}{' (changed)' if info['dirty'] else ''} against "
         + (", ".join(version for version, _ in peers.values()) or "itself"), "",
         f"{platform.processor() or platform.machine()}, one thread each, {options.rounds} rounds interleaved; processor time; "
         f"D = {D}, K = M = 3, erf; median (range).", "",
         "| " + " | ".join(["what", "microseconds a step", "steps a second"] + [f"times {v}" for v, _ in peers.values()]) + " |",
         "| --- | --- | --- |" + " --- |" * len(peers)]
for name in ours:
    if name == "random":
        continue
    ratios = [middle([a / b for a, b in zip(seconds[peer], seconds[name])]) for peer in peers]
    lines.append("| " + " | ".join([name, middle([1e6 * s for s in seconds[name]]), f"{1 / statistics.median(seconds[name]):.3g}"]
                                   + ratios) + " |")
for name, (version, _) in peers.items():
    lines.append(f"| {version} | {middle([1e6 * s for s in seconds[name]])} | {1 / statistics.median(seconds[name]):.3g} |"
                 + " |" * len(peers))
share = [a / b for a, b in zip(seconds["random"], seconds["f32"])]
lines += ["", f"Random numbers alone: {middle([1e6 * s for s in seconds['random']])} microseconds a step, "
          f"{100 * statistics.median(share):.0f} % of the f32 step.", ""]
if options.device:
    lines += [f"{TOGETHER} trajectories side by side on {together['f32'][0][2]}, wall time, {options.rounds} rounds:", "",
              "| what | steps a second, all together | times one core |", "| --- | --- | --- |"]
    for kind, rows in together.items():
        lines.append(f"| {kind} | {middle([TOGETHER / a for a, _, _ in rows])} | "
                     f"{middle([TOGETHER * one / a for a, one, _ in rows])} |")
    lines += ["", "The floor of the f32 kernel (instructions to issue, see experiments/online_sgd/simulation/cuda/sgd_kernel.cu) is "
              "4.6e8 steps a second on 132 multiprocessors at 1.75 GHz.", ""]
per_t = statistics.median(e[0] for e in euler) / EULER
lines += [f"Equations to t = 10^5 (9 modes, relative 1e-8): {1e3 * statistics.median(o[0] for o in ode):.3g} ms, {ode[0][3]} steps, "
          f"error at the end {ode[0][2]:.12g}, at relative 1e-11 {exact[2]:.12g}. Euler's method with dt = 1 / D on the same "
          f"modes: {per_t * 1e5:.3g} s to t = 10^5 (timed to t = {EULER}), "
          f"{per_t * 1e5 / statistics.median(o[0] for o in ode):.3g} times as long, and then {off_euler:.2g} off at t = {EULER}, where ours is {off_ours:.2g} off (both relative, of the error)."]
table = "\n".join(lines) + "\n"
print(table)
if options.out:
    with open(options.out + ".part", "w") as file:
        file.write(table)
    os.replace(options.out + ".part", options.out)
