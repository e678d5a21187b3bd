#!/usr/bin/env python3
"""All fixed points of a tanh network 2-3-2 at 200 gains, in 50 digits, for models/dynamics/newton_test.cpp.

usage: fixed_points.py    writes fixed_points.safetensors beside this file (needs numpy and mpmath)

x = W2 tanh(g W1 x + b1) + b2 at the gains g. Starts on a grid are taken to zeros of f(x) - x by Newton's method in f64, those that
differ are polished in 50 digits. A zero that the polish does not confirm is an error, and so are two of one gain within 1e-6.
"""
import pathlib

import mpmath
import numpy
from stored import save_safetensors

mpmath.mp.dps = 50
WIDTH, MOST = 3, 9


def newton(w1, b1, w2, b2, x, steps):
    for _ in range(steps):
        h = numpy.tanh(x @ w1.T + b1)
        g = h @ w2.T + b2 - x
        j = numpy.einsum("iu,nu,uj->nij", w2, 1 - h * h, w1) - numpy.eye(2)
        bad = abs(numpy.linalg.det(j)) < 1e-12
        j[bad] = numpy.eye(2)
        x = x - numpy.clip(numpy.linalg.solve(j, g[:, :, None])[:, :, 0], -2, 2)
    h = numpy.tanh(x @ w1.T + b1)
    return x, numpy.linalg.norm(h @ w2.T + b2 - x, axis=1)


def polished(gain, w1, b1, w2, b2, x):
    exact = [[mpmath.mpf(float(v)) * mpmath.mpf(float(gain)) for v in row] for row in w1]
    out = [[mpmath.mpf(float(v)) for v in row] for row in w2]

    def f(p, q):
        h = [mpmath.tanh(row[0] * p + row[1] * q + mpmath.mpf(float(b))) for row, b in zip(exact, b1)]
        return [sum(o * v for o, v in zip(out[i], h)) + mpmath.mpf(float(b2[i])) - (p, q)[i] for i in range(2)]

    root = mpmath.findroot(f, [mpmath.mpf(float(v)) for v in x], tol=mpmath.mpf(10) ** -80, maxsteps=60)
    return [root[0], root[1]]


def main():
    random = numpy.random.default_rng(3)
    w1, b1 = random.normal(size=(WIDTH, 2)), 0.3 * random.normal(size=WIDTH)
    w2, b2 = 1.5 * random.normal(size=(2, WIDTH)), 0.2 * random.normal(size=2)
    gains = numpy.linspace(0.2, 4, 200)
    points, counts = numpy.zeros((len(gains), MOST, 2)), numpy.zeros(len(gains))
    bound = abs(w2).sum(axis=1) + abs(b2)
    axes = [numpy.linspace(-b, b, 61) for b in bound]
    start = numpy.stack(numpy.meshgrid(*axes), axis=-1).reshape(-1, 2)
    for i, gain in enumerate(gains):
        x, residual = newton(gain * w1, b1, w2, b2, start, 60)
        found = []
        for candidate in x[residual < 1e-12]:
            if all(numpy.linalg.norm(candidate - other) > 1e-7 for other in found):
                found.append(candidate)
        found = sorted((polished(gain, w1, b1, w2, b2, x) for x in found), key=lambda p: (p[0], p[1]))
        assert len(found) <= MOST and all(abs(a[0] - b[0]) > 1e-6 for a, b in zip(found, found[1:]))
        counts[i] = len(found)
        for k, (p, q) in enumerate(found):
            points[i, k] = float(p), float(q)
    print(sorted(set(counts.astype(int))), [int((counts == c).sum()) for c in sorted(set(counts))])
    arrays = {"w1": w1, "b1": b1, "w2": w2, "b2": b2, "gains": gains, "counts": counts, "points": points}
    save_safetensors(pathlib.Path(__file__).with_suffix(".safetensors"), arrays, {"script": "fixed_points.py"})


if __name__ == "__main__":
    main()
