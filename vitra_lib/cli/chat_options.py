"""Options of every verb that may ask a chat endpoint; the key is never among them."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vitra_lib.captioning import ChatConfig


def add_chat_options(parser: argparse.ArgumentParser) -> None:
    """Address, limits and privacy."""
    group = parser.add_argument_group("chat endpoint (for openai:<model>; the key comes from OPENAI_API_KEY alone)")
    group.add_argument("--endpoint", default=None, help="base URL; default: OPENAI_BASE_URL, or OpenAI's own")
    group.add_argument("--concurrency", type=int, default=8, help="requests in flight at once")
    group.add_argument("--timeout", type=float, default=60.0, help="longest one request may take [s]")
    group.add_argument("--max-requests", type=int, default=None, help="no more requests than this, tries included")
    group.add_argument("--max-tokens", type=int, default=None, help="no more estimated tokens than this in all")
    group.add_argument(
        "--blur-sent", default="external", help="blur faces in frames that are sent: external (default), always, never"
    )


def chat_config(args: argparse.Namespace) -> "ChatConfig":
    """The options as a `ChatConfig`."""
    from vitra_lib.captioning import ChatConfig

    return ChatConfig(
        base_url=args.endpoint,
        concurrency=args.concurrency,
        timeout_s=args.timeout,
        max_requests=args.max_requests,
        max_tokens=args.max_tokens,
        anonymise=args.blur_sent,
    )


def check_captioner(args: argparse.Namespace) -> None:
    """An endpoint needs the name of a model.

    Raises:
        BadInput: --endpoint without an openai:<model>.
    """
    from vitra_lib.core.errors import BadInput

    if args.endpoint and not args.captioner.startswith("openai:"):
        raise BadInput(
            f"--endpoint needs the name of a model there: --captioner openai:<model>, not {args.captioner!r}."
        )
