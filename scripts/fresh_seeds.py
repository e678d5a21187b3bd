#!/usr/bin/env python3
"""Runs every experiment at root seeds that nobody tuned anything on, and writes a table of what held how often.

    scripts/fresh_seeds.py --seeds 5001-5010 --table experiments/fresh-seeds.md

Everything that is complete below --out stays, so a night that was cut off goes on, experiment by experiment and seed by
seed; the table is written again after every seed. It counts the claims that must hold; a row that holds at fewer than nine
of ten seeds is listed first. Exit code: 0 all is as it must be, 1 an experiment failed or a row holds too rarely, 2 bad
arguments.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys


def seeds_of(words):
    """[5001, 5002] of "5001-5002" or "5001,5002"."""
    seeds = []
    for part in words.split(","):
        first, _, last = part.partition("-")
        seeds += range(int(first), int(last or first) + 1)
    return seeds


def records(out, seeds):
    """(experiment, seed) -> record, of the runs that are complete, and -> message, of those that are not."""
    complete, missing = {}, {}
    for seed in seeds:
        for file in sorted((out / f"seed-{seed}").glob("*/*/result.json")):
            record = json.loads(file.read_text())
            if ".previous" in str(file) or record["options"]["seed"] != seed:
                continue
            key = record["experiment"], seed
            if record["status"] == "complete":
                complete[key] = record
            else:
                missing[key] = record.get("error", record["status"]).splitlines()[0]
    return complete, missing


def rows_of(complete):
    """(experiment, statement) -> the row at every seed. Rows that must hold, not those that are only reported or that
    take the paper's words literally."""
    rows = {}
    for (experiment, seed), record in sorted(complete.items()):
        for claim in record["claims"]:
            if claim["held"] is not None and not claim["literal"]:
                rows.setdefault((experiment, claim["statement"]), []).append(claim)
    return rows


def percent(margin):
    return "" if margin is None else f"{100 * margin:.0f} %"


def least(margins):
    margins = [m for m in margins if m is not None]
    return min(margins) if margins else None


def table(preset, seeds, complete, missing):
    rows = rows_of(complete)
    done = {seed for _, seed in complete}
    commits = sorted({r["build"]["commit"][:7] for r in complete.values()})
    devices = sorted({r["device"] for r in complete.values()})
    share = {key: sum(c["held"] for c in claims) / len(claims) for key, claims in rows.items()}
    rare = sorted((key for key in rows if share[key] < 0.9), key=lambda key: (share[key], key))
    lines = [
        "# Claims at fresh root seeds",
        "",
        f"Preset {preset}, root seeds {min(seeds)} to {max(seeds)} ({len(done)} of {len(seeds)} with a run), commit "
        f"{', '.join(commits)}, {', '.join(devices)}. Written by `scripts/fresh_seeds.py`.",
        "",
        f"{len(rows)} rows must hold: {sum(s == 1 for s in share.values())} held at every seed, "
        f"{sum(0.9 <= s < 1 for s in share.values())} at nine of ten or more, {len(rare)} at fewer. "
        f"{len(missing)} runs did not end.",
        "",
    ]
    for (experiment, seed), why in sorted(missing.items()):
        lines.append(f"- `{experiment}` at seed {seed}: {why}")
    if missing:
        lines.append("")
    if rare:
        lines += ["## Rows that hold too rarely", ""]
        lines += ["| experiment | row | criterion | held | measured, by seed |", "| --- | --- | --- | --- | --- |"]
        for key in rare:
            claims = rows[key]
            values = ", ".join("not finite" if c["measured"] is None else f"{c['measured']:.3g}" for c in claims)
            lines.append(f"| `{key[0]}` | {key[1]} | {claims[0]['criterion']} | {sum(c['held'] for c in claims)} of "
                         f"{len(claims)} | {values} |")
        lines.append("")
    lines += ["## All rows", "", "Margins are fractions of the bound; of a bound 0, the distance itself.", ""]
    lines += ["| experiment | row | criterion | held | least margin | median margin |"]
    lines += ["| --- | --- | --- | --- | --- | --- |"]
    for key in sorted(rows):
        claims = rows[key]
        margins = [c.get("margin") for c in claims]
        known = [m for m in margins if m is not None]
        lines.append(f"| `{key[0]}` | {key[1]} | {claims[0]['criterion']} | {sum(c['held'] for c in claims)} of "
                     f"{len(claims)} | {percent(least(margins))} | {percent(statistics.median(known) if known else None)} |")
    return "\n".join(lines) + "\n", bool(missing or rare)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", required=True, help="root seeds: 5001-5010 or 1,2,3")
    parser.add_argument("--basin", default="build/default/bin/basin", help="the program")
    parser.add_argument("--paper", default="all", help="an id of `basin list`, or all")
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--out", default="results/fresh-seeds", help="folder of the runs")
    parser.add_argument("--table", help="the table [OUT/table.md]")
    parser.add_argument("options", nargs="*", help="after --: passed on to basin run, such as --jobs 1 --device cuda")
    args = parser.parse_args()
    try:
        seeds = seeds_of(args.seeds)
    except ValueError:
        parser.error(f"--seeds {args.seeds}: needs whole numbers, such as 5001-5010")
    out = pathlib.Path(args.out)
    page = pathlib.Path(args.table) if args.table else out / "table.md"
    out.mkdir(parents=True, exist_ok=True)
    bad = False
    for seed in seeds:
        folder = out / f"seed-{seed}"
        command = [args.basin, "run", "--paper", args.paper, "--preset", args.preset, "--seed", str(seed), "--out",
                   str(folder), *args.options]
        if folder.exists():
            command.append("--resume")
        print(" ".join(command), flush=True)
        code = subprocess.run(command, check=False).returncode
        if code > 1 and code != 3:
            sys.exit(code)
        words, bad = table(args.preset, seeds, *records(out, seeds))
        page.write_text(words)
        print(f"fresh seeds: {page}", flush=True)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
