# SPDX-License-Identifier: GPL-2.0-only
"""The command line. Every error is one line and exit status 1, never a traceback."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from vmabench import __version__
from vmabench.errors import UsageError, VmabenchError


def _names(text: str) -> list[str]:
    """``a,b`` as a list; an empty name is a mistake."""
    names = text.split(",")
    if not all(names):
        raise argparse.ArgumentTypeError(f"an empty name in {text!r}")
    return names


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line and exit status 1, as those of the commands are."""

    def error(self, message: str) -> None:  # type: ignore[override]
        raise UsageError(f"{message} (see {self.prog} --help)")


def build_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="vmabench",
        description="When does cloning a mapping beat copying it or sharing it, and what does "
        "it cost?",
    )
    parser.add_argument("--version", action="version", version=f"vmabench {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    doctor = commands.add_parser("doctor", help="what can run here and what can't, by trying it")
    doctor.add_argument("--json", action="store_true", help="for programs")

    listing = commands.add_parser("list", help="what exists, one line each")
    listing.add_argument("what", choices=["mechanisms", "scenarios", "pages", "plans"])
    listing.add_argument("--json", action="store_true", help="for programs")

    run = commands.add_parser("run", help="measure a plan and write one result directory")
    run.add_argument(
        "plan",
        nargs="?",
        default="quick",
        help="a name from `list plans`, or a file that ends in .toml (default: quick)",
    )
    run.add_argument(
        "-o", "--output", metavar="DIR", help="a new directory (default: below results/)"
    )
    for axis in ("mechanism", "scenario", "page", "size"):
        run.add_argument(
            f"--{axis}",
            type=_names,
            default=[],
            metavar="NAME,..",
            help=f"replaces the plan's {axis} axis",
        )
    run.add_argument("--budget", metavar="TIME", help="at most this long, as in 90s or 15m")
    run.add_argument("--seed", type=int, help="of the data and of the order of the cases")

    report = commands.add_parser("report", help="a report from the stored data alone")
    report.add_argument("directory", metavar="DIR")
    report.add_argument("--format", choices=["text"], default="text")
    report.add_argument("-o", "--output", metavar="FILE", help="a new file (default: the terminal)")

    export = commands.add_parser("export", help="the data for other programs")
    export.add_argument("directory", metavar="DIR")
    export.add_argument("--format", choices=["csv", "pyperf"], required=True)
    export.add_argument(
        "--by",
        choices=["mechanism"],
        help="pyperf: one file a mechanism, with the mechanism left out of the names",
    )
    export.add_argument("-o", "--output", metavar="PATH", help="a new file; a folder with --by")

    pyperf = commands.add_parser(
        "pyperf", help="one case under pyperf.Runner: vmabench pyperf -- OPTIONS", add_help=False
    )
    pyperf.add_argument("options", nargs=argparse.REMAINDER)
    return parser


def _run(args: argparse.Namespace) -> int:
    from vmabench.commands.run import run

    return run(args)


def _show(args: argparse.Namespace) -> int:
    from vmabench.commands import show

    return show.doctor(args) if args.command == "doctor" else show.list_names(args)


def _derive(args: argparse.Namespace) -> int:
    from vmabench.commands import derive

    return derive.report(args) if args.command == "report" else derive.export(args)


def _pyperf(args: argparse.Namespace) -> int:
    options = args.options[1:] if args.options[:1] == ["--"] else args.options
    # A process of its own: pyperf starts its workers from the command line that it finds.
    os.execv(sys.executable, [sys.executable, "-m", "vmabench.pyperf", *options])  # noqa: S606


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "doctor": _show,
    "list": _show,
    "run": _run,
    "report": _derive,
    "export": _derive,
    "pyperf": _pyperf,
}


def main(arguments: Sequence[str] | None = None) -> int:
    try:
        args = build_parser().parse_args(arguments)
        status = _COMMANDS[args.command](args)
        sys.stdout.flush()
    except VmabenchError as error:
        print(f"vmabench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("vmabench: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read our output has seen enough; nothing more can be written there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status


if __name__ == "__main__":
    sys.exit(main())
