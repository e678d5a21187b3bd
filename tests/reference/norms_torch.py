#!/usr/bin/env python3
"""Writes norms_torch.safetensors: norms with all their gradients, and trainings of a batch-norm network, by PyTorch in f64.

usage: norms_torch.py OUTPUT    (needs PyTorch; run once, the file is part of the repository)

For each norm: x, w, b, g (the cotangent of y), y, dx, dw, db; names are "<norm>.<tensor>". Trainings: "data" in two batches
that take turns, "target", "start.<parameter>"; after 100 steps of "sgd" and "adam" "<optimizer>.<parameter or buffer>",
"<optimizer>.losses", "<optimizer>.stored" (the outputs of the evaluation mode), and "<optimizer>.gathered.<buffer>" (after
torch.optim.swa_utils.update_bn over both batches). No layer before a norm has a bias: its gradient is 0 but for rounding, of
which Adam makes whole steps. At rates of 0.05 and 0.01 PyTorch's own f32 is 1e-4 away from its f64 after 100 steps, at these
2e-6.
"""
import copy
import sys

import torch
from torch import nn

from stored import save_safetensors

STEPS = 100


def norms(arrays):
    f = nn.functional
    cases = {
        "group": ((3, 4, 2, 3), (4,), lambda x, w, b: f.group_norm(x, 2, w, b, 1e-3)),
        "instance": ((3, 4, 2, 3), (4,), lambda x, w, b: f.instance_norm(x, None, None, w, b, True, 0.1, 1e-3)),
        "layer": ((3, 4, 5), (4, 5), lambda x, w, b: f.layer_norm(x, (4, 5), w, b, 1e-3)),
        "batch": ((3, 4, 2, 3), (4,), lambda x, w, b: f.batch_norm(x, None, None, w, b, True, 0.1, 1e-3)),
        "batch_rows": ((6, 4), (4,), lambda x, w, b: f.batch_norm(x, None, None, w, b, True, 0.1, 1e-3)),
    }
    for name, (shape, each, norm) in cases.items():
        x = (3 + 2 * torch.randn(*shape)).requires_grad_()
        w, b = torch.randn(*each, requires_grad=True), torch.randn(*each, requires_grad=True)
        y = norm(x, w, b)
        g = torch.randn_like(y)
        y.backward(g)
        for field, value in dict(x=x, w=w, b=b, g=g, y=y, dx=x.grad, dw=w.grad, db=b.grad).items():
            arrays[f"{name}.{field}"] = value.detach()


def state(arrays, name, net, only=""):
    for key, value in net.state_dict().items():
        if only in key and not key.endswith("num_batches_tracked"):
            arrays[f"{name}.{key}"] = value.clone()


def trainings(arrays):
    net = nn.Sequential()
    for name, layer in dict(conv1=nn.Conv2d(1, 4, 3, padding=1, bias=False), norm1=nn.BatchNorm2d(4), act1=nn.ReLU(),
                            conv2=nn.Conv2d(4, 4, 3, 2, padding=1, bias=False), norm2=nn.BatchNorm2d(4), act2=nn.ReLU(),
                            flat=nn.Flatten(), dense=nn.Linear(36, 6, bias=False), norm3=nn.BatchNorm1d(6), act3=nn.Tanh(),
                            last=nn.Linear(6, 5)).items():
        net.add_module(name, layer)
    data, target = 2 + 3 * torch.randn(32, 1, 6, 6), torch.randn(32, 5)
    arrays["data"], arrays["target"] = data, target
    state(arrays, "start", net)
    for name, make in dict(sgd=lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9),
                           adam=lambda p: torch.optim.Adam(p, lr=0.003)).items():
        trained = copy.deepcopy(net).train()
        optimizer, losses = make(trained.parameters()), []
        for step in range(STEPS):
            part = slice(step % 2 * 16, step % 2 * 16 + 16)
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(trained(data[part]), target[part])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        state(arrays, name, trained)
        arrays[f"{name}.losses"] = torch.tensor(losses)
        arrays[f"{name}.stored"] = trained.eval()(data).detach()
        torch.optim.swa_utils.update_bn([data[:16], data[16:]], trained.train())
        state(arrays, f"{name}.gathered", trained, "running")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    arrays = {}
    norms(arrays)
    trainings(arrays)
    save_safetensors(sys.argv[1], arrays, {"made_by": "norms_torch.py", "torch": torch.__version__})


main()
