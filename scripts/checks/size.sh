#!/usr/bin/env bash
# The size budget of every room, in characters of code: blank lines, comments, leading and trailing blanks count nothing, so that
# packing lines saves nothing. Prints size, budget and the change against the commit before; fails when a room is over its
# budget, when a file belongs to no room, or when a source file has more than 500 lines. What one person reads in a day to
# understand the engine (kernels without cuda, engine, autograd, models/nets, models/training) has a budget of its own.
# usage: scripts/checks/size.sh [--files ROOM]   --files: that room's files, largest first
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# room  budget; files of the longest room whose name begins their path
rooms=(
  "kernels 142700"
  "kernels/cuda 140500"
  "engine 91500"
  "engine/formats 5200"
  "engine/linalg 23500"
  "autograd 100600"
  "models/nets 108500"
  "models/training 53000"
  "models/dynamics 170000"
  "data 42000"
  "experiments/harness 174300"
  "experiments/analyse 30500"
  "experiments/memorization 188500"
  "experiments/online_sgd 258500"
  "tests 1060000"
  "bench 60500"
)
in_a_day="kernels engine autograd models/nets models/training"
day_budget=494700 most_lines=500

# count <folder>: a line "room characters lines-of-code path" for each source of the tree in that folder
count() {
  (cd "$1" && find kernels engine autograd models data experiments tests bench -type f \
    \( -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' -o -name '*.def' \) 2>/dev/null | sort |
    xargs awk -v names="$(printf '%s\n' "${rooms[@]}" | cut -d ' ' -f 1 | tr '\n' ' ')" '
      BEGIN { n = split(names, room, " ") }
      function finish() {
        if (path == "") return
        best = "none"
        for (i = 1; i <= n; ++i)
          if (index(path, room[i] "/") == 1 && (best == "none" || length(room[i]) > length(best))) best = room[i]
        print best, characters, code, lines, path
      }
      FNR == 1 { finish(); path = FILENAME; characters = code = lines = 0; inside = 0 }
      {
        ++lines
        left = $0
        kept = ""
        while (left != "") {  # pieces: a comment that goes on, text, strings
          if (inside) {
            at = index(left, "*/")
            if (!at) break
            left = substr(left, at + 2)
            inside = 0
          } else if (match(left, /"|\/\/|\/\*|\047/)) {
            kept = kept substr(left, 1, RSTART - 1)
            what = substr(left, RSTART, RLENGTH)
            left = substr(left, RSTART + RLENGTH)
            if (what == "//") break
            if (what == "/*") { inside = 1; continue }
            kept = kept what
            # to the end of the string or character; a digit separator (1\0470) has no second mark
            if (match(left, what == "\"" ? /^([^"\\]|\\.)*"/ : /^([^\047\\]|\\.[^\047]*)\047/)) {
              kept = kept substr(left, 1, RLENGTH)
              left = substr(left, RLENGTH + 1)
            }
          } else {
            kept = kept left
            break
          }
        }
        gsub(/^[ \t]+|[ \t]+$/, "", kept)
        characters += length(kept)
        code += kept != ""
      }
      END { finish() }')
}

if [ "${1:-}" = --files ]; then
  count . | awk -v room="${2:?size.sh --files ROOM}" '$1 == room { print $2, $5 }' | sort -rn
  exit
fi

before=$(mktemp -d)
trap 'rm -rf "$before"' EXIT
parent=HEAD
git diff --quiet HEAD -- 2>/dev/null && parent=HEAD~1
git archive "$parent" 2>/dev/null | tar -x -C "$before" 2>/dev/null || true
# without a commit before there is nothing to count, and no change
{ count . | sed 's/^/now /'; { count "$before" || true; } | sed 's/^/before /'; } |
  awk -v table="$(printf '%s\n' "${rooms[@]}")" -v day="$in_a_day" -v day_budget=$day_budget -v most=$most_lines '
    BEGIN { n = split(table, row, "\n"); days = split(day, of_day, " ") }
    { size[$1, $2] += $3; code[$1, $2] += $4; total[$1] += $3 }
    $1 == "now" && $2 == "none" { printf "%s belongs to no room\n", $6; bad = 1 }
    $1 == "now" && $5 > most { printf "%s has %d lines, the limit is %d\n", $6, $5, most; bad = 1 }
    function line(name, now, budget, change, each) {
      printf "%-26s %9d %9s %8s %6s\n", name, now, budget, change, each
      if (budget != "" && now > budget) { printf "%s is over its budget\n", name; bad = 1 }
    }
    function change(now, then) { return total["before"] ? sprintf("%+d", now - then) : "" }
    END {
      printf "%-26s %9s %9s %8s %6s\n", "characters of code", "size", "budget", "change", "a line"
      for (i = 1; i <= n; ++i) {
        split(row[i], field, " ")
        r = field[1]; now = size["now", r]; then = size["before", r]
        line(r, now, field[2], change(now, then), code["now", r] ? sprintf("%.1f", now / code["now", r]) : "")
      }
      for (i = 1; i <= days; ++i) { d += size["now", of_day[i]]; b += size["before", of_day[i]] }
      line("read in a day", d, day_budget, change(d, b), "")
      line("all", total["now"], "", change(total["now"], total["before"]), "")
      exit bad
    }'
