#!/usr/bin/env python3
"""Writes networks_torch.safetensors: small networks of models/nets/networks.h by PyTorch, in f64.

usage: networks_torch.py OUTPUT    (torch, torchvision, diffusers, transformers; run once, the file is part of the repository)

Every number that both sides need comes from a formula of its name and place (`numbers`), so no weights are stored. Of
arrays above 4096 numbers every 31st is kept. Of each network, at x and in the direction dx, with the loss L = sum(c y):
  NETWORK.y, .code       the output and the code
  NETWORK.jvp            the derivative of y along dx
  NETWORK.dx             the gradient of L by x
  NETWORK.gradients      for each parameter in the order of its name: the inner product of its gradient with a direction from
                         the formula, and the length of its gradient
  NETWORK.stored         y with the running statistics, where there are batch norms
"""
import sys

import numpy
import torch
import torchvision
from diffusers import AutoencoderKL
from torch import nn
from transformers import ViTMAEConfig, ViTMAEForPreTraining

from stored import save_safetensors

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)
torch.backends.cuda.enable_flash_sdp(False)  # the fused attention of the CPU has no second derivative


def numbers(name, shape):
    """Numbers in [-1, 1): splitmix64 of the FNV-1a hash of the name plus the place."""
    start = 0xcbf29ce484222325
    for byte in name.encode():
        start = (start ^ byte) * 0x100000001b3 % 2**64
    count = int(numpy.prod(shape, dtype=numpy.int64))
    with numpy.errstate(over="ignore"):
        z = numpy.uint64(start) + (numpy.arange(count, dtype=numpy.uint64) + numpy.uint64(1)) * numpy.uint64(0x9e3779b97f4a7c15)
        z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xbf58476d1ce4e5b9)
        z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94d049bb133111eb)
        z ^= z >> numpy.uint64(31)
    return torch.from_numpy(((z >> numpy.uint64(11)).astype(numpy.float64) * 2.0**-52 - 1).reshape(shape))


def parameter(name, shape):
    """Weights with the variance 1 / (inputs of a unit), scales and variances about 1, the rest about 0."""
    if name.endswith(("mask_token", "position_embeddings", "pos_embed")):
        return None
    if len(shape) > 1:
        return numbers(name, shape) * numpy.sqrt(3 / numpy.prod(shape[1:]))
    if name.endswith((".weight", "running_var")):
        return 1 + 0.3 * numbers(name, shape)
    return 0.3 * numbers(name, shape)


def fill(module):
    for name, tensor in list(module.named_parameters()) + list(module.named_buffers()):
        if tensor.is_floating_point() and (values := parameter(name, tuple(tensor.shape))) is not None:
            tensor.data.copy_(values)


class Resnet9(nn.Module):
    def __init__(self, width, classes):
        super().__init__()

        def unit(inputs, outputs):
            layers = {"conv": nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), "norm": nn.BatchNorm2d(outputs), "relu": nn.ReLU()}
            module = nn.Sequential()
            for name, layer in layers.items():
                module.add_module(name, layer)
            return module

        w = width
        self.prep, self.layer1, self.layer2, self.layer3 = unit(3, w), unit(w, 2 * w), unit(2 * w, 4 * w), unit(4 * w, 8 * w)
        self.residual1 = nn.Sequential(unit(2 * w, 2 * w), unit(2 * w, 2 * w))
        self.residual3 = nn.Sequential(unit(8 * w, 8 * w), unit(8 * w, 8 * w))
        self.head = nn.Linear(8 * w, classes)
        self.pool = nn.MaxPool2d(2)

    def forward(self, x):
        h = self.pool(self.layer1(self.prep(x)))
        h = h + self.residual1(h)
        h = self.pool(self.layer3(self.pool(self.layer2(h))))
        h = h + self.residual3(h)
        y = self.head(h.amax(dim=(2, 3)))
        return y, y


class Block(nn.Module):
    def __init__(self, inputs, channels, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, channels, 3, stride, 1, bias=False), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels)
        self.downsample = nn.Identity()
        if stride != 1 or inputs != channels:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x):
        h = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(h)) + self.downsample(x))


class Mirrored(nn.Module):
    def __init__(self, inputs, channels, stride):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(inputs), nn.Conv2d(inputs, inputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(inputs)
        self.conv2 = nn.Conv2d(inputs, channels, 3, 1, 1, bias=False)
        self.upsample = nn.Identity()
        if stride == 2:
            self.conv2 = nn.ConvTranspose2d(inputs, channels, 3, 2, 1, 1, bias=False)
            self.upsample = nn.ConvTranspose2d(inputs, channels, 1, 2, 0, 1, bias=False)

    def forward(self, x):
        h = self.conv1(torch.relu(self.bn1(x)))
        return self.conv2(torch.relu(self.bn2(h))) + self.upsample(x)


DEPTHS = (3, 4, 6, 3)


class Resnet34(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width)
        inputs = width
        for stage, depth in enumerate(DEPTHS):
            channels = width << stage
            blocks = []
            for block in range(depth):
                blocks.append(Block(inputs, channels, 2 if stage > 0 and block == 0 else 1))
                inputs = channels
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))

    def forward(self, x):
        h = nn.functional.max_pool2d(torch.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        return self.layer4(self.layer3(self.layer2(self.layer1(h))))


class Decoder(nn.Module):
    def __init__(self, width, code, sides):
        super().__init__()
        self.shape = (8 * width, *sides)
        self.head = nn.Linear(code, int(numpy.prod(self.shape)))
        for stage in reversed(range(4)):
            blocks = {}
            for block in reversed(range(DEPTHS[stage])):
                stride = 2 if stage > 0 and block == 0 else 1
                blocks[str(block)] = Mirrored(width << stage, width << (stage - 1) if stride == 2 else width << stage, stride)
            self.add_module(f"layer{stage + 1}", nn.ModuleDict(blocks))
        self.up, self.bn1 = nn.ConvTranspose2d(width, width, 3, 2, 1, 1, bias=False), nn.BatchNorm2d(width)
        self.conv1 = nn.ConvTranspose2d(width, 3, 7, 2, 3, 1)

    def forward(self, z):
        h = self.head(z).reshape(-1, *self.shape)
        for stage in reversed(range(4)):
            for block in getattr(self, f"layer{stage + 1}").values():
                h = block(h)
        return torch.sigmoid(self.conv1(torch.relu(self.bn1(self.up(h)))))


class Resnet34Autoencoder(Resnet34):
    def __init__(self, width, code, sides):
        super().__init__(width)
        self.encoder = nn.Module()
        self.encoder.head = nn.Linear(8 * width * sides[0] * sides[1], code)
        self.decoder = Decoder(width, code, sides)

    def forward(self, x):
        code = self.encoder.head(super().forward(x).flatten(1))
        return self.decoder(code), code


class Kl(AutoencoderKL):
    def forward(self, x):
        code = self.encode(x).latent_dist.mean
        return self.decode(code).sample, code


class Mae(ViTMAEForPreTraining):
    def forward(self, x):
        order = torch.arange(self.vit.embeddings.num_patches).repeat(len(x), 1) / 1e3
        out = self.vit(x, noise=order)
        logits = self.decoder(out.last_hidden_state, out.ids_restore).logits
        return self.unpatchify(logits), out.last_hidden_state


def exact_positions(table):
    """transformers rounds the table of positions to f32; sines and cosines of column and row in f64 instead."""
    width, side = table.shape[-1], int((table.shape[1] - 1) ** 0.5)
    places = numpy.stack(numpy.meshgrid(numpy.arange(side), numpy.arange(side))).reshape(2, -1, 1)  # column, row
    angles = places * 10000.0 ** (-numpy.arange(width // 4) / (width // 4))
    exact = numpy.concatenate([numpy.sin(angles[0]), numpy.cos(angles[0]), numpy.sin(angles[1]), numpy.cos(angles[1])], axis=1)
    exact = torch.from_numpy(numpy.concatenate([numpy.zeros((1, width)), exact])[None])
    assert (exact - table).abs().max() < 1e-6, "not the table of transformers"
    table.data.copy_(exact)


def check_resnet34():
    """The blocks above are torchvision's."""
    ours, theirs = Resnet34(64).train(), torchvision.models.resnet34().train()
    fill(ours)
    theirs.fc = nn.Identity()
    theirs.avgpool = nn.Identity()
    theirs.load_state_dict(ours.state_dict())
    x = numbers("x", (2, 3, 64, 64))
    assert torch.equal(ours(x).flatten(1), theirs(x)), "not torchvision's ResNet-34"


def measured(name, module, shape):
    module.double().train()
    fill(module)
    x, direction = numbers("x", shape).requires_grad_(), numbers("dx", shape)
    parameters = {n: p for n, p in module.named_parameters() if p.requires_grad}
    y, code = module(x)
    weights = numbers("c", y.shape).requires_grad_()
    ours = sorted(n for n in parameters if not n.endswith("mask_token"))
    gradients = torch.autograd.grad((weights * y).sum(), [x] + [parameters[n] for n in ours], create_graph=True)
    # L is linear in c: the derivative by c of its derivative along dx is that of y
    along = torch.autograd.grad((gradients[0] * direction).sum(), weights, retain_graph=True)[0]
    out = {"y": y, "code": code, "jvp": along, "dx": gradients[0]}
    out["gradients"] = torch.stack([torch.stack([(g * numbers("direction of " + n, g.shape)).sum(), g.norm()])
                                    for n, g in zip(ours, gradients[1:])])
    if any(isinstance(m, nn.BatchNorm2d) for m in module.modules()):
        fill(module)
        out["stored"] = module.eval()(x)[0]
    kept = {key: value.detach() if value.numel() <= 4096 else value.detach().flatten()[::31] for key, value in out.items()}
    return {f"{name}.{key}": value for key, value in kept.items()}


def main():
    check_resnet34()
    results = {}
    results |= measured("resnet9", Resnet9(4, 10), (3, 3, 16, 16))
    results |= measured("resnet34_autoencoder", Resnet34Autoencoder(2, 6, (2, 2)), (3, 3, 64, 64))
    kl = Kl(block_out_channels=(8, 16), down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
            layers_per_block=1, latent_channels=2, norm_num_groups=4)
    results |= measured("autoencoder_kl", kl, (2, 3, 8, 8))
    mae = Mae(ViTMAEConfig(image_size=16, patch_size=4, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                           intermediate_size=32, decoder_hidden_size=8, decoder_num_hidden_layers=2, decoder_num_attention_heads=2,
                           decoder_intermediate_size=16, mask_ratio=0.0, attn_implementation="eager"))
    exact_positions(mae.vit.embeddings.position_embeddings)
    exact_positions(mae.decoder.decoder_pos_embed)
    results |= measured("vit_mae", mae, (2, 3, 16, 16))
    save_safetensors(sys.argv[1], dict(sorted(results.items())), {"torch": torch.__version__})
    for key, value in sorted(results.items()):
        print(key, list(value.shape), float(value.abs().max()))


main()
