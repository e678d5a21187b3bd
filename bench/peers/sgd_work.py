"""PyTorch's and JAX's side of sgd_compare.py: online SGD with batch 1 on fresh Gaussian inputs, one thread, f32.

Argument: `torch`, `torch-tuned` or `jax`. Requests on stdin as in ../sgd_work.cpp: `info`, and `full D STEPS`, answered with
[processor seconds, wall seconds, reconstruction error over fresh inputs at the end].
"""
import json
import math
import os
import sys
import time

K, MULTIPLIERS = 3, [81.0, 25.0, 9.0]
SIDE = sys.argv[1]


def spectrum(d):
    total = sum(MULTIPLIERS) + 1
    return [d * m / total for m in MULTIPLIERS] + [1 / total] * (d - len(MULTIPLIERS))


def timed(work):
    processor, wall = time.process_time(), time.perf_counter()
    work()
    return [time.process_time() - processor, time.perf_counter() - wall]


class Torch:
    """The update written by hand with matrix products, as the fused step of basin; no autograd, which is slower."""

    def __init__(self, tuned):
        import torch

        self.torch = torch
        torch.set_num_threads(1)
        torch.manual_seed(0)
        self.tuned = tuned
        self.version = f"PyTorch {torch.__version__}" + (", buffers reused" if tuned else "")

    def start(self, d):
        t = self.torch
        self.d, self.sd = d, t.tensor(spectrum(d)).sqrt()
        self.w, self.v = 0.1 * t.randn(K, d), 0.1 * t.randn(K, d)
        self.x = t.empty(d)

    def step(self):
        t, d, w, v = self.torch, self.d, self.w, self.v
        x = t.randn(d) * self.sd
        fields = w @ x / math.sqrt(d)
        g = t.erf(fields / math.sqrt(2))
        slope = math.sqrt(2 / math.pi) * t.exp(-fields * fields / 2)
        delta = x - g @ v
        along = v @ delta
        v += (1 / d) * t.outer(g, delta)
        w += (1 / d / d / math.sqrt(d)) * t.outer(along * slope, x)

    def step_tuned(self):
        t, d, w, v, x = self.torch, self.d, self.w, self.v, self.x
        x.normal_().mul_(self.sd)
        fields = t.mv(w, x).mul_(1 / math.sqrt(d))
        g = t.erf(fields * (1 / math.sqrt(2)))
        slope = fields.square_().mul_(-0.5).exp_()
        delta = t.addmv(x, v.T, g, alpha=-1)
        along = t.mv(v, delta)
        v.addr_(g, delta, alpha=1 / d)
        w.addr_(along.mul_(slope), x, alpha=math.sqrt(2 / math.pi) / d / d / math.sqrt(d))

    def run(self, steps):
        step = self.step_tuned if self.tuned else self.step
        with self.torch.inference_mode():
            for _ in range(steps):
                step()

    def error(self):
        t = self.torch
        x = t.randn(20000, self.d) * self.sd
        out = t.erf(x @ self.w.T / math.sqrt(2 * self.d)) @ self.v
        return ((x - out) ** 2).sum(1).mean().item() / (2 * self.d)


class Jax:
    """A jitted scan over steps."""

    def __init__(self):
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        import jax

        jax.config.update("jax_platforms", "cpu")
        self.jax, self.version = jax, f"JAX {jax.__version__}"

    def start(self, d):
        jax = self.jax
        jnp = jax.numpy
        self.d, self.sd = d, jnp.sqrt(jnp.array(spectrum(d), dtype=jnp.float32))
        keys = jax.random.split(jax.random.PRNGKey(0), 3)
        self.weights = 0.1 * jax.random.normal(keys[0], (K, d)), 0.1 * jax.random.normal(keys[1], (K, d))
        self.key, sd = keys[2], self.sd

        def step(weights, key):
            w, v = weights
            x = jax.random.normal(key, (d,)) * sd
            fields = w @ x / math.sqrt(d)
            g = jax.lax.erf(fields / math.sqrt(2))
            slope = math.sqrt(2 / math.pi) * jnp.exp(-fields * fields / 2)
            delta = x - g @ v
            along = v @ delta
            return (w + (1 / d / d / math.sqrt(d)) * jnp.outer(along * slope, x), v + (1 / d) * jnp.outer(g, delta)), None

        self.scan = jax.jit(lambda weights, keys: jax.lax.scan(step, weights, keys)[0])

    def run(self, steps):
        self.key, key = self.jax.random.split(self.key)
        keys = self.jax.random.split(key, steps)
        self.weights = self.jax.block_until_ready(self.scan(self.weights, keys))

    def error(self):
        jax = self.jax
        x = jax.random.normal(jax.random.PRNGKey(9), (20000, self.d)) * self.sd
        w, v = self.weights
        out = jax.lax.erf(x @ w.T / math.sqrt(2 * self.d)) @ v
        return float(((x - out) ** 2).sum(1).mean()) / (2 * self.d)


side = Jax() if SIDE == "jax" else Torch(SIDE == "torch-tuned")
warm = None
for line in sys.stdin:
    words = line.split()
    if words[0] == "info":
        answer = {"version": side.version}
    else:
        d, steps = int(words[1]), int(words[2])
        if warm != (d, steps):  # compilation and first touches are not timed
            side.start(d)
            side.run(steps)
            warm = (d, steps)
        if SIDE != "jax":
            side.start(d)
        else:
            scan = side.scan
            side.start(d)
            side.scan = scan
        answer = timed(lambda: side.run(steps)) + [side.error()]
    print(json.dumps(answer), flush=True)
