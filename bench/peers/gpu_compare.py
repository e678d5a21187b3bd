#!/usr/bin/env python3
"""Times the same work in basin and in PyTorch on one GPU, interleaved, and prints a Markdown table.

    cmake --preset default && cmake --build --preset default --target basin-bench-peer
    bench/peers/gpu_compare.py --python PYTHON --out bench/results/gpu-peers.md

Sides: basin one call after the other (eager) and as one recorded step (replayed); PyTorch eager, torch.compile with mode
"reduce-overhead" (on the GPU with fused Adam), and a CUDA graph captured by hand (fused Adam; for convolutions also with
cudnn.benchmark: tuned). The sides take turns round by round. All start from basin's parameters and data; before any timing
20 losses (or the results) of each are compared with PyTorch in double precision. f32 throughout, TF32 off. Nobody reads the
loss while it is timed. A captured iteration is one graph of all its applications. Median and quartiles over the rounds;
ratios are of medians, to basin replayed. A side that cannot do a work is left out, with the reason below the table.
--device cpu --quick shows in a minute that it all works.
"""
import argparse
import datetime
import json
import math
import os
import pathlib
import selectors
import statistics
import subprocess
import sys
import tempfile
import time

from compare import ROOT, Side, error, seconds_text, spread_text, tolerance

# The project's targets: work -> smallest PyTorch eager / basin and smallest captured graph / basin.
WORK = {
    "train 784 7x128 100": (5.0, 1.3),
    "train 784 10x512 1000": (1.5, 1.0),
    "conv 3x32x32 128": (1.5, 1.0),
    "iterate-long 3 6x128 1000": (None, 3.0),
    "iterate 3 10x512 100000": (None, None),
}
OF_PRODUCT = "iterate 3 10x512 100000"  # at least this share of the rate of the large product, in the same run
SHARE = 0.70
QUICK = {"train 784 3x64 32": (None, None), "conv 3x16x16 4": (None, None), "iterate-long 3 3x16 20": (None, None),
         "iterate 3 3x32 1000": (None, None)}
KINDS = ("eager", "graph", "graph-tuned", "compile")  # the last may take long to prepare, and is given up first


class TimedSide(Side):
    """A side that may be given up: no answer within the time limit counts as an error, and so does its end."""

    def ask(self, request, limit=120.0):
        if self.process.poll() is not None:
            return {"error": "its process has ended"}
        with selectors.DefaultSelector() as wait:
            wait.register(self.process.stdout, selectors.EVENT_READ)
            try:
                self.process.stdin.write(request + "\n")
                self.process.stdin.flush()
            except BrokenPipeError:
                return {"error": "its process has ended"}
            if not wait.select(max(1.0, limit)):
                self.process.kill()
                return {"error": f"no answer to '{request}' within {limit:.0f} s"}
        line = self.process.stdout.readline()
        return json.loads(line) if line else {"error": f"its process ended at '{request}' (its message is above)"}

    def close(self):
        try:
            self.process.stdin.close()
            self.process.wait(10)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            self.process.kill()


class Column:
    """One side's way of doing a work: what to ask its process for checking and running."""

    def __init__(self, title, side, opens, check, run):
        self.title, self.side, self.opens, self.check, self.run = title, side, opens, check, run


def failed(answer):
    return isinstance(answer, dict) and "error" in answer


def distance(numbers, reference):
    finite = all(isinstance(x, (int, float)) and math.isfinite(x) for x in numbers)
    return error(numbers, reference) if finite else math.inf


def columns_of(sides, name):
    basin, torch, compiled = sides
    columns = [Column("basin", basin, None, "check", "run"), Column("basin replayed", basin, "open " + name, "check-replay", "replay")]
    for kind in KINDS:
        if kind == "graph-tuned" and not name.startswith("conv"):
            continue
        side = compiled if kind == "compile" else torch
        columns.append(Column(kind, side, f"open {kind} {name}", f"check {kind}", f"run {kind}"))
    return columns


def seconds_of(column, runs, limit=60.0):
    answer = column.side.ask(f"{column.run} {runs}", limit)
    if failed(answer):
        return answer
    return answer[0] if isinstance(answer, list) else answer


def measure(name, sides, folder, rounds, deadline):
    """{column title: (times or {"error"}, largest error)}, operations of one run"""
    left = lambda: deadline - time.monotonic()
    basin, torch, _ = sides
    for request in ("open " + name, "dump " + folder):
        answer = basin.ask(request, max(30, left()))
        if failed(answer):
            return {"basin": (answer, None)}, 0, None
    exact = torch.ask("check64 " + name, max(30, left()))
    flops = basin.ask("info")["flops"]
    torch.ask("close")
    columns, result, counts = columns_of(sides, name), {}, {}
    begin = time.monotonic()
    for column in columns:
        limit = max(5, 0.5 * left()) if column.title == "compile" else max(20, left())
        answer = column.side.ask(column.opens, limit) if column.opens else "ok"
        if not failed(answer):
            answer = column.side.ask(column.check, limit)
        off = None
        if not failed(answer):
            off = distance(answer, exact) if not failed(exact) else None
            answer = seconds_of(column, 1)
        result[column.title] = ([] if not failed(answer) else answer, off)
        if not failed(answer):
            counts[column.title] = answer
    live = [c for c in columns if c.title in counts]
    length = min(0.3, max(0.01, 0.8 * (deadline - time.monotonic()) / (max(1, len(live)) * (rounds + 1))))
    for column in live:  # again, warm, and often enough for the clock
        once = seconds_of(column, max(1, min(200, int(0.2 * length / counts[column.title]))))
        counts[column.title] = max(1, int(length / once)) if not failed(once) else 1
    for i in range(rounds):
        if i >= 3 and time.monotonic() > deadline:
            break
        for column in live:
            times, off = result[column.title]
            if failed(times):
                continue
            t = seconds_of(column, counts[column.title])
            result[column.title] = (t, off) if failed(t) else (times + [t], off)
    print(f"  ({name}: {length:.2g} s a round, {time.monotonic() - begin:.0f} s in all)", file=sys.stderr)
    return result, flops, None if not failed(exact) else exact["error"]


def middle(entry):
    times = entry[0] if entry else None
    return statistics.median(times) if times and not failed(times) else None


def ratio_text(a, b):
    return f"{a / b:.2f}" if a and b else ""


def verdict(wanted, result):
    eager, captured, ours = (middle(result.get(k)) for k in ("eager", "graph", "basin replayed"))
    texts = []
    for aim, value, what in ((wanted[0], eager, "eager"), (wanted[1], captured, "graph")):
        if aim:
            state = "not measured" if not (value and ours) else "yes" if value / ours >= aim else "**no**"
            texts.append(f"{aim:g} x {what}: {state}")
    return ", ".join(texts)


def ceilings(args, sides, folder, lines, deadline):
    """The large product on both sides and PyTorch's large copy; returns basin's f32 operations a second."""
    basin, torch, _ = sides
    n, mib = (256, 4) if args.quick else (8192, 1024)
    name = f"matmul {n}"
    rate = None
    for request in ("open " + name, "dump " + folder):
        answer = basin.ask(request, deadline - time.monotonic())
    answers = {"basin": answer, "PyTorch": torch.ask("open eager " + name)}
    for who, side, verb in (("basin", basin, "run"), ("PyTorch", torch, "run eager")):
        times = answers[who] if failed(answers[who]) else []
        if not failed(times):
            for _ in range(4 + 7):
                t = side.ask(f"{verb} 3")
                times = t if failed(t) else times + [t[0] if isinstance(t, list) else t] if not failed(times) else times
        if failed(times):
            lines.append(f"- product {n}^3, f32: {who}: {times['error']}")
            continue
        best = 2.0 * n**3 / statistics.median(times[4:])
        lines.append(f"- product {n}^3, f32: {who} {best / 1e12:.2f} TFLOP/s ({spread_text(times[4:])})")
        rate = best if who == "basin" else rate
    answer = torch.ask(f"open eager copy {mib}")
    times = [torch.ask("run eager 5") for _ in range(9)] if not failed(answer) else []
    if times and not any(failed(t) for t in times):
        lines.append(f"- copy of {mib} MiB: PyTorch {2 * mib * 2**20 / statistics.median(times) / 1e9:.0f} GB/s, read + written")
    torch.ask("close")
    return rate


def driver():
    try:
        query = ["nvidia-smi", "--query-gpu=name,driver_version,clocks.sm,clocks.mem,temperature.gpu", "--format=csv,noheader"]
        return subprocess.run(query, capture_output=True, text=True, timeout=20).stdout.strip().splitlines()[0]
    except (OSError, IndexError, subprocess.TimeoutExpired):
        return "no nvidia-smi"


def report(args, folder):
    end = time.monotonic() + args.seconds
    torch_work = [args.python, str(pathlib.Path(__file__).with_name("torch_gpu_work.py")), folder, args.device.split(":")[0]]
    sides = [TimedSide([args.basin, args.device]), TimedSide(torch_work), TimedSide(torch_work)]
    info = [side.ask("info", end - time.monotonic()) for side in sides]
    for answer, who in zip(info, ("basin", "PyTorch", "PyTorch")):
        if failed(answer):
            raise SystemExit(f"gpu_compare: {who}: {answer['error']} (its message is above)")
    lines = ["# basin and PyTorch on one GPU, the same work, interleaved", "",
             f"- basin {info[0]['version']}, {info[0]['compiler']}, {info[0]['flags']}; backend: {info[0]['cuda']}",
             f"- device: {info[0]['device']}; PyTorch {info[1]['version']} on {info[1]['device']}",
             f"- before the run: {driver()}; {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}; "
             f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M UTC}"]
    lines += [f"- {note}" for note in args.note]
    if args.quick:
        lines.append("- **--quick: sizes are too small for the numbers to mean anything**")
    rate = ceilings(args, sides, folder, lines, end)
    lines += ["- median (quartiles); ratios to basin replayed; `train`, `conv`: forward, backward, Adam; `iterate`: 20, "
              "`iterate-long`: 1,111 applications; error: of 20 losses or of results, against PyTorch in double precision", "",
              "| work | basin | basin replayed | PyTorch eager | captured | captured tuned | compile | eager / basin | "
              "captured / basin | tuned / basin | compile / basin | wanted | TFLOP/s | of the product | error | error of PyTorch |",
              "|" + " --- |" * 16]
    print("\n".join(lines), flush=True)
    work = [item for item in (QUICK if args.quick else WORK).items() if args.only in item[0]]
    reasons, wrong = [], False
    for i, (name, wanted) in enumerate(work):
        now = time.monotonic()
        result, flops, note = measure(name, sides, folder, args.rounds, now + max(5.0, (end - now) / (len(work) - i)))
        if note:
            reasons.append(f"{name}: not compared with double precision: {note}")
        for title, (times, off) in result.items():
            if failed(times):
                reasons.append(f"{name}, {title}: {times['error']}")
        # a process that was given up is started again for the next work
        for k, command in ((0, [args.basin, args.device]), (1, torch_work), (2, torch_work)):
            if sides[k].process.poll() is not None:
                sides[k] = TimedSide(command)
        mid = {title: middle(entry) for title, entry in result.items()}
        ours = mid.get("basin replayed") or mid.get("basin")
        share = flops / ours / rate if ours and rate else None
        aims = verdict(wanted, result)
        if name == OF_PRODUCT:
            aims = f"{SHARE:.0%} of the product: " + ("not measured" if share is None else "yes" if share >= SHARE else "**no**")
        theirs = max((result[t][1] or 0 for t in ("eager", "graph") if t in result), default=0)
        off = max((result[t][1] or 0 for t in ("basin", "basin replayed") if t in result), default=0)
        bad = off > max(tolerance(name), theirs)
        wrong |= bad
        row = [name]
        for title in ("basin", "basin replayed", *KINDS):
            entry = result.get(title)
            row.append("" if not entry else "failed" if failed(entry[0]) else spread_text(entry[0]))
        row += [ratio_text(mid.get(kind), ours) for kind in KINDS]
        row += [aims, f"{flops / ours / 1e12:.2f}" if ours else "", f"{share:.0%}" if share else "",
                f"{off:.1e}" + (" **TOO LARGE**" if bad else ""), f"{theirs:.1e}"]
        lines.append("| " + " | ".join(row) + " |")
        print(lines[-1], flush=True)
        if args.out:  # after each row, so that an end before the end loses little
            pathlib.Path(args.out).write_text("\n".join(lines + [""] + [f"- {r}" for r in reasons]) + "\n")
    for side in sides:
        side.close()
    print("\n".join(f"- {r}" for r in reasons))
    if wrong:
        raise SystemExit("gpu_compare: basin's results are wrong where TOO LARGE stands")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="interpreter that has PyTorch (default: this one)")
    parser.add_argument("--basin", default=str(ROOT / "build/default/bin/basin-bench-peer"), help="basin's program")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:0 or cpu (to see that it works)")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=240, help="for everything (default 240)")
    parser.add_argument("--quick", action="store_true", help="tiny work, only to see that it works")
    parser.add_argument("--only", default="", help="only work whose name contains this")
    parser.add_argument("--note", action="append", default=[], help="a line for the head of the report")
    parser.add_argument("--out", help="also write the report to this file")
    args = parser.parse_args()
    if not os.access(args.basin, os.X_OK):
        sys.exit(f"gpu_compare: no program {args.basin}; build the target basin-bench-peer, or give --basin")
    if subprocess.run([args.python, "-c", "import torch"], capture_output=True).returncode != 0:
        sys.exit(f"gpu_compare: {args.python} cannot import torch; give --python an interpreter that can")
    with tempfile.TemporaryDirectory() as folder:
        report(args, folder)


if __name__ == "__main__":
    main()
