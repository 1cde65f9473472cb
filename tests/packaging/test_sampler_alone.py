"""A sampler needs nothing of the benchmark: it is a torch optimiser in anybody's loop."""

from __future__ import annotations

import subprocess
import sys


def test_psgld_in_a_plain_loop():
    import torch
    from torch import nn

    from bnnbench.samplers import PSGLD

    torch.manual_seed(0)
    x = torch.randn(200, 3)
    y = x @ torch.tensor([[1.0], [-2.0], [0.5]]) + 0.1 * torch.randn(200, 1)
    network = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
    sampler = PSGLD(network.parameters(), lr=1e-3, num_data=len(x), weight_decay=1 / len(x))
    mean, members = torch.zeros_like(y), 0
    for step in range(600):
        batch = torch.randint(len(x), (50,))
        loss = (network(x[batch]) - y[batch]).square().mean() / 2  # mean negative log-likelihood, unit noise
        sampler.zero_grad()
        loss.backward()
        sampler.step()
        if step >= 400 and step % 20 == 0:
            members += 1
            mean += (network(x).detach() - mean) / members
    assert (mean - y).square().mean() < 0.1 * y.var()


def test_the_samplers_load_neither_the_command_line_nor_the_data():
    code = (
        "import sys; from bnnbench.samplers import PSGLD, SGLD\n"
        "print([m for m in ('hydra', 'typer', 'pandas', 'sklearn', 'matplotlib', 'torchvision') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
