"""Optimisers without torch's compiler: the same steps, hooks, schedulers and copies, and the compiler where it is."""

from __future__ import annotations

import subprocess
import sys

import torch
from torch.optim import Optimizer

from bnnbench.inference.method import TORCH_RULES
from bnnbench.inference.spared_compiler import spare_compiler

# In a process of its own: in this one another test may have loaded the compiler.
CODE = """
import copy, sys
import torch
from bnnbench.inference.method import TORCH_RULES, optimizer_class

def trained(rule):
    torch.manual_seed(0)
    parameter = torch.nn.Parameter(torch.randn(5))
    optimizer = rule([parameter], lr=0.1)
    heard = []
    optimizer.register_step_pre_hook(lambda *_: heard.append("before"))
    optimizer.register_step_post_hook(lambda *_: heard.append("after"))
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2)
    for step in range(4):
        if step == 2:
            state, optimizer = optimizer.state_dict(), rule([parameter], lr=0.1)
            optimizer.load_state_dict(copy.deepcopy(state))
        optimizer.zero_grad()
        (parameter ** 4).sum().backward()
        optimizer.step()
        if step < 2:
            scheduler.step()
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.zeros(1))]})
    assert heard == ["before", "after"] * 2, heard
    assert torch.is_grad_enabled() and abs(optimizer.param_groups[0]["lr"] - 0.01) < 1e-9
    return parameter.tolist()

spared = {name: trained(rule) for name, rule in TORCH_RULES.items()}
assert "torch._dynamo" not in sys.modules
import torch._dynamo
for name, rule in TORCH_RULES.items():
    assert trained(rule) == spared[name], name
    compiled = torch.compile(lambda x: x + 1, backend="eager")
assert compiled(torch.ones(1)).item() == 2
"""


def test_steps_hooks_schedulers_and_states_with_and_without_the_compiler() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def test_sparing_again_changes_nothing() -> None:
    before = [rule.step for rule in TORCH_RULES.values()]
    spare_compiler(TORCH_RULES.values())
    assert [rule.step for rule in TORCH_RULES.values()] == before


def test_a_rule_without_torchs_wrapper_is_left_as_it_is() -> None:
    class Plain(Optimizer):
        @torch.no_grad()
        def step(self, closure: object = None) -> None:  # type: ignore[override]
            """Do nothing."""

    class Inherits(Plain):
        pass

    before = Plain.step
    spare_compiler([Plain, Inherits])
    assert Plain.step is before
    assert "step" not in vars(Inherits)
