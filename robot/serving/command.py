"""`vitra serve --checkpoint DIR`: answer robots over a websocket, in the protocol of openpi's clients.

Only this machine is listened to unless --allow-network is said, and then a key is needed: it is read from the
environment variable that --api-key-env names. The traffic is not encrypted: between machines, use a tunnel.
"""

import argparse
from pathlib import Path

NAME = "serve"
HELP = "serve a policy to robots over a websocket (openpi's protocol)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--checkpoint", type=Path, help="checkpoint folder of a policy")
    what.add_argument("--echo", action="store_true", help="no policy: send back the state, to measure the transport")
    parser.add_argument(
        "--actions", choices=("auto", "hand", "xhand"), default="auto",
        help="steps of human hands (16, 102) or of XHands (16, 36); auto: as the checkpoint's statistics are",
    )  # fmt: skip
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on; 0 = any free one")
    parser.add_argument("--allow-network", action="store_true", help="let other machines reach it; needs a key")
    parser.add_argument("--api-key-env", default=None, metavar="NAME", help="environment variable that holds the key")
    parser.add_argument("--steps", type=int, default=10, help="diffusion steps")
    parser.add_argument("--guidance", type=float, default=5.0, help="classifier-free guidance; 1 = none")
    parser.add_argument("--seed", type=int, default=0, help="of requests that give none")
    parser.add_argument("--statistics", type=Path, default=None, help="statistics file (default: the checkpoint's own)")
    parser.add_argument("--tokenizer", type=Path, default=None, help="PaliGemma folder whose tokenizer is used")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--largest-batch", type=int, default=8, help="requests that share one call of the policy")
    parser.add_argument("--window-ms", type=float, default=3.0, help="how long a request waits for company [ms]")
    parser.add_argument("--deadline-s", type=float, default=30.0, help="age at which an answer is worthless [s]")
    parser.add_argument("--connections", type=int, default=256, help="clients at a time")
    parser.add_argument("--show-tracebacks", action="store_true", help="tell clients why the policy failed; to debug")


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted."""
    try:
        import websockets  # noqa: F401
    except ImportError:
        from vitra_lib.core.errors import MissingAsset

        raise MissingAsset("The policy server needs the package websockets: `pip install websockets`.") from None
    from robot.serving.batching import BatchingConfig
    from robot.serving.server import PolicyServer, ServerConfig, run_server
    from vitra_lib.core.environment import server_key

    config = ServerConfig(
        host=args.host,
        port=args.port,
        api_key=None if args.api_key_env is None else server_key(args.api_key_env),
        allows_network=args.allow_network,
        batching=BatchingConfig(args.largest_batch, 1e-3 * args.window_ms),
        connections=args.connections,
        deadline_s=args.deadline_s,
        shows_traces=args.show_tracebacks,
    )

    def announce(server: PolicyServer) -> None:
        print(f"serving on ws://{args.host}:{server.port}", flush=True)

    run_server(_policy(args), config, announce)
    return 0


def _policy(args: argparse.Namespace):
    """What is asked for."""
    if args.echo:
        from robot.serving.policies import EchoPolicy

        return EchoPolicy()
    from robot.serving.hand_policy import PolicyFiles, open_policy
    from vitra_lib.core.devices import choose_device
    from vitra_lib.policy.config import SamplingConfig

    sampling = SamplingConfig(args.steps, args.guidance, seed=args.seed)
    files = PolicyFiles(args.checkpoint, args.actions, args.statistics, args.tokenizer)
    return open_policy(files, choose_device(args.device), sampling)
