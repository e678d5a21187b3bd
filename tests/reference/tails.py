"""Writes tails.safetensors: every line of kernels/ops.def over the whole line of f32 and f64 numbers.

For an operation NAME and a type T, over points that include all sizes, both zeros, infinities, NaN, the tails and the
neighbours of kinks, zeros and thresholds:
  NAME.T.x     the points [n]; of an operation of two arguments [2, n]
  NAME.T.want  value, first and second derivative [3, n], or z, z_x, z_y, z_xx, z_xy, z_yy [6, n], rounded once from 50 digits
  NAME.T.term  where terms cancel: the largest of them, in the same shape
Derivatives are those of the formula on paper, with the parameters of the table rounded to T; at a kink the side that
ops.def states. NaN in `want` of a derivative: there is none (outside the domain, or no limit), nothing is checked.
Run: python3 tails.py (mpmath, numpy, safetensors)
"""
import math
import pathlib
import random

import mpmath as mp
import numpy as np
from safetensors.numpy import save_file

mp.mp.dps = 60
INF, NAN = mp.inf, mp.nan
BITS = {"f32": (24, -149, 128, np.float32), "f64": (53, -1074, 1024, np.float64)}


def rounded(v, kind):
    """The number of the type that is nearest to v, as a Python float."""
    bits, least, most, _ = BITS[kind]
    v = mp.mpf(v)
    if mp.isnan(v) or mp.isinf(v) or v == 0:
        return float(v)
    unit = max(mp.frexp(v)[1] - bits, least)
    whole = int(mp.nint(mp.ldexp(v, -unit)))
    if abs(whole) * mp.ldexp(1, unit) >= mp.ldexp(1, most):
        return math.copysign(math.inf, whole)
    return math.ldexp(whole, unit)


# ---- functions of one argument: (value, first, second derivative) or the same with the largest terms ----
def e(x):
    return mp.exp(x) if abs(x) < 2000 else (INF if x > 0 else mp.mpf(0))


def gauss(x, h):
    return e(-h * x * x) if abs(x) < 100 else mp.mpf(0)


def bell_family(h):
    def bell(x):
        g = gauss(x, h)
        x = x if g else 0
        return g, -2 * h * x * g, (4 * h * h * x * x - 2 * h) * g

    def x_bell(x):
        g = gauss(x, h)
        x = x if g else 0
        terms = g, 2 * h * x * x * g, 2 * h * abs(x) * g * max(2, 2 * h * x * x)
        return (x * g, g - terms[1], x * g * (4 * h * h * x * x - 6 * h)), (abs(x) * g, max(terms[:2]), terms[2])

    return bell, x_bell


bell, x_bell = bell_family(mp.mpf(1) / 2)
narrow_bell, narrow_x_bell = bell_family(mp.mpf(1))
PHI0 = 1 / mp.sqrt(2 * mp.pi)


def with_terms(f, terms):
    return lambda x: (f(x), terms(x))


def cdf(x):
    return mp.erfc(-x / mp.sqrt(2)) / 2 if abs(x) < 100 else mp.mpf(x > 0)


def normal_cdf(x):
    g = PHI0 * gauss(x, mp.mpf(1) / 2)
    return cdf(x), g, -(x * g if g else 0)


def erf(x):
    g = 2 / mp.sqrt(mp.pi) * gauss(x, 1)
    return mp.erf(x) if abs(x) < 100 else mp.sign(x), g, -2 * x * g if g else 0


def scaled_erf(x):
    g = 2 * PHI0 * gauss(x, mp.mpf(1) / 2)
    return mp.erf(x / mp.sqrt(2)) if abs(x) < 100 else mp.sign(x), g, -x * g if g else 0


def sigmoid_parts(x):
    t = e(-abs(x))
    return (t / (1 + t), 1 / (1 + t)) if x < 0 else (1 / (1 + t), t / (1 + t))


def sigmoid(x):
    s, c = sigmoid_parts(x)
    return (s, s * c, s * c * (c - s)), (s, s * c, s * c * max(s, c))


def softplus(x):
    s, c = sigmoid_parts(x)
    t = e(-abs(x))
    return max(x, 0) + mp.log1p(t), s, s * c


def tanh(x):
    s, c = sigmoid_parts(2 * x)
    return mp.tanh(x) if abs(x) < 1000 else mp.sign(x), 4 * s * c, -8 * s * c * (s - c)


def silu(x):
    s, c = sigmoid_parts(x)
    f, back = (x * s if s else mp.mpf(0)), (x * c if c else mp.mpf(0))
    second = s * c * (2 + back - f) if abs(x) < 1000 else mp.mpf(0)
    size = s * c * (2 + abs(x)) if abs(x) < 1000 else mp.mpf(0)
    return (f, s + back * s if s * abs(x) < 1e9 and s else (mp.mpf(1) if x > 0 else mp.mpf(0)), second), (
        abs(f), max(s, abs(f) * c if c else 0), size)


def gelu(x):
    p, g = cdf(x), PHI0 * gauss(x, mp.mpf(1) / 2)
    x_g = x * g if g else mp.mpf(0)
    return (x * p if p else mp.mpf(0), p + x_g, 2 * g - x * x_g if g else mp.mpf(0)), (
        abs(x) * p if p else 0, max(p, abs(x_g)), max(2 * g, abs(x * x_g)) if g else 0)


def selu(x):
    scale, alpha = mp.mpf("1.0507009873554804934193349852946"), mp.mpf("1.6732632423543772848170429916717")
    if x > 0:
        return scale * x, scale, 0
    return scale * alpha * mp.expm1(x) if x > -1000 else -scale * alpha, scale * alpha * e(x), scale * alpha * e(x)


def elu(a):
    return lambda x: (x, 1, 0) if x > 0 else (a * mp.expm1(max(x, -1000)), a * e(x), a * e(x))


def celu(a):
    return lambda x: (x, 1, 0) if x > 0 else (a * mp.expm1(max(x / a, -1000)), e(x / a), e(x / a) / a)


def celu_step(a):
    return lambda x: (1, 0, 0) if x > 0 else (e(x / a), e(x / a) / a, e(x / a) / a**2)


def log_sigmoid(x):
    f, s, curve = softplus(-x)
    return -f, s, -curve


def mish(x):
    """x t for t = tanh(softplus(x)), t'' = t' times the sum of `parts`."""
    if mp.isinf(x):
        return (max(x, 0), x > 0, 0), (0, 0, 0)
    s, c = sigmoid_parts(x)
    t, slope = s * (1 + c) / (1 + c * c), 4 * c * c * s / (1 + c * c)**2
    parts = c, -2 * s, 4 * s * c * c / (1 + c * c)
    return (x * t, t + x * slope, slope * (2 + x * mp.fsum(parts))), (
        abs(x) * t, max(t, abs(x) * slope), slope * max(2, abs(x) * max(abs(p) for p in parts)))


def softsign(x):
    d = 1 + abs(x)
    return mp.sign(x) if mp.isinf(x) else x / d, 1 / d**2, -2 * mp.sign(x) / d**3


def hardswish(x):
    return (x * (x + 3) / 6, (2 * x + 3) / 6, mp.mpf(1) / 3) if abs(x) < 3 else (max(x, 0), x > 0, 0)


def wave(f, x):
    return NAN if mp.isinf(x) else f(x)


def cosid(x):
    c, s = wave(mp.cos, x), wave(mp.sin, x)
    return (-x if mp.isinf(x) else c - x, -s - 1, -c), (abs(x), 1, abs(c))


def sine_ripple(x):
    c, s = wave(mp.cos, 10 * x), wave(mp.sin, 10 * x)
    return (x if mp.isinf(x) else x + s / 5, 1 + 2 * c, -20 * s), (abs(x), 2, 20 * ten(x)[1])


def ten(x):
    """Largest terms of cos 10 x and sin 10 x as sums over 8 x + 2 x. Where 8 x overflows the angle is doubled by formula,
    three times, and each time doubles the error: in effect a term of 4."""
    if 1e307 < abs(x):
        return 4, 4
    c8, s8, c2, s2 = (wave(f, k * x) for k in (8, 2) for f in (mp.cos, mp.sin))
    return max(abs(c8 * c2), abs(s8 * s2)), max(abs(s8 * c2), abs(c8 * s2))


def cos_ten(x):
    c, s, t = wave(mp.cos, 10 * x), wave(mp.sin, 10 * x), ten(x)
    return (c, -10 * s, -100 * c), (t[0], 10 * t[1], 100 * t[0])


def sin_ten(x):
    c, s, t = wave(mp.cos, 10 * x), wave(mp.sin, 10 * x), ten(x)
    return (s, 10 * c, -100 * s), (t[1], 10 * t[0], 100 * t[1])


def log(x):
    if x < 0:
        return NAN, NAN, NAN
    if x == 0:
        return -INF, INF, -INF
    return (INF, 0, 0) if mp.isinf(x) else (mp.log(x), 1 / x, -1 / x**2)


def exp_above_tangent(x):
    if mp.isinf(x):
        return (INF, max(x, -1), e(x)), (0, 0, 0)
    value = e(x) - 1 - x if abs(x) > 0.1 else mp.fsum(x**n / mp.factorial(n) for n in range(2, 42))
    return (value, mp.expm1(x) if abs(x) < 2000 else e(x) - 1, e(x)), (
        value if abs(x) < 1 else max(abs(x), e(x)), 0, 0)


def expm1(x):
    return (mp.expm1(x) if abs(x) < 2000 else e(x) - 1), e(x), e(x)


def log1p(x):
    if x < -1:
        return NAN, NAN, NAN
    if x == -1:
        return -INF, INF, -INF
    return (INF, 0, 0) if mp.isinf(x) else (mp.log1p(x), 1 / (1 + x), -1 / (1 + x)**2)


def sqrt(x):
    if x < 0:
        return NAN, NAN, NAN
    if x == 0:
        return 0, INF, -INF
    return (INF, 0, 0) if mp.isinf(x) else (mp.sqrt(x), 1 / (2 * mp.sqrt(x)), -1 / (4 * x * mp.sqrt(x)))


def quotient_of(a):
    """a / x, whose limits at 0 depend on the sign of the zero."""
    def f(x, negative_zero):
        if x == 0:
            sign = -1 if negative_zero else 1
            return sign * INF, -INF, sign * INF
        return (0, 0, 0) if mp.isinf(x) else (a / x, -a / x**2, 2 * a / x**3)

    f.signed_zero = True
    return f


def power(p):
    def f(x):
        if x < 0 and p != int(p):
            return NAN, NAN, NAN
        result = []
        for order, factor in ((0, mp.mpf(1)), (1, p), (2, p * (p - 1))):
            k = p - order
            if factor == 0 or (x == 0 and k > 0) or (mp.isinf(x) and k < 0):
                result.append(mp.mpf(0))
            elif k == 0:
                result.append(factor)
            elif x == 0 or mp.isinf(x):
                result.append(factor * INF * (-1 if x < 0 and k % 2 else 1))
            else:
                result.append(factor * mp.power(x, k))
        return result

    return f


def piecewise(f, slope):
    return lambda x: (f(x), slope(x), 0)


def flat(f):
    return lambda x: (f(x), 0, 0)


def trigonometric(f):
    return lambda x: [wave(g, x) for g in f]


def functions(kind):
    """name: (parameters, function of mpf, what NaN gives, further points, whether the grid may be thin)"""
    p = {k: mp.mpf(rounded(mp.mpf(v), kind)) for k, v in dict(t="0.1", c="0.7", s="1.7", h="0.3", l="0.01").items()}
    wide = kind == "f64"
    end = 760 if wide else 115
    g_end = 39 if wide else 14.9
    celus = [(-1.7 * end, -1.1 * end, 12), (-1.1 * end, -15, 8)]
    far = [(-end, -0.7 * end, 10), (-0.7 * end, -15, 6), (0.8 * end, end, 8)]
    bells = [(-g_end, -0.6 * g_end, 10), (-0.6 * g_end, -0.2, 14), (0.2, g_end, 14)]
    erfs = [(0.3, 1.2, 10), (1.2, 7, 12), (5, 28 if wide else 10.5, 14), (-28 if wide else -10.5, -0.3, 12)]
    near = lambda *at: [(a, a, 1) for a in at]  # the point and its neighbours
    edges = near(-1, 1)
    zeros = near(math.pi / 2, math.pi, 3 * math.pi / 2, 2 * math.pi, 355, 1e5, 1e10, 1e22, 1e38 if not wide else 1e300)
    tens = near(math.pi / 20, math.pi / 10, 1, 3, 31.4, 1e5, 1e10, 3e38 if not wide else 1.7e308)
    thin, full = True, False
    return {
        "unit_step": ((0, 0), flat(lambda x: x > 0), 0, [], thin),
        "leaky_step": ((0.1, 0), flat(lambda x: 1 if x > 0 else p["t"]), p["t"], [], thin),
        "sign": ((0, 0), flat(mp.sign), NAN, [], thin),
        "in_interval": ((-1, 1), flat(lambda x: -1 <= x <= 1), 0, edges, thin),
        "full_like": ((0.7, 0), flat(lambda x: p["c"]), p["c"], [], thin),
        "is_finite": ((0, 0), flat(lambda x: not mp.isinf(x)), 0, [], thin),
        "identity": ((0, 0), piecewise(lambda x: x, lambda x: 1), NAN, [], thin),
        "neg": ((0, 0), piecewise(lambda x: -x, lambda x: -1), NAN, [], thin),
        "mul_scalar": ((1.7, 0), piecewise(lambda x: p["s"] * x, lambda x: p["s"]), NAN, [], thin),
        "div_scalar": ((1.7, 0), piecewise(lambda x: x / p["s"], lambda x: 1 / p["s"]), NAN, [], thin),
        "add_scalar": ((0.3, 0), piecewise(lambda x: x + p["h"], lambda x: 1), NAN, near(-0.3), thin),
        "exp": ((0, 0), lambda x: [e(x)] * 3, NAN, far + [(-2, 2, 10), (0.93 * end, 0.94 * end, 10)], full),
        "log": ((0, 0), log, NAN, near(1) + [(0.5, 2, 10)], full),
        "exp_above_tangent": ((0, 0), exp_above_tangent, NAN, far + near(-1, 1, 60) + [(-2, 2, 20), (-60, 0, 12)], full),
        "expm1": ((0, 0), expm1, NAN, far + near(-0.5, 0.5) + [(-2, 2, 10), (-60, 0, 12)], full),
        "log1p": ((0, 0), log1p, NAN, near(-1, -0.5) + [(-1, 1, 12)], full),
        "sqrt": ((0, 0), sqrt, NAN, [], full),
        "abs": ((0, 0), piecewise(abs, lambda x: mp.sign(x)), NAN, [], thin),
        "square": ((0, 0), lambda x: (x * x, 2 * x, 2), NAN, [], thin),
        "reciprocal": ((0, 0), quotient_of(mp.mpf(1)), NAN, [], full),
        "scalar_div": ((1.7, 0), quotient_of(p["s"]), NAN, [], full),
        "power": ((2.5, 0), power(mp.mpf(2.5)), NAN, [], full),
        "sin": ((0, 0), trigonometric((mp.sin, mp.cos, lambda x: -mp.sin(x))), NAN, zeros, full),
        "cos": ((0, 0), trigonometric((mp.cos, lambda x: -mp.sin(x), lambda x: -mp.cos(x))), NAN, zeros, full),
        "clamp": ((-1, 1), piecewise(lambda x: min(max(x, -1), 1), lambda x: -1 <= x <= 1), NAN, edges, thin),
        "bell": ((0, 0), bell, NAN, bells, full),
        "x_bell": ((0, 0), x_bell, NAN, bells, full),
        "normal_cdf": ((0, 0), normal_cdf, NAN, bells, full),
        "erf": ((0, 0), erf, NAN, erfs, full),
        "scaled_erf": ((0, 0), scaled_erf, NAN, erfs + bells, full),
        "relu": ((0, 0), piecewise(lambda x: max(x, 0), lambda x: x > 0), NAN, [], thin),
        "leaky_relu": ((0.01, 0), piecewise(lambda x: x if x > 0 else p["l"] * x, lambda x: 1 if x > 0 else p["l"]), NAN,
                       [], thin),
        "sigmoid": ((0, 0), sigmoid, NAN, far + [(-15, 40, 30)], full),
        "tanh": ((0, 0), tanh, NAN, near(0.625) + [(0.5, 1, 6), (-20, 20, 24)], full),
        "selu": ((0, 0), selu, NAN, far + near(-0.5) + [(-60, 0, 24)], full),
        "softplus": ((0, 0), softplus, NAN, far + [(-15, 40, 30)], full),
        "silu": ((0, 0), silu, NAN, near(-1.2784645427610738, -2.3993572805154) + far + [(-15, 40, 30)], full),
        "gelu": ((0, 0), gelu, NAN, near(-0.75179152748, -math.sqrt(2)) + bells + [(-6, -5, 3)], full),
        "elu": ((0.7, 0), elu(p["c"]), NAN, far + near(-0.5) + [(-60, 0, 24)], full),
        "celu": ((1.7, 0), celu(p["s"]), NAN, celus + near(-0.85) + [(-60, 0, 24)], full),
        "celu_step": ((1.7, 0), celu_step(p["s"]), NAN, celus + [(-60, 0, 24)], full),
        "log_sigmoid": ((0, 0), log_sigmoid, NAN, far + [(-40, 15, 30)], full),
        "mish": ((0, 0), mish, NAN, near(-1.1924319551, -2.2563779) + far + [(-20, 40, 40), (0.4 * end, 0.52 * end, 12)],
                 full),
        "softsign": ((0, 0), softsign, NAN, [(-20, 20, 24)], full),
        "relu6": ((0, 0), piecewise(lambda x: min(max(x, 0), 6), lambda x: 0 < x < 6), NAN, near(6), thin),
        "hardsigmoid": ((0, 0), piecewise(lambda x: min(max(x + 3, 0), 6) / 6, lambda x: mp.mpf(abs(x) < 3) / 6), NAN,
                        near(-3, 3), full),
        "hardswish": ((0, 0), hardswish, NAN, near(-3, -1.5, 3), full),
        "cosid": ((0, 0), cosid, NAN, near(0.7390851332151607, -math.pi / 2) + zeros, full),
        "sine_ripple": ((0, 0), sine_ripple, NAN, near(2 * math.pi / 30) + tens, full),
        "cos_ten": ((0, 0), cos_ten, NAN, tens, full),
        "sin_ten": ((0, 0), sin_ten, NAN, tens, full),
        # other parameters of the same lines: the name goes on after a colon
        "power:3": ((3, 0), power(mp.mpf(3)), NAN, [], full),
        "power:0.3": ((0.3, 0), power(p["h"]), NAN, [], full),
        "power:-1.7": ((-1.7, 0), power(-p["s"]), NAN, [], full),
        "elu:1.7": ((1.7, 0), elu(p["s"]), NAN, far + [(-60, 0, 24)], full),
        "celu:0.7": ((0.7, 0), celu(p["c"]), NAN, far + [(-60, 0, 24)], full),
        "bell:1": ((1, 0), narrow_bell, NAN, erfs, full),
        "x_bell:1": ((1, 0), narrow_x_bell, NAN, erfs, full),
    }


def neighbours(x, kind):
    t = BITS[kind][3]
    x = t(x)
    return [float(v) for v in (np.nextafter(x, t(-np.inf)), x, np.nextafter(x, t(np.inf)))]


def points(kind, further, thin, rng):
    bits, least, most, _ = BITS[kind]
    exponents = set(range(-bits - 4, 13, 4 if thin else 2))
    exponents |= set(range(least + bits - 1, most, (most - least) // (4 if thin else 16)))
    sizes = [math.ldexp(rng.random() / 2 + 0.5, k + 1) for k in exponents]
    tiny = [math.ldexp(k, least) for k in (1, 2, 3, 5, 1000, 2**(bits - 1) - 1, 2**(bits - 1), 2**(bits - 1) + 1)]
    largest = [math.ldexp(2 - 2.0**(1 - bits), most - 1), math.ldexp(1.5, most - 2)]
    line = [s * v for s in (1, -1) for v in sizes + tiny + largest + [0.0, math.inf]]
    for low, high, count in further:
        for _ in range(count):
            at = low + (high - low) * rng.random()
            line += neighbours(at, kind) if low == high else [at]
    return [rounded(mp.mpf(v), kind) if v else v for v in line] + [math.nan]


def unary(name, kind, row):
    _, f, at_nan, further, thin = row
    x = points(kind, further, thin, random.Random(name))
    want, term = [], []
    for v in x:
        if math.isnan(v):
            values, terms = (at_nan, NAN, NAN), (0, 0, 0)
        else:
            more = [math.copysign(1, v) < 0] if hasattr(f, "signed_zero") else []
            values = f(mp.mpf(v), *more)
            values, terms = values if len(values) == 2 else (values, (0, 0, 0))
        want.append([rounded(w, kind) for w in values])
        term.append([rounded(t, kind) for t in terms])
    return x, want, term


# ---- functions of two arguments ----
def comparisons():
    one = {"greater": lambda x, y: x > y, "greater_equal": lambda x, y: x >= y, "less": lambda x, y: x < y,
           "less_equal": lambda x, y: x <= y, "equal": lambda x, y: x == y,
           "not_equal": lambda x, y: x != y}
    return {k: (lambda x, y, f=f: (f(x, y), 0, 0, 0, 0, 0)) for k, f in one.items()}


def quotient(x, y, least_normal=-1022):
    if y == 0 or mp.isinf(x) or mp.isinf(y):
        return (NAN,) * 6  # IEEE 754 has the value; the derivatives have no limit in both
    values = [x / y, 1 / y, -x / y**2, mp.mpf(0), -1 / y**2, 2 * x / y**3]
    if abs(x) < mp.ldexp(1, least_normal) and abs(y) < 1:  # a subnormal x / y loses what dividing it once more enlarges
        values[2] = values[5] = NAN
    return values


BINARY = {
    "add": lambda x, y: (x + y, 1, 1, 0, 0, 0),
    "sub": lambda x, y: (x - y, 1, -1, 0, 0, 0),
    "mul": lambda x, y: (x * y, y, x, 0, 1, 0),
    "div": quotient,
    "maximum": lambda x, y: (max(x, y), x >= y, x < y, 0, 0, 0),
    "minimum": lambda x, y: (min(x, y), x <= y, x > y, 0, 0, 0),
    **comparisons(),
}


def binary(name, kind):
    bits, least, most, _ = BITS[kind]
    rng = random.Random(name)
    draw = lambda: rng.choice((1, -1)) * math.ldexp(1 + rng.random(), rng.choice((rng.randint(-3, 3), rng.randint(least, most - 1))))
    pairs = [(draw(), draw()) for _ in range(40 if name == "div" else 12)]
    pairs += [(1.0, 1.0), (0.0, 1.0), (1.0, -2.0), (math.inf, 1.0), (1.0, -math.inf), (math.nan, 1.0), (1.0, math.nan)]
    pairs = [tuple(rounded(mp.mpf(v), kind) for v in pair) for pair in pairs]
    want = []
    for x, y in pairs:
        if math.isnan(x) or math.isnan(y):
            at_nan = 1.0 if name == "not_equal" else 0.0 if name in comparisons() else math.nan
            want.append([at_nan] + [math.nan] * 5)
            continue
        with mp.workdps(60):
            more = [least + bits - 1] if name == "div" else []
            want.append([rounded(w, kind) for w in BINARY[name](mp.mpf(x), mp.mpf(y), *more)])
    return np.array(pairs).T, np.array(want).T


def main():
    tensors = {}
    for kind, (_, _, _, dtype) in BITS.items():
        for name, row in functions(kind).items():
            x, want, term = unary(name, kind, row)
            tensors[f"{name}.{kind}.x"] = np.array(x, dtype)
            tensors[f"{name}.{kind}.want"] = np.ascontiguousarray(np.array(want, dtype).T)
            if np.any(np.array(term) != 0):
                tensors[f"{name}.{kind}.term"] = np.ascontiguousarray(np.array(term, dtype).T)
        for name in BINARY:
            x, want = binary(name, kind)
            tensors[f"{name}.{kind}.x"] = np.ascontiguousarray(x.astype(dtype))
            tensors[f"{name}.{kind}.want"] = np.ascontiguousarray(want.astype(dtype))
    save_file(tensors, pathlib.Path(__file__).with_suffix(".safetensors"))


if __name__ == "__main__":
    main()
