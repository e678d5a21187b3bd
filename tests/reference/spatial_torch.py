#!/usr/bin/env python3
"""Writes spatial_torch.safetensors: windows, sizes and borders of images with their gradients by PyTorch, in f64.

usage: spatial_torch.py OUTPUT    (needs PyTorch; run once, the file is part of the repository)

For each case x, y = op(x), g (the cotangent of y) and dx; names are "<op> <numbers>.<tensor>", where the numbers are
  max_pool2d       size, stride, padding, each in rows and columns
  avg_pool2d       the same, and 1 where padding counts
  resize_bilinear  height, width, and 1 for align_corners
  pixel_shuffle, pixel_unshuffle   factor
  zeros, reflect, replicate        top, bottom, left, right
Images of max_pool2d are small integers, so that there are ties, with some NaN and a window of -inf.
"""
import math
import sys

import torch
import torch.nn.functional as F

from stored import save_safetensors

CASES = [
    ("max_pool2d", (2, 2, 2, 2, 0, 0), (2, 3, 6, 7)),
    ("max_pool2d", (3, 3, 2, 2, 1, 1), (2, 2, 9, 8)),
    ("max_pool2d", (3, 3, 2, 2, 1, 1), (1, 2, 7, 39)),
    ("max_pool2d", (2, 3, 3, 1, 1, 1), (2, 2, 7, 5)),
    ("max_pool2d", (3, 5, 1, 1, 1, 2), (1, 2, 5, 24)),
    ("max_pool2d", (2, 2, 2, 2, 1, 1), (1, 2, 5, 36)),
    ("max_pool2d", (17, 18, 3, 2, 8, 9), (1, 1, 19, 23)),
    ("avg_pool2d", (2, 2, 2, 2, 0, 0, 1), (2, 3, 6, 7)),
    ("avg_pool2d", (3, 2, 2, 1, 1, 1, 1), (2, 2, 7, 5)),
    ("avg_pool2d", (3, 2, 2, 1, 1, 1, 0), (2, 2, 7, 5)),
    ("avg_pool2d", (4, 3, 1, 2, 2, 1, 0), (1, 2, 5, 6)),
    ("resize_bilinear", (8, 10, 0), (2, 2, 4, 5)),
    ("resize_bilinear", (7, 3, 0), (1, 2, 3, 8)),
    ("resize_bilinear", (2, 13, 0), (1, 2, 9, 5)),
    ("resize_bilinear", (7, 3, 1), (1, 2, 3, 8)),
    ("resize_bilinear", (9, 11, 1), (2, 2, 4, 5)),
    ("resize_bilinear", (1, 1, 1), (1, 2, 4, 5)),
    ("resize_bilinear", (4, 3, 0), (1, 2, 1, 1)),
    ("pixel_shuffle", (2,), (2, 8, 3, 2)),
    ("pixel_shuffle", (3,), (1, 9, 2, 4)),
    ("pixel_unshuffle", (2,), (2, 2, 4, 6)),
    ("zeros", (1, 0, 2, 3), (2, 2, 3, 4)),
    ("reflect", (1, 2, 3, 0), (2, 2, 3, 4)),
    ("reflect", (2, 2, 3, 3), (1, 2, 3, 4)),
    ("replicate", (1, 2, 0, 5), (2, 2, 3, 4)),
    ("replicate", (2, 3, 4, 1), (1, 2, 1, 2)),
]


def run(op, n, x):
    if op == "max_pool2d":
        return F.max_pool2d(x, n[0:2], n[2:4], n[4:6])
    if op == "avg_pool2d":
        return F.avg_pool2d(x, n[0:2], n[2:4], n[4:6], count_include_pad=n[6] == 1)
    if op == "resize_bilinear":
        return F.interpolate(x, size=n[0:2], mode="bilinear", align_corners=n[2] == 1)
    if op.startswith("pixel"):
        return getattr(F, op)(x, n[0])
    margins = (n[2], n[3], n[0], n[1])
    return F.pad(x, margins, mode="constant" if op == "zeros" else op)


def image(op, shape):
    if op != "max_pool2d":
        return torch.randn(*shape, dtype=torch.float64)
    x = torch.randint(-2, 3, shape).double()
    x[0, 0, -4:, -4:] = -math.inf
    for place in torch.randint(0, x.numel(), (max(2, x.numel() // 40),)):
        x.view(-1)[place] = math.nan
    return x


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    torch.manual_seed(0)
    tensors = {}
    for op, numbers, shape in CASES:
        x = image(op, shape).requires_grad_()
        y = run(op, numbers, x)
        g = torch.randint(-8, 9, y.shape).double()  # their sums are exact
        y.backward(g)
        name = " ".join(str(n) for n in (op, *numbers)) + f" of {'x'.join(str(n) for n in shape)}"
        for field, value in dict(x=x, y=y, g=g, dx=x.grad).items():
            tensors[f"{name}.{field}"] = value.detach()
    save_safetensors(sys.argv[1], tensors, {"made_by": "spatial_torch.py", "torch": torch.__version__})


main()
