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
    rate = 1e-4  # as in ../workloads.cpp, which says why
    if TUNED:
        try:
            return torch.optim.Adam(parameters, lr=rate, fused=True)
        except RuntimeError:
            pass  # PyTorch 1.13: not on the CPU
    return torch.optim.Adam(parameters, lr=rate)


class Work:
    def __init__(self, words, dtype=torch.float32):
        self.kind, d, shape = words[0], int(words[1]), words[2]
        depth, width = (int(part) for part in shape.split("x"))
        widths = [d] + [width] * (depth - 1) + [d]
        layers = []
        for i in range(depth):
            layers += [torch.nn.Linear(widths[i], widths[i + 1]), torch.nn.LeakyReLU(0.01)]
        self.net = torch.nn.Sequential(*layers[:-1])
        self.load(dtype)
        self.data = numbers("data.f32").view(-1, d).to(dtype)
        if self.kind == "train":
            self.adam = adam(list(self.net.parameters()))

    def load(self, dtype):
        """The parameters that basin wrote."""
        flat, at = numbers("params.f32"), 0
        with torch.no_grad():
            for p in self.net.parameters():
                p.copy_(flat[at : at + p.numel()].view_as(p))
                at += p.numel()
        assert at == flat.numel()
        self.net = self.net.to(dtype)

    def run(self):
        return getattr(self, self.kind)()

    def check(self):
        if self.kind == "train":
            return [self.train() for _ in range(20)]
        if self.kind == "iterate":
            return self.iterate().flatten()[:30].tolist()
        if self.kind == "basins":
            return self.basins().flatten()[:30].tolist()
        if self.kind == "newton":
            return self.newton().flatten()[:30].tolist()
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

    def basins(self):
        end, active = self.data.clone(), torch.arange(len(self.data))
        x = self.data
        with torch.inference_mode() if TUNED else torch.no_grad():
            for _ in range(1111):
                y = self.net(x)
                moves = (y - x).norm(dim=1) > 1e-6
                if not moves.all():
                    end[active[~moves]] = y[~moves]
                    active, y = active[moves], y[moves]
                x = y
                if len(active) == 0:
                    break
        end[active] = x
        return end

    def newton(self):
        net, x = self.net.double(), self.data.double()
        one = torch.eye(x.shape[1], dtype=x.dtype)
        jacobian = torch.func.vmap(torch.func.jacrev(net), chunk_size=10)
        with torch.no_grad():
            for _ in range(60):
                residual = net(x) - x
                active = residual.norm(dim=1) > 1e-12
                if not active.any():
                    break
                step = torch.linalg.solve(one - jacobian(x[active]), residual[active])
                x = x.index_put((active.nonzero()[:, 0],), x[active] + step)
        return x

    def radius(self):
        jacobian = torch.autograd.functional.jacobian(self.net, self.data[0], vectorize=TUNED)
        return torch.linalg.eigvals(jacobian).abs().max().item()


def conv_autoencoder(channels, side, filters, activation=lambda: torch.nn.LeakyReLU(0.01)):
    """The network of "conv", "minibatch" and "converge", its parameters in basin's order."""
    widths, layers, inner = [channels] + [filters * f for f in (1, 2, 4, 8)], [], side // 16
    for i, o in zip(widths, widths[1:]):
        layers += [torch.nn.Conv2d(i, o, 3, 2, 1), activation()]
    features = widths[-1] * inner * inner
    layers += [torch.nn.Flatten(), torch.nn.Linear(features, 128), torch.nn.Linear(128, features),
               activation(), torch.nn.Unflatten(1, (widths[-1], inner, inner))]
    for i, o in zip(widths[:0:-1], widths[-2::-1]):
        layers += [torch.nn.ConvTranspose2d(i, o, 3, 2, 1, 1), activation()]
    return torch.nn.Sequential(*layers[:-1])


class Resnet9(torch.nn.Module):
    """The network of "resnet9", its parameters in basin's order."""

    def __init__(self, channels, width=64):
        super().__init__()

        def unit(inputs, outputs):
            return torch.nn.Sequential(torch.nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), torch.nn.BatchNorm2d(outputs),
                                       torch.nn.ReLU())

        w = width
        self.prep, self.layer1 = unit(channels, w), unit(w, 2 * w)
        self.residual1 = torch.nn.Sequential(unit(2 * w, 2 * w), unit(2 * w, 2 * w))
        self.layer2, self.layer3 = unit(2 * w, 4 * w), unit(4 * w, 8 * w)
        self.residual3 = torch.nn.Sequential(unit(8 * w, 8 * w), unit(8 * w, 8 * w))
        self.pool, self.head = torch.nn.MaxPool2d(2), torch.nn.Linear(8 * w, 10)

    def forward(self, x):
        h = self.pool(self.layer1(self.prep(x)))
        h = h + self.residual1(h)
        h = self.pool(self.layer3(self.pool(self.layer2(h))))
        h = h + self.residual3(h)
        return self.head(torch.nn.functional.max_pool2d(h, h.shape[2:]).flatten(1))


def linear_down_up(channels, side, filters):
    """The network of "spectrum": no bias, no activation."""
    layers, levels, inputs = [], side.bit_length() - 1, channels
    for _ in range(levels):
        layers.append(torch.nn.Conv2d(inputs, filters, 3, 2, 1, bias=False))
        inputs = filters
    for i in range(levels):
        outputs = channels if i + 1 == levels else filters
        layers += [torch.nn.Upsample(scale_factor=2), torch.nn.Conv2d(filters, outputs, 3, 1, 1, bias=False)]
    return torch.nn.Sequential(*layers)


class Images(Work):
    """Work on networks on images: a training step, a spectrum, points iterated until they stand still."""

    def __init__(self, words, dtype=torch.float32):
        self.kind, count = words[0], int(words[2])
        self.image = tuple(int(part) for part in words[1].split("x"))
        if self.kind == "spectrum":
            self.net = linear_down_up(self.image[0], self.image[1], count)
        elif self.kind == "resnet9":
            self.net = Resnet9(self.image[0])
        elif self.kind == "minibatch":
            self.net, self.count = conv_autoencoder(self.image[0], self.image[1], 8, torch.nn.ELU), count
        else:
            self.net = conv_autoencoder(self.image[0], self.image[1], 32 if self.kind == "conv" else 8)
        self.load(dtype)
        self.data = numbers("data.f32").view(-1, *self.image).to(dtype)
        self.images, self.step = self.data, 0
        if self.kind in ("conv", "minibatch"):
            self.adam = adam(list(self.net.parameters()))

    def check(self):
        if self.kind in ("conv", "minibatch"):
            return [self.run() for _ in range(20)]
        if self.kind == "resnet9":
            return [self.resnet9()] + [p.grad.norm().item() for p in self.net.parameters()]
        if self.kind == "spectrum":
            return self.spectrum()
        return self.converge().flatten()[:30].tolist()

    def conv(self):
        return self.train()

    def minibatch(self):
        """The data come in the order of basin's first epoch."""
        per_epoch = -(-len(self.images) // self.count)
        epoch, at = divmod(self.step, per_epoch)
        if at == 0:
            self.order = torch.randperm(len(self.images)) if epoch else torch.arange(len(self.images))
        self.data = self.images[self.order[at * self.count : (at + 1) * self.count]]
        self.step += 1
        return self.train()

    def resnet9(self):
        self.net.zero_grad(set_to_none=True)
        loss = self.net(self.data).square().mean()
        loss.backward()
        return loss.item()

    def spectrum(self):
        d = self.data.numel()
        f = lambda x: self.net(x.view(1, *self.image)).view(-1)
        try:
            jacobian = torch.func.jacrev(f, chunk_size=256)(self.data.view(-1))
        except AttributeError:  # PyTorch 1.13
            jacobian = torch.autograd.functional.jacobian(f, self.data.view(-1), vectorize=True)
        return sorted(torch.linalg.eigvals(jacobian.view(d, d)).abs().tolist(), reverse=True)[:3]

    def converge(self):
        """All points go on until the last stands still; `tuned`: those that do leave the batch, as in basin."""
        x, points, where = self.data, self.data.clone(), torch.arange(len(self.data))
        arrived = torch.zeros(len(x), dtype=torch.bool)
        with torch.inference_mode() if TUNED else torch.no_grad():
            for _ in range(200):
                y = self.net(x)
                moving = (y - x).flatten(1).norm(dim=1) > 1e-3
                if TUNED:
                    points[where] = y
                    x, where = y[moving], where[moving]
                else:
                    x = torch.where(arrived.view(-1, 1, 1, 1), x, y)
                    arrived |= ~moving
                if not (len(x) if TUNED else not arrived.all()):
                    break
        return points if TUNED else x


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


class Grouped:
    """A convolution 3x3 in groups of channels, forward and both gradients."""

    def __init__(self, words, dtype=torch.float32):
        shape, self.groups = tuple(int(part) for part in words[1].split("x")), int(words[2])
        channels = shape[1]
        flat, weights = numbers("params.f32").to(dtype), channels * (channels // self.groups) * 9
        self.w = flat[:weights].view(channels, -1, 3, 3).clone().requires_grad_()
        self.ct = flat[weights:].view(shape).clone()
        self.x = numbers("data.f32").to(dtype).view(shape).clone().requires_grad_()

    def run(self):
        self.out = None
        y = torch.nn.functional.conv2d(self.x, self.w, None, 1, 1, 1, self.groups)
        self.out = [*torch.autograd.grad(y, (self.x, self.w), self.ct), y.detach()]

    def check(self):
        self.run()
        return [t.double().square().sum().item() for t in self.out]


def elementwise():
    """PyTorch's names for lines of kernels/ops.def, with the parameters of their checks."""
    t, f = torch, torch.nn.functional
    same = ("neg exp log expm1 log1p sqrt abs square reciprocal sin cos erf relu sigmoid tanh sign add sub mul div maximum minimum "
            "greater less").split()
    calls = {name: getattr(t, name) for name in same}
    calls.update({name: getattr(f, name) for name in "selu softplus silu gelu mish softsign relu6 hardsigmoid hardswish".split()})
    calls.update(leaky_relu=lambda x: f.leaky_relu(x, 0.01), elu=lambda x: f.elu(x, 0.7), celu=lambda x: f.celu(x, 1.7),
                 log_sigmoid=f.logsigmoid, power=lambda x: x**2.5, mul_scalar=lambda x: x * 1.7, div_scalar=lambda x: x / 1.7,
                 scalar_div=lambda x: 1.7 / x, add_scalar=lambda x: x + 0.3, clamp=lambda x: x.clamp(-1, 1),
                 bell=lambda x: t.exp(x * x * -0.5), x_bell=lambda x: x * t.exp(x * x * -0.5), normal_cdf=t.special.ndtr,
                 scaled_erf=lambda x: t.erf(x * 0.5**0.5), cosid=lambda x: t.cos(x) - x,
                 sine_ripple=lambda x: x + 0.2 * t.sin(10 * x), cos_ten=lambda x: t.cos(10 * x), sin_ten=lambda x: t.sin(10 * x),
                 exp_above_tangent=lambda x: t.expm1(x) - x)
    return calls


class Call:
    """A loss with its gradient, or an elementwise operation alone."""

    def __init__(self, words, dtype=torch.float32):
        x, f = numbers("data.f32"), torch.nn.functional
        if words[0] == "op":
            dtype = torch.float64 if words[2] == "f64" else dtype
            two = words[1] in "add sub mul div maximum minimum greater less".split()
            operands = [t.to(dtype) for t in ([x, numbers("params.f32")] if two else [x])]
            call = elementwise()[words[1]]
            self.run = lambda: self.keep([call(*operands)])
            return
        shape = tuple(int(part) for part in words[2].split("x"))
        x, more = x.to(dtype).view(shape).requires_grad_(), numbers("params.f32")
        more = more.long() if words[1] == "cross-entropy" else more.to(dtype).view(shape)
        operands = [x]
        if words[1] == "gaussian-kl":
            operands.append(more.requires_grad_())
            call = lambda: 0.5 * (x.square() + more.exp() - 1 - more).sum() / len(x)
        elif words[1] == "cross-entropy":
            call = lambda: f.cross_entropy(x, more)
        else:
            call = lambda: f.binary_cross_entropy_with_logits(x, more)

        def run():
            value = call()
            self.keep([*torch.autograd.grad(value, operands), value.detach()])

        self.run = run

    def keep(self, out):
        self.out = out

    def check(self):
        self.run()
        return [t.double().square().sum().item() for t in self.out]


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
    if words[0] == "grouped":
        return Grouped(words, dtype)
    if words[0] in ("loss", "op"):
        return Call(words, dtype)
    if words[0] in ("conv", "minibatch", "resnet9", "spectrum", "converge"):
        return Images(words, dtype)
    return MatMul(int(words[1]), dtype) if words[0] == "matmul" else Work(words, dtype)


def answer(verb, rest):
    global work
    if verb == "info":
        capability = torch.backends.cpu.get_cpu_capability() if hasattr(torch.backends, "cpu") else "?"
        blas = "MKL" if torch.backends.mkl.is_available() else "other BLAS"
        return {"name": "PyTorch", "version": torch.__version__, "flags": f"{capability}, {blas}"}
    if verb == "memory":
        return resident()
    if verb == "elementwise":
        return list(elementwise())
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
