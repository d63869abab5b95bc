"""How fast actions are drawn on a processor, against the published sampler re-stated, side by side in one run.

    python benchmarks/policy_speed.py --threads 2 --rounds 7

One chunk of 16 x 192 numbers, DiT-B, ten DDIM steps, guidance 5: the published sampler (`official_sampler.py`) and the
routes of `vitra_lib.policy.fast` take turns; a ratio is the median over the rounds of "published over ours", of
processor time and of wall time. Errors are against the published sampler's numbers. Then eight samples of one image in
one call against eight calls. The peaks of large matrix products are measured before and after, because the ratios live
on them: the published arithmetic goes through MKL in float32, the fast routes through oneDNN, and what a busy
machine leaves of the second differs.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported

import torch  # noqa: E402
from official_sampler import OfficialSampler  # noqa: E402
from torch import Tensor  # noqa: E402

from vitra_lib.policy.config import BackboneConfig, DenoiserConfig, PolicyConfig, SamplingConfig  # noqa: E402
from vitra_lib.policy.denoiser import Denoiser  # noqa: E402
from vitra_lib.policy.diffusion import sample_actions  # noqa: E402
from vitra_lib.policy.fast import FastDenoiser, optimised  # noqa: E402
from vitra_lib.policy.policy import Policy, PolicyInputs  # noqa: E402
from vitra_lib.runs.records import write_figures_record  # noqa: E402

RIGHT = slice(51, 102)


class Figure(NamedTuple):
    """One value of the record."""

    name: str
    value: float
    unit: str
    n: int
    ci95: None = None


def awake(module: torch.nn.Module) -> torch.nn.Module:
    """New weights predict nothing; small random numbers on top make every one of them count."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return module.eval()


def part_mask(*shape: int) -> Tensor:
    """True at the right hand."""
    mask = torch.zeros(shape, dtype=torch.bool)
    mask[..., RIGHT] = True
    return mask


def alternating(calls: dict[str, Callable[[], object]], rounds: int) -> tuple[dict[str, list], dict[str, list]]:
    """Processor and wall seconds of every call, taking turns; the first turn is not counted."""
    cpu: dict[str, list] = {name: [] for name in calls}
    wall: dict[str, list] = {name: [] for name in calls}
    for index in range(rounds + 1):
        for name, call in calls.items():
            began = time.process_time(), time.perf_counter()
            call()
            if index:
                cpu[name].append(time.process_time() - began[0])
                wall[name].append(time.perf_counter() - began[1])
    return cpu, wall


def ratio(seconds: dict[str, list], slow: str, fast: str) -> float:
    """Median over the rounds of slow over fast."""
    return statistics.median(a / b for a, b in zip(seconds[slow], seconds[fast], strict=True))


def peaks() -> dict[str, float]:
    """Operations per second of large products, by the library that computes them [GFLOP/s]."""
    found = {}
    for name, dtype, setting in (
        ("float32, MKL", torch.float32, "none"),
        ("float32, oneDNN", torch.float32, "bf16"),
        ("bfloat16, oneDNN", torch.bfloat16, "none"),
    ):
        torch.backends.mkldnn.matmul.fp32_precision = setting
        a, b = (torch.randn(1024, 1024).to(dtype) for _ in range(2))
        seconds = []
        for _ in range(6):
            began = time.perf_counter()
            a @ b
            seconds.append(time.perf_counter() - began)
        found[name] = 2 * 1024**3 / min(seconds) / 1e9
    torch.backends.mkldnn.matmul.fp32_precision = "none"
    return found


@torch.no_grad()
def compare_routes(routes: list[str], rounds: int) -> list[Figure]:
    """One chunk by the published sampler and by every route."""
    denoiser = awake(Denoiser(DenoiserConfig.of_size("B", 2304)))
    mask = part_mask(1, 16, 192)
    inputs = (torch.randn(1, 2304), torch.randn(1, 212), part_mask(1, 212), mask, torch.randn(1, 16, 192))
    official, config = OfficialSampler(denoiser), SamplingConfig(10, 5.0)
    calls: dict[str, Callable[[], Tensor]] = {"published": lambda: official(*inputs)}
    for route in routes:
        network = denoiser if route == "exact" else FastDenoiser(denoiser, route)
        calls[route] = lambda network=network: sample_actions(network, *inputs, config)
    drawn = {name: call()[mask] for name, call in calls.items()}
    cpu, wall = alternating(calls, rounds)
    spread = float(drawn["published"].std())
    figures = []
    print(f"  spread of the drawn numbers {spread:.2f}")
    print("  route      processor ms  ratio   wall ms  ratio  largest error  mean error")
    for name in calls:
        error = (drawn[name] - drawn["published"]).abs()
        times, by_wall = ratio(cpu, "published", name), ratio(wall, "published", name)
        largest, mean = float(error.max()) / spread, float(error.mean()) / spread
        print(
            f"  {name:10s} {1e3 * statistics.median(cpu[name]):12.0f}  {times:5.2f}  "
            f"{1e3 * statistics.median(wall[name]):8.0f}  {by_wall:5.2f}  {largest:13.1e}  {mean:10.1e}",
            flush=True,
        )
        figures += [
            Figure(f"{name}, processor time", statistics.median(cpu[name]), "s", rounds),
            Figure(f"{name}, wall time", statistics.median(wall[name]), "s", rounds),
            Figure(f"{name}, published over this, processor time", times, "ratio", rounds),
            Figure(f"{name}, published over this, wall time", by_wall, "ratio", rounds),
            Figure(f"{name}, largest error over the spread of the numbers", largest, "1", int(mask.sum())),
            Figure(f"{name}, mean error over the spread of the numbers", mean, "1", int(mask.sum())),
        ]
    return figures


def policies() -> dict[str, Policy]:
    """The profile small, and the published widths with 4 of 27 and 4 of 26 layers and DiT-B."""
    small = PolicyConfig.of_profile("small", 1100, 1099)
    tower = replace(BackboneConfig.paper(), vision_depth=4, depth=4, vocabulary=1100, image_token_id=1099)
    cut = PolicyConfig("cut", tower, DenoiserConfig.of_size("B", tower.width))
    return {"small": awake(Policy(small)), "published widths, 8 of 53 layers": awake(Policy(cut))}


@torch.no_grad()
def compare_samples(rounds: int, route: str) -> list[Figure]:
    """Eight samples of one image in one call against eight calls."""
    figures = []
    print(f"  eight samples of one image, route {route}")
    for name, policy in policies().items():
        policy, config = optimised(policy, route), policy.config.backbone
        ids = torch.cat([torch.full((1, config.image_tokens), config.image_token_id), torch.arange(3, 15)[None]], 1)
        image = torch.rand(1, 3, config.image_size_px, config.image_size_px) * 2 - 1
        inputs = PolicyInputs(
            ids, torch.ones_like(ids), image, torch.ones(1, 2), torch.randn(1, 212), part_mask(1, 212)
        )
        mask = part_mask(1, 16, 192)
        calls = {
            "eight calls": lambda p=policy, i=inputs, m=mask: [
                p.predict(i, m, SamplingConfig(seed=k)) for k in range(8)
            ],
            "one call": lambda p=policy, i=inputs, m=mask: p.predict(i, m, SamplingConfig(samples=8)),
        }
        cpu, wall = alternating(calls, rounds)
        times, by_wall = ratio(cpu, "eight calls", "one call"), ratio(wall, "eight calls", "one call")
        one, eight = (statistics.median(cpu[key]) for key in ("one call", "eight calls"))
        print(f"  {name:34s} {eight:6.2f} s against {one:6.2f} s: {times:.2f} times (wall {by_wall:.2f})", flush=True)
        what = f"eight calls over one with eight samples, {name}"
        figures.append(Figure(f"{what}, processor time", times, "ratio", rounds))
        figures.append(Figure(f"{what}, wall time", by_wall, "ratio", rounds))
    return figures


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    parser.add_argument("--rounds", type=int, default=7, help="turns of every route")
    parser.add_argument("--sample-rounds", type=int, default=3, help="turns of the comparison with eight samples")
    parser.add_argument("--routes", nargs="+", default=["exact", "fp32", "bf16", "compiled"], help="routes to compare")
    parser.add_argument("--records", type=Path, default=Path("results/records"), help="folder for the record")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    before, load = peaks(), os.getloadavg()[0]
    print("  peaks, GFLOP/s: " + ", ".join(f"{name} {value:.0f}" for name, value in before.items()), flush=True)
    figures = compare_routes(args.routes, args.rounds)
    after = peaks()
    print("  peaks, GFLOP/s: " + ", ".join(f"{name} {value:.0f}" for name, value in after.items()), flush=True)
    for when, found in (("before", before), ("after", after)):
        figures += [
            Figure(f"peak of large products, {key}, {when}", value, "GFLOP/s", 6) for key, value in found.items()
        ]
    parameters = {
        "threads": args.threads,
        "rounds": args.rounds,
        "sample_rounds": args.sample_rounds,
        "routes": args.routes,
        "OMP_WAIT_POLICY": os.environ["OMP_WAIT_POLICY"],
        "load_at_start": load,
    }
    path = write_figures_record("policy_speed", figures, parameters, {}, args.records)
    if args.sample_rounds:  # the longer part; what is known so far is kept if it is interrupted
        figures += compare_samples(args.sample_rounds, "exact")
        path = write_figures_record("policy_speed", figures, parameters, {}, args.records)
    print(f"  -> {path}")


if __name__ == "__main__":
    main()
