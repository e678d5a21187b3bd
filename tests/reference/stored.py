"""How the scripts beside this file write what they computed: a safetensors file of f64 arrays."""
import json
import struct

import numpy


def save_safetensors(path, arrays, metadata):
    """arrays: names to NumPy arrays or PyTorch tensors."""
    header, data = {"__metadata__": metadata}, b""
    for name, array in arrays.items():
        raw = numpy.ascontiguousarray(array, dtype="<f8").tobytes()
        header[name] = {"dtype": "F64", "shape": list(array.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)
