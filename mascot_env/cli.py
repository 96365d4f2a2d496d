"""The console script `mascot`.

Exit codes: 0; 1 where what was asked for did not work out (each subcommand's `--help` says when); 2 for a wrong argument or a
`MascotError`, which is one line on stderr; 70 for any other error, with its traceback; 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import traceback
from collections.abc import Sequence

from mascot_env.commands import chat, doctor, envs, export, judge, options, play, show
from mascot_env.errors import FAULT, MascotError
from mascot_env.version import VERSION

COMMANDS = {
    "envs": (envs, "list the environments"),
    "play": (play, "play conversations between named players"),
    "chat": (chat, "sit in as the user"),
    "export": (export, "conversations that were kept as a data set"),
    "judge": (judge, "hold a judge against people's ratings"),
    "doctor": (doctor, "check this installation"),
}


def parser() -> argparse.ArgumentParser:
    """The parser of all subcommands."""
    top = argparse.ArgumentParser(
        prog="mascot",
        description="Reinforcement-learning environments for companion teams of language models.",
        epilog="examples:\n  mascot doctor\n  mascot play --domain support --seed 7\n  mascot COMMAND --help",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"mascot_env {VERSION}")
    subparsers = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (module, text) in COMMANDS.items():
        sub = subparsers.add_parser(
            name,
            help=text,
            description=(module.__doc__ or "").split(": ", 1)[-1],
            epilog=module.EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        options.add(sub, module.Config)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a subcommand; gives the exit code."""
    args = parser().parse_args(argv)
    module = COMMANDS[args.command][0]
    _tolerate()
    try:
        code = module.run(options.read(args, module.Config))
        sys.stdout.flush()
    except MascotError as error:
        show.error_line(str(error))
        return 2
    except KeyboardInterrupt:
        show.error_line("interrupted")
        return 130
    except BrokenPipeError:  # the reader, for example `head`, has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # noqa: BLE001 - told as it is, with an exit code that is no result's: 1 means that nothing could be scored
        traceback.print_exc()
        show.error_line(f"this is a fault of the program or of a player of your own, and no result ({type(error).__name__})")
        return FAULT
    return code


def _tolerate() -> None:
    """Text that the terminal's encoding lacks is escaped, and input that is not text is replaced; neither ends a conversation."""
    for stream, errors in ((sys.stdout, "backslashreplace"), (sys.stdin, "replace")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=errors)


if __name__ == "__main__":
    sys.exit(main())
