"""PyTorch's side of compare.py: the requests of ../peer_work.cpp, answered with PyTorch in eager mode on one thread.

Arguments: FOLDER with params.f32 and data.f32 written by basin, and `default` (what eager PyTorch does when nothing is asked
for) or `tuned` (the options that may be faster: fused Adam, vectorised Jacobian, inference mode).
"""
import json
import sys
import time


def resident():
    with open("/proc/self/status") as status:
        fields = dict(line.split(":", 1) for line in status)
    return {"now": int(fields["VmRSS"].split()[0]), "peak": int(fields["VmHWM"].split()[0])}


try:
    import torch
except ImportError as error:
    sys.exit(f"torch_work: {sys.executable} has no PyTorch ({error})")

FOLDER, TUNED = sys.argv[1], sys.argv[2] == "tuned"
torch.set_num_threads(1)
torch.set_num_interop_threads(1)


def numbers(name):
    with open(f"{FOLDER}/{name}", "rb") as file:
        return torch.frombuffer(bytearray(file.read()), dtype=torch.float32)


def adam(parameters):
    if TUNED:
        try:
            return torch.optim.Adam(parameters, lr=1e-3, fused=True)
        except RuntimeError:
            pass  # PyTorch 1.13: not on the CPU
    return torch.optim.Adam(parameters, lr=1e-3)


class Work:
    def __init__(self, words, dtype=torch.float32):
        self.kind, d, shape = words[0], int(words[1]), words[2]
        depth, width = (int(part) for part in shape.split("x"))
        widths = [d] + [width] * (depth - 1) + [d]
        layers = []
        for i in range(depth):
            layers += [torch.nn.Linear(widths[i], widths[i + 1]), torch.nn.LeakyReLU(0.01)]
        self.net = torch.nn.Sequential(*layers[:-1])
        flat, at = numbers("params.f32"), 0
        with torch.no_grad():
            for p in self.net.parameters():
                p.copy_(flat[at : at + p.numel()].view_as(p))
                at += p.numel()
        assert at == flat.numel()
        self.net = self.net.to(dtype)
        self.data = numbers("data.f32").view(-1, d).to(dtype)
        if self.kind == "train":
            self.adam = adam(list(self.net.parameters()))

    def run(self):
        return getattr(self, self.kind)()

    def check(self):
        if self.kind == "train":
            return [self.train() for _ in range(20)]
        if self.kind == "iterate":
            return self.iterate().flatten()[:30].tolist()
        return [self.radius()]

    def train(self):
        self.adam.zero_grad(set_to_none=True)
        loss = torch.nn.functional.mse_loss(self.net(self.data), self.data)
        loss.backward()
        self.adam.step()
        return loss.item()

    def iterate(self):
        x = self.data
        with torch.inference_mode() if TUNED else torch.no_grad():
            for _ in range(20):
                x = self.net(x)
        return x

    def radius(self):
        jacobian = torch.autograd.functional.jacobian(self.net, self.data[0], vectorize=TUNED)
        return torch.linalg.eigvals(jacobian).abs().max().item()


class Tiny:
    """tanh of one number and its derivative; `tuned` leaves out what backward() does for leaves."""

    def __init__(self, dtype=torch.float32):
        self.x = numbers("data.f32").to(dtype).clone().requires_grad_()

    def run(self):
        self.y = torch.tanh(self.x)
        if TUNED:
            (self.gradient,) = torch.autograd.grad(self.y, self.x)
        else:
            self.x.grad = None
            self.y.backward()
            self.gradient = self.x.grad

    def check(self):
        self.run()
        return [self.y.item(), self.gradient.item()]


class MatMul:
    def __init__(self, n, dtype=torch.float32):
        self.x = numbers("data.f32").view(n, n).to(dtype)

    def run(self):
        self.y = self.x @ self.x

    def check(self):
        self.run()
        return self.y.flatten()[:30].tolist()


def make(words, dtype=torch.float32):
    if words[0] == "tiny":
        return Tiny(dtype)
    return MatMul(int(words[1]), dtype) if words[0] == "matmul" else Work(words, dtype)


def answer(verb, rest):
    global work
    if verb == "info":
        capability = torch.backends.cpu.get_cpu_capability() if hasattr(torch.backends, "cpu") else "?"
        blas = "MKL" if torch.backends.mkl.is_available() else "other BLAS"
        return {"name": "PyTorch", "version": torch.__version__, "flags": f"{capability}, {blas}"}
    if verb == "memory":
        return resident()
    if verb == "open":
        work = None  # the old one goes before the new one comes
        work = make(rest.split())
        return "ok"
    if verb == "check64":  # the same in double precision, which both are compared with
        return make(rest.split(), torch.float64).check()
    if verb == "check":
        return work.check()
    assert verb == "run", verb
    runs = int(rest)
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(runs):
        work.run()
    return [(time.perf_counter() - wall) / runs, (time.process_time() - cpu) / runs]


work = None
for line in sys.stdin:
    print(json.dumps(answer(*(line.strip().split(" ", 1) + [""])[:2])), flush=True)
