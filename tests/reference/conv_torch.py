#!/usr/bin/env python3
"""Writes conv_torch.safetensors: convolutions and transposed convolutions with all their gradients by PyTorch, in f64.

usage: conv_torch.py OUTPUT    (needs PyTorch and NumPy; run once, the file is part of the repository)

For each case: x, w, b, g (the cotangent of y), y, dx, dw, db; names are "<case>.<tensor>", and a case is called
"conv", "conv1d", "conv_transpose" or "conv_transpose1d", stride, padding, output padding and, where they are not 1, dilation and groups, as in
"conv_transpose-s2-p1-o1-a" and "conv-s1-p2-o0-d2-g3-i".
"""
import sys

import numpy
import torch

from stored import save_safetensors

# kind, name of the case, batch, inputs, outputs, (height, width), (kernel), stride, padding, output padding; dilation, groups
CASES = [
    ("conv", "a", 2, 1, 1, (3, 3), (3, 3), 1, 1, 0),
    ("conv", "b", 2, 3, 4, (5, 7), (3, 3), 1, 1, 0),
    ("conv", "c", 2, 3, 4, (6, 8), (3, 3), 2, 1, 0),
    ("conv", "d", 3, 2, 5, (7, 5), (3, 3), 2, 1, 0),
    ("conv", "e", 1, 2, 3, (9, 8), (5, 2), 3, 2, 0),
    ("conv", "f", 2, 4, 3, (4, 4), (1, 1), 1, 0, 0),
    ("conv", "g", 2, 2, 2, (5, 5), (3, 3), 1, 0, 0),
    ("conv", "h", 1, 1, 8, (2, 2), (3, 3), 1, 1, 0),
    ("conv_transpose", "a", 2, 1, 1, (3, 3), (3, 3), 1, 1, 0),
    ("conv_transpose", "b", 2, 4, 3, (3, 4), (3, 3), 2, 1, 1),
    ("conv_transpose", "c", 2, 3, 2, (3, 5), (3, 3), 2, 1, 0),
    ("conv_transpose", "d", 1, 2, 3, (4, 3), (4, 2), 3, 1, 2),
    ("conv_transpose", "e", 2, 5, 1, (1, 1), (3, 3), 2, 1, 1),
    ("conv_transpose", "f", 2, 2, 3, (5, 4), (3, 3), 1, 0, 0),
    ("conv", "i", 2, 6, 3, (7, 8), (3, 2), 1, 2, 0, 2, 3),
    ("conv", "j", 2, 4, 8, (9, 8), (3, 3), 2, 1, 0, 1, 4),
    ("conv", "k", 2, 3, 4, (9, 8), (3, 3), 1, 2, 0, 2, 1),
    ("conv_transpose", "g", 2, 4, 6, (3, 5), (3, 3), 2, 1, 1, 1, 2),
    ("conv_transpose", "h", 2, 4, 4, (4, 3), (3, 2), 2, 2, 1, 3, 4),
    ("conv1d", "a", 2, 3, 4, (9,), (3,), 1, 1, 0),
    ("conv1d", "b", 2, 4, 6, (11,), (3,), 2, 2, 0, 2, 2),
    ("conv_transpose1d", "a", 2, 3, 4, (7,), (3,), 2, 1, 1),
    ("conv_transpose1d", "b", 2, 4, 6, (5,), (4,), 3, 2, 2, 2, 2),
]


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    torch.manual_seed(0)
    arrays = {}
    for kind, letter, batch, inputs, outputs, size, kernel, stride, padding, extra, *more in CASES:
        dilation, groups = more or (1, 1)
        transposed = kind.startswith("conv_transpose")
        shape = (inputs, outputs // groups, *kernel) if transposed else (outputs, inputs // groups, *kernel)
        x = torch.randn(batch, inputs, *size, dtype=torch.float64, requires_grad=True)
        w = torch.randn(*shape, dtype=torch.float64, requires_grad=True)
        b = torch.randn(outputs, dtype=torch.float64, requires_grad=True)
        if transposed:
            convolution = getattr(torch.nn.functional, f"conv_transpose{len(size)}d")
            y = convolution(x, w, b, stride, padding, extra, groups, dilation)
        else:
            convolution = getattr(torch.nn.functional, f"conv{len(size)}d")
            y = convolution(x, w, b, stride, padding, dilation, groups)
        g = torch.randn_like(y)
        y.backward(g)
        rest = f"-d{dilation}-g{groups}" if more else ""
        name = f"{kind}-s{stride}-p{padding}-o{extra}{rest}-{letter}"
        for field, value in dict(x=x, w=w, b=b, g=g, y=y, dx=x.grad, dw=w.grad, db=b.grad).items():
            arrays[f"{name}.{field}"] = value.detach().numpy()
    save_safetensors(sys.argv[1], arrays, {"made_by": "conv_torch.py", "torch": torch.__version__})


main()
