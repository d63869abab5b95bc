"""The faster routes draw what the exact one draws, within what they promise, and leave the policy as it was."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from policy_makers import denoiser_inputs, golden_denoiser, mask_of, tiny_inputs, tiny_policy, wave

from vitra_lib.core.errors import MissingAsset, UnknownName
from vitra_lib.policy.config import SamplingConfig
from vitra_lib.policy.denoiser import Denoiser
from vitra_lib.policy.diffusion import sample_actions
from vitra_lib.policy.fast import ROUTES, FastDenoiser, optimised

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def drawn(denoiser: Denoiser) -> torch.Tensor:
    """Ten guided steps from deterministic noise."""
    inputs = {name: value for name, value in denoiser_inputs().items() if name not in ("noisy", "timestep")}
    with torch.no_grad():
        return sample_actions(denoiser, **inputs, noise=wave((2, 16, 192), 0.05), config=SamplingConfig())


def share_off(a: torch.Tensor, b: torch.Tensor) -> float:
    """Mean difference over mean size, where there is something."""
    return float((a - b).abs().sum() / b.abs().sum())


def test_float32_draws_the_same_numbers_and_bfloat16_nearly() -> None:
    denoiser = golden_denoiser()
    exact = drawn(denoiser)
    # A processor with bfloat16 tiles may round in the route "fp32", as its description says.
    rounds = "amx" in torch.backends.cpu.get_cpu_capability().lower() or torch.cpu._is_amx_tile_supported()
    assert share_off(drawn(FastDenoiser(denoiser, "fp32")), exact) < (0.05 if rounds else 1e-5)
    half = share_off(drawn(FastDenoiser(denoiser, "bf16")), exact)
    assert 1e-4 < half < 0.05  # really in bfloat16, and not worse than that
    assert torch.equal(drawn(denoiser), exact)  # the original is what it was
    assert torch.backends.mkldnn.matmul.fp32_precision == "none"


def test_the_yardstick_of_the_benchmark_is_the_same_sampler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from official_sampler import OfficialSampler

    denoiser = golden_denoiser()
    inputs = {name: value for name, value in denoiser_inputs().items() if name not in ("noisy", "timestep")}
    theirs = OfficialSampler(denoiser)(**inputs, noise=wave((2, 16, 192), 0.05))
    torch.testing.assert_close(drawn(denoiser), theirs, rtol=1e-4, atol=1e-4)
    assert (theirs - drawn(golden_denoiser(is_causal=False))).abs().max() > 0.1  # the control


@pytest.mark.parametrize("route", ["exact", "fp32", "bf16"])
def test_a_policy_predicts_by_every_route(route: str) -> None:
    policy = tiny_policy()
    inputs, mask = tiny_inputs(policy), mask_of((2, 16, 192), 51, 102)
    sampling = SamplingConfig(5, 2.0, samples=3)
    exact = policy.predict(inputs, mask, sampling)
    fast = optimised(policy, route)
    out = fast.predict(inputs, mask, sampling)
    assert out.shape == (2, 3, 16, 192) and out.dtype == torch.float32
    assert share_off(out, exact) < 0.1
    assert policy.state_dict()["backbone.cognition_token"].dtype == torch.float32
    assert (fast is policy) == (route == "exact")


def test_unknown_routes_and_a_missing_compiler_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownName, match=f"legal are {', '.join(ROUTES)}"):
        optimised(tiny_policy(), "int4")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(MissingAsset, match='"compiled" needs a C\\+\\+ compiler'):
        optimised(tiny_policy(), "compiled")


_COMPILED = """
import torch
from policy_makers import mask_of, tiny_inputs, tiny_policy
from vitra_lib.policy.config import SamplingConfig
from vitra_lib.policy.fast import optimised
policy = tiny_policy()
inputs, mask, sampling = tiny_inputs(policy), mask_of((2, 16, 192), 51, 102), SamplingConfig(2, 2.0)
half = optimised(policy, "bf16").predict(inputs, mask, sampling)
out = optimised(policy, "compiled").predict(inputs, mask, sampling)
from torch._dynamo.utils import counters
assert counters["stats"]["unique_graphs"] >= 1
print(float((out - half).abs().sum() / half.abs().sum()))
"""


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_the_compiled_route_draws_what_bfloat16_draws(tmp_path: Path) -> None:
    """In a process of its own: what is compiled must not be wrapped by the tests' type checks."""
    import os

    folders = os.pathsep.join(str(folder) for folder in (Path(__file__).parents[1], Path(__file__).parent))
    env = os.environ | {"PYTHONPATH": folders, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", _COMPILED], env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert float(done.stdout.split()[-1]) < 0.05
