#!/usr/bin/env bash
# Downloads the official MNIST, Fashion-MNIST and CIFAR-10 files, checks them, and puts them where basin looks.
# A file is complete under its final name or not there at all; an interrupted download (.part) is continued.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: scripts/fetch_data.sh [--data DIR] [--mirror URL] SET ...
  SET           mnist, fashion-mnist, cifar-10 or all (about 11, 30 and 163 MB)
  --data DIR    where to put them: DIR/SET/...; default: $BASIN_DATA, else ./datasets
  --mirror URL  take the files from URL/SET/ or URL/ only, such as file:///media/disk or https://host/path
Exit code: 0 all files are there and valid, 1 some are not, 2 wrong usage.
TEXT
}

# set, file, SHA-256 of the official .gz, md5 of the official unpacked bytes (- where no published value was found)
files='
mnist train-images-idx3-ubyte.gz 440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609 6bbc9ace898e44ae57da46a324031adb
mnist train-labels-idx1-ubyte.gz 3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c a25bea736e30d166cdddb491f175f624
mnist t10k-images-idx3-ubyte.gz 8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6 2646ac647ad5339dbf082846283269ea
mnist t10k-labels-idx1-ubyte.gz f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6 27ae3e4e09519cfbb04c329615203637
fashion-mnist train-images-idx3-ubyte.gz 3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84 -
fashion-mnist train-labels-idx1-ubyte.gz a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845 -
fashion-mnist t10k-images-idx3-ubyte.gz 346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073 8181f5470baa50b63fa0f6fddb340f0a
fashion-mnist t10k-labels-idx1-ubyte.gz 67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5 15d484375f8d13e6eb1aabb0c3f46965
cifar-10 cifar-10-binary.tar.gz c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd -
'
# md5 of the files inside the CIFAR-10 archive. A mirror may also hold them one by one, plain or .gz, and cut to their
# first rows: 9,000 of the first batch, 1,000 of the test batch.
batches='
data_batch_1.bin 5dd7e06a14cb22eb9f671a540d1b7c25 19e9480db1de3332a95cbb1619245047
data_batch_2.bin 5ea93a67294ea407fff1d09f752e9692 -
data_batch_3.bin 942cd6a4bcdd0dd3c604fbe906cb4421 -
data_batch_4.bin ae636b3ba5c66a11e91e8cb52e771fcb -
data_batch_5.bin 53f37980c15c3d472c316c40844f3f0d -
test_batch.bin 803d5f7f4d78ea53de84dbe85f74fb6d 371f65da31ad652f5e24b3699a3e6515
'
mirrors_of() {
  case $1 in
    mnist)
      echo https://ossci-datasets.s3.amazonaws.com/mnist
      echo https://storage.googleapis.com/cvdf-datasets/mnist
      echo https://raw.githubusercontent.com/fgnt/mnist/master
      ;;
    fashion-mnist)
      echo https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion
      echo http://fashion-mnist.s3-website.eu-central-1.amazonaws.com
      ;;
    cifar-10)
      echo https://www.cs.toronto.edu/~kriz
      echo https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10
      ;;
  esac
}

say() { echo "fetch_data: $*"; }

unpacked_md5() {  # of a .gz or plain file; nothing when the .gz is broken
  case $(head -c 2 "$1" | od -An -tx1 | tr -d ' ') in
    1f8b) gzip -dc <"$1" 2>/dev/null ;;
    *) cat "$1" ;;
  esac | md5sum | cut -d ' ' -f 1
}

# valid FILE SHA256 MD5 [MD5 OF A SUBSET]: says in $how by what the file was recognised; "-" matches nothing
how=
valid() {
  local file=$1 md5
  [ -f "$file" ] || return 1
  if [ "$2" != - ] && [ "$(sha256sum <"$file" | cut -d ' ' -f 1)" = "$2" ]; then
    how='official file, SHA-256'
    return 0
  fi
  md5=$(unpacked_md5 "$file") || return 1
  if [ "$md5" = "$3" ]; then
    how='official content, md5 of the unpacked bytes; the compression is not the official one'
    case $2 in -) how='official content, md5 of the unpacked bytes' ;; esac
    return 0
  elif [ "$md5" = "${4:--}" ]; then
    how='the first rows of the official file only, md5'
    return 0
  fi
  return 1
}

download() {  # URL FILE: continues FILE, or takes it anew when this server cannot continue; keeps it when the line breaks
  local options=(--fail --location --silent --show-error --retry 2 --connect-timeout 15 --speed-limit 1000 --speed-time 30)
  local code=0
  curl "${options[@]}" --continue-at - --output "$2" "$1" || code=$?
  case $code in
    0) return 0 ;;
    22 | 33 | 36)  # the server refuses the range
      if [ -s "$2" ] && curl "${options[@]}" --output "$2.anew" "$1"; then
        mv -f "$2.anew" "$2"
        return 0
      fi
      rm -f "$2.anew"
      ;;
  esac
  return 1
}

# get SET FILE CHECKS...: leaves a valid $data/SET/FILE, or returns 1
get() {
  local set=$1 file=$2 target=$data/$1/$2 base resumed tried=()
  shift 2
  if valid "$target" "$@"; then
    say "$target: there already ($how)"
    return 0
  fi
  mkdir -p "$data/$set"
  for base in $(if [ -n "$mirror" ]; then echo "$mirror/$set" "$mirror"; else mirrors_of "$set"; fi); do
    for resumed in yes no; do  # a download continued from a wrong start is taken again from its beginning
      [ -s "$target.part" ] || resumed=no
      if ! download "$base/$file" "$target.part" 2>"$errors"; then
        tried+=("$base/$file: $(tail -n 1 "$errors")")
        break
      fi
      if valid "$target.part" "$@"; then
        mv -f "$target.part" "$target" || return 1
        say "$target: fetched ($how)"
        return 0
      fi
      tried+=("$base/$file: wrong checksum, not used")
      rm -f "$target.part"
      [ $resumed = yes ] || break
    done
  done
  [ -n "$quiet" ] || printf 'fetch_data: %s\n' "${tried[@]}" >&2
  return 1
}

batches_there() {  # are all files of the archive in the data folder?
  local file md5 rest
  while read -r file md5 rest; do
    [ -z "$file" ] || valid "$data/cifar-10/$file" - "$md5" || return 1
  done <<<"$batches"
}

get_cifar() {
  local folder=$data/cifar-10 archive=cifar-10-binary.tar.gz file md5 subset
  if batches_there; then
    say "$folder: all six files are there already (official content, md5)"
    return 0
  fi
  [ -z "$mirror" ] || quiet=yes  # the archive is only one of the forms a mirror may have
  if get cifar-10 $archive "$(awk -v f=$archive '$2 == f { print $3 }' <<<"$files")" -; then
    quiet=
    rm -rf "$folder/unpack"
    mkdir "$folder/unpack"
    tar -xzf "$folder/$archive" -C "$folder/unpack" --strip-components=1
    while read -r file md5 subset; do
      [ -n "$file" ] || continue
      valid "$folder/unpack/$file" - "$md5" || { say "$archive: $file in it has a wrong checksum" >&2; return 1; }
      mv -f "$folder/unpack/$file" "$folder/$file" || return 1
    done <<<"$batches"
    rm -rf "$folder/unpack" "${folder:?}/$archive"
    say "$folder: six files unpacked (official content, md5)"
    return 0
  fi
  [ -n "$mirror" ] || return 1
  local found=
  while read -r file md5 subset; do
    [ -n "$file" ] || continue
    quiet=yes
    if get cifar-10 "$file" - "$md5" "$subset" || get cifar-10 "$file.gz" - "$md5" "$subset"; then found+=" $file"; fi
  done <<<"$batches"
  quiet=
  case $found in
    *data_batch_1.bin*test_batch.bin*) return 0 ;;
    *) say "$mirror: needs $archive, or at least data_batch_1.bin and test_batch.bin (or .gz)" >&2; return 1 ;;
  esac
}

data=${BASIN_DATA:-./datasets} mirror='' quiet=''
sets=()
while [ $# -gt 0 ]; do
  case $1 in
    --data | --mirror)
      [ -n "${2:-}" ] || { say "$1 needs a value" >&2; exit 2; }
      if [ "$1" = --data ]; then data=${2%/}; else mirror=${2%/}; fi
      shift
      ;;
    mnist | fashion-mnist | cifar-10) sets+=("$1") ;;
    all) sets+=(mnist fashion-mnist cifar-10) ;;
    -h | --help) usage; exit 0 ;;
    *) say "unknown argument $1" >&2; usage >&2; exit 2 ;;
  esac
  shift
done
[ ${#sets[@]} -gt 0 ] || { usage >&2; exit 2; }
command -v curl >/dev/null || { say "curl is missing: apt-get install curl" >&2; exit 1; }
errors=$(mktemp)
trap 'rm -f "$errors"' EXIT

failed=()
for set in "${sets[@]}"; do
  if [ "$set" = cifar-10 ]; then
    get_cifar || failed+=(cifar-10)
    continue
  fi
  while read -r of file sha256 md5; do
    [ "$of" = "$set" ] || continue
    get "$set" "$file" "$sha256" "$md5" || failed+=("$set/$file")
  done <<<"$files"
done
if [ ${#failed[@]} -gt 0 ]; then
  say "not fetched: ${failed[*]}; run it again to continue, or name a copy with --mirror" >&2
  exit 1
fi
