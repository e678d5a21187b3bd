"""PyTorch's side of gpu_compare.py: one request a line on stdin, one line of JSON on stdout for each.

Arguments: FOLDER with params.f32 and data.f32 written by basin, and the device (cuda or cpu).
    info                    versions
    open KIND NAME          makes the work afresh as KIND: eager, compile (torch.compile, reduce-overhead), graph (a CUDA
                            graph captured by hand, fused Adam), graph-tuned (the same with cudnn.benchmark); kinds stay open
                            beside each other until `close`
    check KIND              the numbers both sides must reproduce
    check64 NAME            the same in double precision, eager
    run KIND N              seconds of a run, on average over N, the wait for the device included
    close                   drops all work
    warm NAME               compiles the work, so that PyTorch's cache on disk has it; FOLDER may be - for this (any parameters)
f32 means f32 everywhere: TF32 is off. No step reads its loss. What cannot be done is answered as {"error": ...}.
"""
import json
import sys
import time

import torch
from torch.nn import functional

FOLDER, DEVICE = sys.argv[1], torch.device(sys.argv[2])
torch.backends.cuda.matmul.allow_tf32 = False
torch.backends.cudnn.allow_tf32 = False
torch.set_float32_matmul_precision("highest")
STEPS = {"iterate": 20, "iterate-long": 1111}


def synchronize():
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def numbers(name):
    with open(f"{FOLDER}/{name}", "rb") as file:
        return torch.frombuffer(bytearray(file.read()), dtype=torch.float32)


class ConvNet(torch.nn.Module):
    """The network of ../workloads.cpp, parameters in the same order."""

    def __init__(self, channels, side):
        super().__init__()
        widths, inner = [channels, 32, 64, 128, 256], side // 16
        self.down = torch.nn.ModuleList(torch.nn.Conv2d(i, o, 3, 2, 1) for i, o in zip(widths, widths[1:]))
        self.code = torch.nn.Linear(256 * inner * inner, 128)
        self.spread = torch.nn.Linear(128, 256 * inner * inner)
        self.up = torch.nn.ModuleList(torch.nn.ConvTranspose2d(o, i, 3, 2, 1, output_padding=1)
                                      for i, o in list(zip(widths, widths[1:]))[::-1])
        self.inner = inner

    def forward(self, x):
        for layer in self.down:
            x = functional.leaky_relu(layer(x), 0.01)
        x = functional.leaky_relu(self.spread(self.code(x.flatten(1))), 0.01).view(-1, 256, self.inner, self.inner)
        for i, layer in enumerate(self.up):
            x = layer(x)
            if i + 1 < len(self.up):
                x = functional.leaky_relu(x, 0.01)
        return x


def dense(d, depth, width):
    widths = [d] + [width] * (depth - 1) + [d]
    layers = []
    for i in range(depth):
        layers += [torch.nn.Linear(widths[i], widths[i + 1]), torch.nn.LeakyReLU(0.01)]
    return torch.nn.Sequential(*layers[:-1])


class Work:
    def __init__(self, kind, words, dtype=torch.float32):
        self.kind, self.name = kind, words[0]
        captured = kind.startswith("graph")
        if captured and DEVICE.type != "cuda":
            raise RuntimeError("CUDA graphs need a GPU")
        self.benchmark = kind == "graph-tuned"
        torch.backends.cudnn.benchmark = self.benchmark
        if self.name == "conv":
            channels, side = (int(part) for part in words[1].split("x")[:2])
            shape, net = (-1, channels, side, side), ConvNet(channels, side)
        else:
            depth, width = (int(part) for part in words[2].split("x"))
            shape, net = (-1, int(words[1])), dense(int(words[1]), depth, width)
        if FOLDER == "-":
            data = torch.rand(int(words[-1]), *shape[1:])
        else:
            data, flat, at = numbers("data.f32").view(shape), numbers("params.f32"), 0
            with torch.no_grad():
                for p in net.parameters():
                    p.copy_(flat[at : at + p.numel()].view_as(p))
                    at += p.numel()
            assert at == flat.numel(), "the parameters of both sides differ in number"
        self.net, self.data = net.to(DEVICE, dtype), data.to(DEVICE, dtype)
        self.training = self.name in ("train", "conv")
        if self.training:
            fast = dict(fused=True, capturable=True) if kind != "eager" and DEVICE.type == "cuda" else {}
            self.adam = torch.optim.Adam(self.net.parameters(), lr=1e-4, **fast)  # ../workloads.cpp says why
        self.forward = self.net
        if kind == "compile":
            torch._dynamo.reset()
            self.forward = torch.compile(self.net, mode="reduce-overhead")
        self.run = self.step if self.training else self.iterate
        if captured:
            self.capture()

    def step(self):
        if self.kind == "compile" and DEVICE.type == "cuda":
            torch.compiler.cudagraph_mark_step_begin()
        self.adam.zero_grad(set_to_none=True)
        self.loss = functional.mse_loss(self.forward(self.data), self.data)
        self.loss.backward()
        self.adam.step()

    def iterate(self):
        x = self.data
        with torch.no_grad():
            for _ in range(STEPS[self.name]):
                x = self.forward(x)
                if self.kind == "compile":
                    x = x.clone()  # the next call overwrites its result
        self.points = x

    def capture(self):
        """All of run() as one graph; the state is put back to where it was."""
        start = [p.detach().clone() for p in self.net.parameters()]
        work, side = self.run, torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                work()
        torch.cuda.current_stream().wait_stream(side)
        if self.training:
            self.adam.zero_grad(set_to_none=True)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            work()
        with torch.no_grad():
            for p, old in zip(self.net.parameters(), start):
                p.copy_(old)
            if self.training:
                for state in self.adam.state.values():
                    for value in state.values():
                        value.zero_()
        self.run = self.graph.replay

    def check(self):
        if not self.training:
            self.run()
            return self.points.flatten()[:30].tolist()
        losses = []
        for _ in range(20):
            self.run()
            losses.append(self.loss.item())
        return losses


class MatMul:
    def __init__(self, kind, words, dtype=torch.float32):
        n = int(words[1])
        self.benchmark = False
        self.x = numbers("data.f32").view(n, n).to(DEVICE, dtype)

    def run(self):
        self.y = self.x @ self.x

    def check(self):
        self.run()
        return self.y.flatten()[:30].tolist()


class Copy:
    """copy MIB: a device-to-device copy of that size."""

    def __init__(self, kind, words, dtype=torch.float32):
        self.benchmark = False
        self.x = torch.ones(int(words[1]) << 18, device=DEVICE)
        self.y = torch.empty_like(self.x)

    def run(self):
        self.y.copy_(self.x)


def make(kind, words, dtype=torch.float32):
    return {"matmul": MatMul, "copy": Copy}.get(words[0], Work)(kind, words, dtype)


def answer(verb, rest):
    if verb == "info":
        cuda = f", CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}" if DEVICE.type == "cuda" else ""
        name = torch.cuda.get_device_name() if DEVICE.type == "cuda" else "CPU"
        return {"version": torch.__version__ + cuda, "device": name}
    if verb == "close":
        open_work.clear()
        if DEVICE.type == "cuda":
            torch.cuda.empty_cache()
        return "ok"
    if verb == "open":
        kind, name = rest.split(" ", 1)
        open_work.pop(kind, None)
        open_work[kind] = make(kind, name.split())
        return "ok"
    if verb == "warm":
        work = make("compile", rest.split())
        for _ in range(3 if work.training else 1):
            work.run()
        synchronize()
        return "ok"
    if verb == "check64":
        return make("eager", rest.split(), torch.float64).check()
    words = rest.split()
    work = open_work[words[0]]
    torch.backends.cudnn.benchmark = work.benchmark
    if verb == "check":
        return work.check()
    assert verb == "run", verb
    runs = int(words[1])
    synchronize()
    start = time.perf_counter()
    for _ in range(runs):
        work.run()
    synchronize()
    return (time.perf_counter() - start) / runs


def guarded(line):
    try:
        return answer(*(line.strip().split(" ", 1) + [""])[:2])
    except Exception as error:  # a kind that cannot be done here must not cost the others
        return {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}


open_work = {}
for request in sys.stdin:
    print(json.dumps(guarded(request)), flush=True)
