#!/usr/bin/env bash
# Every test that GUARANTEES.md names exists: `tests/FILE` followed by "name of the case" must be a file with that TEST_CASE, `ctest NAME`
# an entry of tests/CMakeLists.txt or of a folder below, any other `PATH/...` a file or folder. Every row of a table names one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
page=GUARANTEES.md bad=0 cases=0
complain() { echo "guarantees: $*" >&2; bad=1; }

while IFS=$'\t' read -r file name; do
  cases=$((cases + 1))
  if [ ! -f "$file" ]; then
    complain "$file does not exist"
  elif ! tr '\n' ' ' <"$file" | sed -E 's/" +"//g' | grep -qE "TEST_CASE[A-Z_]*\( *\"$(sed 's/[][\\.*^$+?(){}|/]/\\&/g' <<<"$name")\""; then
    complain "$file has no test case \"$name\""
  fi
done < <(grep -oE '`tests/[a-z_/0-9]+\.cpp` "[^"]+"' $page | sed -E 's/^`([^`]+)` "(.*)"$/\1\t\2/')

while read -r entry; do
  cases=$((cases + 1))
  grep -rqE "(NAME|basin_[a-z_]*entry\()[ ]*(faults_)?${entry#faults_}([ )]|\$)" tests --include=CMakeLists.txt ||
    complain "ctest has no entry $entry"
done < <(grep -oE '`ctest [a-z_0-9]+`' $page | sed -E 's/`ctest ([a-z_0-9]+)`/\1/' | sort -u)

while read -r path; do
  [ -e "$path" ] || complain "$path does not exist"
done < <(grep -oE '`(tests|scripts|engine|kernels|models|experiments|bench|data|autograd)/[A-Za-z_/.0-9-]*`' $page | tr -d '`' | sort -u)

while read -r row; do
  grep -qE '`(tests|scripts)/|`ctest ' <<<"${row##* | }" || complain "no test in this row: ${row:0:100}"
done < <(grep -E '^\| ' $page | grep -vE '^\| (promise|---)')

[ "$cases" -gt 0 ] || complain "$page names no test"
[ $bad = 0 ] && echo "$cases tests of $page exist"
exit $bad
