#!/usr/bin/env python3
"""Mutated .npy and safetensors files: does basin accept, refuse and read what the reference implementations do?

usage: differential.py PROGRAM [--files N] [--seed S] [--show K]

PROGRAM is read_stream. NumPy's and safetensors' own readers are the reference; without these packages the exit code is 77.
Files that only one of both accepts are sorted by a list of reasons that the formats or basin's documentation give; a file
that none of them explains makes the exit code 1, and the first K of them are shown.
"""
import argparse
import collections
import io
import random
import struct
import subprocess
import sys
import warnings
import zlib

try:
    import numpy
    import safetensors
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

warnings.simplefilter("ignore")
sys.set_int_max_str_digits(0)
NUMBERS = ["0", "1", "2", "3", "-1", "-0", "+2", "7", "255", "65536", "4294967296", "9223372036854775807",
           "9223372036854775808", "18446744073709551615", "18446744073709551616", "1.5", "2.0", "1e3", "007", "00", "2L"]


def edit_tokens(text, words, dice):
    tokens, word = [], ""
    for c in text:
        if c.isalnum() or c == "_":
            word += c
            continue
        if word:
            tokens.append(word)
            word = ""
        tokens.append(c)
    if word:
        tokens.append(word)
    tokens = tokens or [""]
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        at, other, kind = dice.randrange(len(tokens)), dice.randrange(len(tokens)), dice.randrange(8)
        if kind == 0:
            tokens[at] = ""
        elif kind == 1:
            tokens[at] = dice.choice(words)
        elif kind == 2:
            tokens[at] += dice.choice(words)
        elif kind == 3:
            tokens[at], tokens[other] = tokens[other], tokens[at]
        elif kind == 4:
            tokens[at] += tokens[other]
        elif kind in (5, 6):
            places = [i for i, token in enumerate(tokens) if token.isdigit()]
            if places:
                tokens[dice.choice(places)] = dice.choice(NUMBERS)
        elif tokens[at]:
            tokens[at] = tokens[at][:-1] + chr(dice.randrange(1, 256))
    return "".join(tokens)


def edit_bytes(data, dice):
    data = bytearray(data)
    for _ in range(dice.choice((1, 1, 2))):
        at = dice.randrange(len(data) + 1)
        kind = dice.randrange(3)
        if kind == 0:
            data[at:at + dice.randrange(1, 5)] = b""
        elif kind == 1:
            data[at:at] = dice.randbytes(dice.randrange(1, 5))
        elif at < len(data):
            data[at] ^= 1 << dice.randrange(8)
    return bytes(data)


# ---- .npy

NPY_WORDS = ["'descr'", '"descr"', "'fortran_order'", "'shape'", ":", ",", "(", ")", "()", "{", "}", "[", "]", " ", "\n",
             "\t", "\f", "'<f4'", "'>f8'", "'|u1'", "'=i4'", "'<u4'", "'|b1'", "'<i8'", "'f4'", "True", "False", "None",
             "L", "3L", "'", '"', "\\", "#", "_", "0x2", "u", "-", "+"]


def npy_file(dice):
    quote = dice.choice("'''\"")
    gap = lambda: dice.choice(("", "", "", "", " ", "  ", "\n", "\t"))
    quoted = lambda s: gap() + quote + s + quote + gap()
    kind = dice.choice(("f4", "f4", "f8", "i4", "u1", "u4", "b1", "i8", "f2", "c8", "u2"))
    shape = [dice.randrange(5) for _ in range(dice.choice((0, 1, 1, 2, 2, 3, 4, 7)))]
    count = int(numpy.prod(shape)) * int(kind[1])
    inner = ",".join(gap() + str(d) + dice.choice(("", "", "", "", "", "L")) for d in shape)
    entries = [quoted("descr") + ":" + quoted(dice.choice("<<<>|=") + kind),
               quoted("fortran_order") + ":" + gap() + dice.choice(("False", "False", "True")),
               quoted("shape") + ":" + gap() + "(" + inner + ("," if len(shape) == 1 or dice.random() < .2 and shape else "") + ")"]
    dice.shuffle(entries)
    header = "{" + ",".join(entries) + dice.choice((", ", ",", "")) + "}" + " " * dice.randrange(20) + dice.choice(("\n", ""))
    if dice.random() < .6:
        header = edit_tokens(header, NPY_WORDS, dice)
    version = dice.choice((1, 1, 1, 2, 3)) if dice.random() < .98 else dice.randrange(256)
    body = header.encode("latin1" if version < 3 else "utf8", "replace")
    length = struct.pack("<H", len(body)) if version == 1 else struct.pack("<I", len(body))
    count += dice.choice((-1, 1, 2)) if dice.random() < .05 else 0
    file = b"\x93NUMPY" + bytes([version, 0 if dice.random() < .99 else 1]) + length + body + dice.randbytes(max(count, 0))
    return edit_bytes(file, dice) if dice.random() < .1 else file


DTYPES = {"f4": "f32", "f8": "f64", "i4": "i32", "u1": "u8", "u4": "u32"}


def npy_reference(file):
    stream = io.BytesIO(file)
    try:
        array = numpy.lib.format.read_array(stream, allow_pickle=False)
    except Exception as error:  # NumPy raises many types
        return None, str(error)
    kind = array.dtype.str[1:]
    rest = len(file) - stream.tell()
    shown = DTYPES.get(kind, array.dtype.str) + "[" + ", ".join(map(str, array.shape)) + "]"
    plain = numpy.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"))) if kind in DTYPES else None
    return f"{shown} {zlib.crc32(plain.tobytes()) if plain is not None else 0}", f"{rest} bytes after"


def npy_reason(file, ours, reference, note):
    """Why basin and NumPy may differ on a file."""
    header = file[10:].decode("latin1")
    if reference is not None and ours.startswith("refused"):
        if "is not one of" in ours or "structured" in ours:
            return "dtype that basin does not have, or a name of it that no program writes"
        if "bytes after the" in ours and not note.startswith("0 "):
            return "bytes after the array, which NumPy leaves unread"
        if "holds more" in ours or "is above 6" in ours:
            return "rank above 6"
        if "more bytes than can be addressed" in ours:
            return "an empty array whose other dimensions multiply beyond 2^62"
        if any(s in header for s in ("#", "\\", "_", "0x", "0b", "0o", "+", "-", "'''", '"""', "''", '""')) or any(
                s in header for s in ("u'", 'u"', "r'", 'r"', "U'", "R'", "f'", "F'", 'f"', "' '", '" "', "' \"", "\" '", "'\n'")):
            return "Python that no program writes: comments, escapes, prefixes, joined strings, signs, other numbers"
        if "((" in header or "( (" in header or ")" in header and "is no plain string" in ours:
            return "Python that no program writes: brackets around a value"
        if "True" in header.split("shape")[-1] or "False" in header.split("shape")[-1]:
            return "True or False as a dimension"
    if reference is None and ours.startswith("ok ") and "Cannot parse header" in note:
        begin = 10 if file[6] == 1 else 12
        size = int.from_bytes(file[8:begin], "little")
        text = file[begin:begin + size].strip()
        plain = file[:8] + len(text).to_bytes(begin - 8, "little") + text + file[begin + size:]
        if npy_reference(plain)[0] == ours[3:]:
            return "blanks at the beginning of a line outside the dictionary, which Python takes for an indentation"
    return None


# ---- safetensors

ST_WORDS = ["{", "}", "[", "]", ":", ",", '"', "{}", "[]", "[[[[", "null", "true", "0", "1", "-0", "2.0", '"w"', '"F32"',
            '"U8"', '"F16"', '"BOOL"', '"F4"', '"dtype"', '"shape"', '"data_offsets"', '"__metadata__"', "\\u0064", "\\ud800",
            "\\n", " ", "\n", "\t", "\ufeff", "\0", '"x":1,', '"dtype":"F32",', '"__metadata__":{},', '"__metadata__":null,',
            "1e999", "/", "[" * 127, "]" * 127]
SIZES = {"F32": 4, "F64": 8, "I32": 4, "U8": 1, "U32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "I8": 1, "I16": 2,
         "U16": 2, "I64": 8, "BOOL": 1, "U64": 8}


def safetensors_file(dice):
    gap = lambda: dice.choice(("", "", "", "", "", " ", "\n", "\t"))
    entries, cursor = [], 0
    for _ in range(dice.randrange(4)):
        dtype = dice.choice(list(SIZES))
        shape = [dice.randrange(4) for _ in range(dice.choice((0, 1, 1, 2, 3, 7)))]
        begin = cursor + (dice.choice((-1, 1, 3)) if dice.random() < .03 else 0)
        cursor = max(begin, 0) + int(numpy.prod(shape)) * SIZES[dtype] + (1 if dice.random() < .02 else 0)
        fields = [f'"dtype":{gap()}"{dtype}"', '"shape":[' + ",".join(map(str, shape)) + "]",
                  f'"data_offsets"{gap()}:[{begin},{gap()}{cursor}]']
        if dice.random() < .1:
            fields.append(dice.choice(('"x":1', '"x":{"y":[null,true,-1.5e3]}', '"dtype":"F32"', '"x":"\\u00e4"')))
        dice.shuffle(fields)
        name = dice.choice(("w", "a", "b", "", "\\u00e4", "\u00e4", "x\\ny", "w"))
        entries.append(f'"{name}"{gap()}:{{' + ",".join(fields) + "}")
    if dice.random() < .4:
        entries.append('"__metadata__":' + dice.choice(("null", "{}", '{"a":"b"}', '{"a":"b","a":"c"}', '{"a":1}', "[]",
                                                       '{"a":null}', '"x"', '{"\\u0000":"\\ud83d\\ude00"}')))
    dice.shuffle(entries)
    header = gap() + "{" + ",".join(entries) + "}" + dice.choice(("", "", " ", "   ", "\n", "\0", "x"))
    if dice.random() < .6:
        header = edit_tokens(header, ST_WORDS, dice)
    body = header.encode("utf8", "surrogatepass") if dice.random() < .95 else header.encode("latin1", "replace")
    length = len(body) if dice.random() < .97 else dice.choice((0, 1, len(body) + 1, 2**63, 2**64 - 1, 100_000_001))
    file = struct.pack("<Q", length) + body + dice.randbytes(max(cursor + (1 if dice.random() < .02 else 0), 0))
    return edit_bytes(file, dice) if dice.random() < .1 else file


# what basin reads them as, and how NumPy does
ST_NAMES = {"F32": ("f32", "<f4"), "F64": ("f64", "<f8"), "I32": ("i32", "<i4"), "U8": ("u8", "u1"), "U32": ("u32", "<u4"),
            "F16": ("f32", "<f2"), "BF16": ("f32", None), "F8_E4M3": ("f32", None), "F8_E5M2": ("f32", None),
            "I8": ("i32", "i1"), "I16": ("i32", "<i2"), "U16": ("i32", "<u2"), "I64": ("i32", "<i8"), "BOOL": ("u8", "bool")}
ST_PLAIN = {"f32": "<f4", "f64": "<f8", "i32": "<i4", "u8": "u1", "u32": "<u4"}


def widened(dtype, data):
    """The bytes of the numbers as basin keeps them."""
    if dtype not in ST_NAMES:
        return data
    name, kind = ST_NAMES[dtype]
    if dtype == "BF16":
        return (numpy.frombuffer(data, "<u2").astype("<u4") << 16).tobytes()
    if dtype == "F8_E5M2":
        dtype, kind, data = "F16", "<f2", (numpy.frombuffer(data, "u1").astype("<u2") << 8).tobytes()
    if dtype == "F8_E4M3":
        bits = numpy.frombuffer(data, "u1").astype(int)
        power, part = bits >> 3 & 15, bits & 7
        size = numpy.where(power == 0, part / 512.0, (8 + part) * 2.0 ** (power - 10))
        size = numpy.where(bits & 127 == 127, numpy.nan, size)
        return numpy.copysign(size, numpy.where(bits > 127, -1.0, 1.0)).astype("<f4").tobytes()
    numbers = numpy.frombuffer(data, "u1") != 0 if dtype == "BOOL" else numpy.frombuffer(data, kind)
    if dtype == "F16":  # a NaN keeps its bits, of which NumPy sets one
        bits = numpy.frombuffer(data, "<u2").astype("<u4")
        nan = (bits & 0x8000) << 16 | 0x7f800000 | (bits & 0x3ff) << 13
        return numpy.where(numpy.isnan(numbers), nan, numbers.astype("<f4").view("<u4")).astype("<u4").tobytes()
    return numbers.astype(ST_PLAIN[name]).tobytes()


def safetensors_reference(file):
    try:
        tensors = safetensors.deserialize(file)
    except Exception as error:
        return None, str(error)
    parts = []
    for name, tensor in tensors:
        shape = ", ".join(map(str, tensor["shape"]))
        parts.append(f"t{name.encode().hex()}={ST_NAMES.get(tensor['dtype'], [tensor['dtype']])[0]}[{shape}] "
                     f"{zlib.crc32(widened(tensor['dtype'], bytes(tensor['data'])))}")
    return "".join(part + ";" for part in sorted(parts)), ""


def safetensors_reason(file, ours, reference, note):
    """Why basin and the reference implementation may differ on a file."""
    if reference is not None and ours.startswith("refused"):
        if "is not one of F32" in ours:
            return "dtype that basin does not have"
        if "I64 is read as i32" in ours:
            return "an I64 that i32 does not hold"
        if '"shape" holds more than 6' in ours:
            return "rank above 6"
        if "more bytes than can be addressed" in ours:
            return "an empty tensor whose other dimensions multiply beyond 2^62"
        if "its header entry is not an object" in ours:
            return "an entry written as a list, which the format does not have (serde reads it)"
        if '"dtype" must be a string' in ours:
            return "a dtype written as an object, which the format does not have (serde reads it)"
    return None


FORMATS = {"npy": (b"n", npy_file, npy_reference, npy_reason),
           "safetensors": (b"s", safetensors_file, safetensors_reference, safetensors_reason)}


def campaign(program, name, files, seed, show):
    letter, make, read, reason_of = FORMATS[name]
    dice, counts, reasons, shown = random.Random(f"{name} {seed}"), collections.Counter(), collections.Counter(), 0
    batch = 5000
    for start in range(0, files, batch):
        inputs = [make(dice) for _ in range(min(batch, files - start))]
        packed = b"".join(letter + struct.pack("<Q", len(file)) + file for file in inputs)
        done = subprocess.run([program], input=packed, stdout=subprocess.PIPE, check=True)
        lines = done.stdout.decode("utf8", "replace").split("\n")[:-1]
        assert len(lines) == len(inputs), f"{len(lines)} answers to {len(inputs)} files"
        for file, line in zip(inputs, lines):
            reference, note = read(file)
            accepted = line.startswith("ok ")
            ours = line[3:]
            if name == "safetensors":  # metadata are not part of what deserialize gives
                ours = "".join(part + ";" for part in ours.split(";")[:-1] if part.startswith("t"))
            if accepted and reference is not None and ours == reference:
                counts["both read the same"] += 1
            elif not accepted and reference is None:
                counts["both refuse"] += 1
            elif (reason := reason_of(file, line, reference, note)) is not None:
                reasons[reason] += 1
            else:
                counts["unexplained"] += 1
                if shown < show:
                    shown += 1
                    print(f"  {file!r}\n    basin: {line}\n    reference: {reference} {note}")
    print(f"{name}: {files} files; " + ", ".join(f"{n} {what}" for what, n in counts.most_common()))
    for reason, n in reasons.most_common():
        print(f"  {n} differ: {reason}")
    return counts["unexplained"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--show", type=int, default=10)
    options = parser.parse_args()
    print(f"NumPy {numpy.__version__}, safetensors {safetensors.__version__}")
    unexplained = [campaign(options.program, name, options.files, options.seed, options.show) for name in FORMATS]
    return 1 if any(unexplained) else 0


if __name__ == "__main__":
    sys.exit(main())
