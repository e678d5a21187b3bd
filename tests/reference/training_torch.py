"""Writes training_torch.safetensors: losses, update rules and schedules of PyTorch, in f64.

losses: for logits [6, 5] with entries of +-1e30, +-800 and -infinity,
  log_softmax[.grad], cross_entropy.S[.grad] for smoothing S with `labels`, soft[.grad] for probabilities `soft.t`;
  bce[.grad] for bce.x, bce.t; l1[.grad], kl[.mu, .v] for a, b.
rules: a network x -> w2 tanh(w1 x + b1) + b2 on x.data [8, 3] with mean squared error, from start.w1 ..., after 100 steps:
  rule.NAME holds the parameters one after the other; average is the exponential moving average of "rule.nesterov".
schedules: schedule.NAME [2, 120], the rate and the momentum of each step.
Run: python3 training_torch.py (torch 2.6, safetensors)
"""
import pathlib
import warnings

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F
from torch.optim import lr_scheduler as lrs

warnings.filterwarnings("ignore")
torch.set_default_dtype(torch.float64)
torch.manual_seed(0)
torch.set_num_threads(1)
out = {}


def with_gradients(name, f, *inputs):
    """value and gradients as name, name.grad or name.grad.0, ..."""
    inputs = [i.clone().requires_grad_() for i in inputs]
    value = f(*inputs)
    weights = torch.linspace(-1, 1, value.numel()).reshape(value.shape) if value.dim() else torch.ones(())
    (value * weights).sum().backward() if value.dim() else value.backward()
    out[name] = value.detach().reshape(-1)
    for i, x in enumerate(inputs):
        out[f"{name}.grad" + (f".{i}" if len(inputs) > 1 else "")] = x.grad


inf = float("inf")
logits = torch.randn(6, 5) * 3
logits[1] = torch.tensor([800.0, -800, 799, 0, -inf])
logits[2] = torch.tensor([1e30, -1e30, 0, 1, 2])
logits[3] = torch.tensor([-inf, 1, 2, -inf, 3])
logits[4] = torch.tensor([40.0, 0, 0, 0, -2])
labels = torch.tensor([3, 0, 0, 2, 0, 4])
out["logits"], out["labels"] = logits, labels.to(torch.int32)
with_gradients("log_softmax", lambda x: F.log_softmax(x, 1)[[0, 4, 5]], logits)
out["log_softmax.all"] = F.log_softmax(logits, 1)
with_gradients("cross_entropy.0", lambda x: F.cross_entropy(x, labels), logits)
finite = logits[[0, 4, 5]]
with_gradients("cross_entropy.0.1", lambda x: F.cross_entropy(x, labels[[0, 4, 5]], label_smoothing=0.1), finite)
soft = torch.softmax(torch.randn(3, 5), 1)
out["soft.t"] = soft
with_gradients("soft", lambda x: F.cross_entropy(x, soft), finite)
x = torch.tensor([0, -0.0, 1, -1, 30, -30, 700, -700, 1e30, -1e30, 2.5, -3.5])
t = torch.tensor([1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0.25, 0.5])
out["bce.x"], out["bce.t"] = x, t
with_gradients("bce", lambda x: F.binary_cross_entropy_with_logits(x, t, reduction="none"), x)
with_gradients("bce.mean", lambda x: F.binary_cross_entropy_with_logits(x[:8], t[:8]), x)
a, b = torch.randn(4, 3), torch.randn(4, 3)
out["a"], out["b"] = a, b
with_gradients("l1", F.l1_loss, a, b)
normal = torch.distributions.Normal
with_gradients("kl", lambda m, v: torch.distributions.kl_divergence(
    normal(m, (v / 2).exp()), normal(torch.zeros(4, 3), torch.ones(4, 3))).sum(1).mean(), a, b)
rho = torch.distributions.Bernoulli(torch.full((3,), 0.05))
with_gradients("sparse", lambda h: torch.distributions.kl_divergence(
    rho, torch.distributions.Bernoulli(torch.sigmoid(h).mean(0))).sum(), a)

data = torch.randn(8, 3)
start = {"w1": torch.randn(4, 3) / 2, "b1": torch.randn(4) / 4, "w2": torch.randn(3, 4) / 2, "b2": torch.randn(3) / 4}
out["x.data"] = data
for k, v in start.items():
    out[f"start.{k}"] = v


def train(name, make, schedule=None, average=None):
    p = {k: nn.Parameter(v.clone()) for k, v in start.items()}
    optimizer = make(p)
    scheduler = schedule(optimizer) if schedule else None
    module = nn.ParameterList(p.values())
    if average:
        averaged = torch.optim.swa_utils.AveragedModel(
            module, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(average))
        averaged.update_parameters(module)  # the first call copies
    for _ in range(100):
        optimizer.zero_grad()
        F.mse_loss(torch.tanh(data @ p["w1"].T + p["b1"]) @ p["w2"].T + p["b2"], data).backward()
        optimizer.step()
        if scheduler:
            scheduler.step()
        if average:
            averaged.update_parameters(module)
    out[f"rule.{name}"] = torch.cat([v.detach().reshape(-1) for v in p.values()])
    if average:
        out["average"] = torch.cat([v.detach().reshape(-1) for v in averaged.module])


def groups(p):
    return [{"params": [p["w1"], p["w2"]]}, {"params": [p["b1"], p["b2"]], "weight_decay": 0.0}]


optim = torch.optim
train("nesterov", lambda p: optim.SGD(p.values(), 0.05, momentum=0.9, nesterov=True), average=0.9)
train("nesterov_decay", lambda p: optim.SGD(p.values(), 0.05, momentum=0.9, nesterov=True, weight_decay=0.01))
train("momentum", lambda p: optim.SGD(p.values(), 0.05, momentum=0.9, weight_decay=0.01))
train("rmsprop", lambda p: optim.RMSprop(p.values(), 0.002))
train("rmsprop_momentum", lambda p: optim.RMSprop(
    p.values(), 0.001, alpha=0.9, eps=1e-6, momentum=0.8, weight_decay=0.01))
train("adam", lambda p: optim.Adam(p.values(), 0.01))
train("adamw_groups", lambda p: optim.AdamW(groups(p), 0.01, weight_decay=0.1))
train("sgd_groups", lambda p: optim.SGD(groups(p), 0.05, weight_decay=0.1))
one_cycle = dict(total_steps=100, base_momentum=0.85, max_momentum=0.95)
train("one_cycle_nesterov", lambda p: optim.SGD(p.values(), 0.05, momentum=0.9, nesterov=True),
      lambda o: lrs.OneCycleLR(o, 0.05, **one_cycle))
train("one_cycle_adam", lambda p: optim.Adam(p.values(), 0.01), lambda o: lrs.OneCycleLR(o, 0.02, **one_cycle))


def rates(name, base, make):
    optimizer = optim.SGD([nn.Parameter(torch.zeros(1))], base, momentum=0.9)
    scheduler = make(optimizer)
    rows = []
    for step in range(120):
        group = optimizer.param_groups[0]
        rows.append([group["lr"], group["momentum"]])
        optimizer.step()
        if step + 1 < getattr(scheduler, "total_steps", 1000):
            scheduler.step()
    out[f"schedule.{name}"] = torch.tensor(rows).T.contiguous()


rates("one_cycle", 0.1, lambda o: lrs.OneCycleLR(o, 0.1, total_steps=100))
rates("one_cycle_plain", 0.1, lambda o: lrs.OneCycleLR(
    o, 0.1, total_steps=90, pct_start=0.4, div_factor=10, final_div_factor=100, cycle_momentum=False))
rates("warmup_cosine", 0.1, lambda o: lrs.SequentialLR(
    o, [lrs.LinearLR(o, 0.25, 1, 20), lrs.CosineAnnealingLR(o, 100, 0.001)], [20]))
rates("warmup_step", 0.1, lambda o: lrs.SequentialLR(
    o, [lrs.LinearLR(o, 0.5, 1, 10), lrs.StepLR(o, 30, 0.5)], [10]))

save_file({k: v.contiguous() for k, v in out.items()}, pathlib.Path(__file__).with_suffix(".safetensors"))
