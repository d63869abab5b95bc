"""The frame of the command `vitra`: finds the verbs, runs one, and turns errors into one sentence and an exit code."""

import argparse
import errno
import importlib
import logging
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import NoReturn

from vitra_lib import __version__
from vitra_lib.cli import VERBS
from vitra_lib.core.devices import settle_threads
from vitra_lib.core.errors import VitraError

EXIT_INTERRUPTED = 130
EXIT_NO_RESOURCES = 3


class Parser(argparse.ArgumentParser):
    """An argument parser that complains in one line."""

    def error(self, message: str) -> NoReturn:
        """Print the complaint and leave with the exit code of bad input."""
        _complain(f"{message}. See `{self.prog} --help`.")
        raise SystemExit(VitraError.exit_code)


def verbs() -> tuple[ModuleType, ...]:
    """The modules of all verbs, in the order of the help page."""
    return tuple(importlib.import_module(f"vitra_lib.cli.{name}") for name in VERBS)


def make_parser() -> argparse.ArgumentParser:
    """The parser of the whole command."""
    parser = Parser(prog="vitra", description="From raw videos of human hands to VITRA-compatible episodes.")
    parser.add_argument("--version", action="version", version=f"vitra-lab {__version__}")
    parser.add_argument("-v", "--verbose", action="store_true", help="say more on the way")
    commands = parser.add_subparsers(title="verbs", dest="verb", metavar="VERB", required=True)
    for module in verbs():
        command = commands.add_parser(module.NAME, help=module.HELP, description=module.__doc__)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb.

    Args:
        arguments: the words after `vitra`; those of the process when None.

    Returns:
        Exit code: 0 done; 1 a check found something; 2 bad input; 3 out of memory or disk; 130 interrupted.
    """
    settle_threads()
    try:
        args = make_parser().parse_args(arguments)
        logging.basicConfig(level=logging.INFO if args.verbose else logging.WARNING, format="%(name)s: %(message)s")
        return args.run(args)
    except VitraError as error:
        _complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        _complain("interrupted; nothing half-written is left, and the same command starts again.")
        return EXIT_INTERRUPTED
    except MemoryError:
        _complain("out of memory; close other programs, or give a shorter or smaller video.")
        return EXIT_NO_RESOURCES
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader, `head` say, has left
        return 0
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        _complain("the disk is full; free some space and run the same command again.")
        return EXIT_NO_RESOURCES


def _complain(message: str) -> None:
    """One line on standard error."""
    print(f"vitra: {' '.join(message.split())}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
