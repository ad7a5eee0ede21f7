# SPDX-License-Identifier: GPL-2.0-only
"""The command line: options and the command that each name starts."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from vmabench import __version__
from vmabench.errors import UsageError
from vmabench.matrix.axes import AXES, SWEEP_AXES, option_of
from vmabench.program import run_program
from vmabench.units import parse_percent

if TYPE_CHECKING:
    from vmabench.api.options import Guest, RunOptions


def _names(text: str) -> list[str]:
    """``a,b`` as a list; an empty name is a mistake."""
    names = text.split(",")
    if not all(names):
        raise argparse.ArgumentTypeError(f"an empty name in {text!r}")
    return names


#: outcomes that `--fail-on` can turn into status 3
FAIL_ON = ("slower", "failed", "unstable")


def _fail_on(text: str) -> list[str]:
    names = _names(text)
    for name in names:
        if name not in FAIL_ON:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(FAIL_ON)}")
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
        epilog="Exit status: 0 done, 1 error, 2 done but a case is unstable, failed or blocked,"
        " 3 an outcome of --fail-on, 130 interrupted. VMABENCH_DEBUG=1 shows the traceback"
        " of an error.",
    )
    parser.add_argument("--version", action="version", version=f"vmabench {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    _add_doctor(
        commands.add_parser("doctor", help="what can run here and what can't, by trying it")
    )

    listing = commands.add_parser("list", help="what exists, one line each")
    listing.add_argument("what", choices=["mechanisms", "scenarios", "pages", "plans", "claims"])
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
    helps = {axis: f"replaces the plan's {axis} axis" for axis in SWEEP_AXES}
    helps |= {name: f"of the scenarios that have it: {axis.help}" for name, axis in AXES.items()}
    for axis, text in helps.items():
        run.add_argument(option_of(axis), type=_names, default=[], metavar="NAME,..", help=text)
    run.add_argument(
        "--guest", action="store_true", help="in a guest, by default with the patched kernel"
    )
    _add_kernel(run)
    _add_machine(run)
    run.add_argument(
        "--against",
        metavar="KERNEL",
        help="in turns with another kernel: base (the same without its series), a directory of"
        " patches (the same with these), or a SPEC as of --kernel, without a series",
    )
    run.add_argument(
        "--each",
        metavar="A..B",
        help="which of these commits of --kernel GITDIR makes which path longer, with --clock"
        " instructions",
    )
    run.add_argument(
        "--format",
        choices=_EACH_FORMATS,
        default="text",
        help="of --each; json is what b4.review-series-check-cmd reads",
    )
    _add_fail_on(run)
    run.add_argument(
        "--boots",
        type=int,
        metavar="N",
        help="of each kernel, with --against (default: by --detect; counting instructions: 2) or"
        " --each (default: 1, and 2 where a path changes)",
    )
    run.add_argument(
        "--detect",
        type=parse_percent,
        metavar="CHANGE",
        help="with --against, as many boots as find this change (default: 5%%, at most 10 boots)",
    )
    run.add_argument(
        "--samples-only",
        action="store_true",
        help="measure and store; `vmabench report` makes the rest",
    )
    run.add_argument("--budget", metavar="TIME", help="at most this long, as in 90s or 15m")
    # for `make check-counters` and for tests, not for users
    run.add_argument("--no-counters", action="store_true", help=argparse.SUPPRESS)
    run.add_argument(
        "--pin",
        metavar="SRC,DST",
        help="the CPUs of source and receiver (default: two cores of one last-level cache, without"
        " CPU 0)",
    )
    run.add_argument("--seed", type=int, help="of the data and of the order of the cases")
    # for check-sensitivity; what comes of it is never reported
    run.add_argument("--inject", action="append", default=[], help=argparse.SUPPRESS)

    report = commands.add_parser("report", help="a report from the stored data alone")
    report.add_argument(
        "directory",
        metavar="DIR",
        nargs="+",
        help="with several: one report of all, and how far an emulated one is distorted",
    )
    report.add_argument(
        "--format",
        choices=["text", "html", *_LETTERS, "model", "constants", "ucx", "openmpi"],
        default="text",
        help="model: costs of a call, an entry, a KiB; the last three: constants for MPI stacks",
    )
    report.add_argument("--base", metavar="COMMIT", help="of the measured kernel, for a letter")
    report.add_argument("-o", "--output", metavar="FILE", help="a new file (default: the terminal)")

    _add_compare(commands.add_parser("compare", help="results, a verdict for each case"))

    export = commands.add_parser("export", help="the data for other programs")
    export.add_argument("directory", metavar="DIR")
    export.add_argument("--format", choices=["csv", "pyperf"], required=True)
    export.add_argument(
        "--by",
        choices=["mechanism"],
        help="pyperf: one file a mechanism, with the mechanism left out of the names",
    )
    export.add_argument("-o", "--output", metavar="PATH", help="a new file; a folder with --by")

    _add_results(commands)
    _add_plan(commands.add_parser("plan", help="what a plan can show, and what it takes"))

    tune = commands.add_parser(
        "tune", help="show, apply and restore settings of memory management that add noise"
    )
    either = tune.add_mutually_exclusive_group()
    either.add_argument("--apply", action="store_true", help="set them; save the old values first")
    either.add_argument("--restore", action="store_true", help="restore what was changed")

    _add_guest(commands.add_parser("guest", help="a kernel in a guest: build it, run in it"))

    pyperf = commands.add_parser(
        "pyperf", help="one case under pyperf.Runner: vmabench pyperf -- OPTIONS", add_help=False
    )
    pyperf.add_argument("options", nargs=argparse.REMAINDER)
    return parser


def _add_compare(compare: argparse.ArgumentParser) -> None:
    compare.add_argument("a", metavar="A", help="a result directory: the baseline")
    compare.add_argument("b", metavar="B", help="the one that is faster or slower than it")
    compare.add_argument(
        "more", metavar="C", nargs="*", help="more results: one line a case, a column for each"
    )
    compare.add_argument(
        "--format",
        choices=["text", "csv", "robot", "json", *_LETTERS],
        default="text",
        help="of more than two results: text or csv",
    )
    compare.add_argument("--base", metavar="COMMIT", help="of A's kernel, for a letter")
    compare.add_argument("--patched", metavar="COMMIT", help="of B's kernel, for a letter")
    compare.add_argument(
        "--appendix",
        action="store_true",
        help="below a cover letter, every case as the robot has it",
    )
    compare.add_argument(
        "--vmlinux", nargs=2, metavar=("A", "B"), help="for a cover letter: the size of both images"
    )
    compare.add_argument(
        "--paths",
        nargs=2,
        metavar=("A", "B"),
        help="of both kernels by the instruction clock: theories for a letter",
    )
    compare.add_argument(
        "--force", action="store_true", help="compare what is not comparable, and mark it"
    )
    _add_fail_on(compare)
    compare.add_argument(
        "--partial", action="store_true", help="use what is whole of a result that is damaged"
    )


def _add_fail_on(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--fail-on",
        type=_fail_on,
        default=[],
        metavar="OUTCOME,..",
        help=f"exit status 3 if a case of B is one of these: {', '.join(FAIL_ON)}",
    )


def _add_plan(plan: argparse.ArgumentParser) -> None:
    plan.add_argument("plan", nargs="?", help="a plan, as for run (default: quick, or RESULT's)")
    plan.add_argument(
        "--detect",
        type=parse_percent,
        required=True,
        metavar="CHANGE",
        help="the change to be found, as in 3%%",
    )
    plan.add_argument(
        "--from",
        dest="source",
        metavar="RESULT",
        help="how the machine varies (default: the newest result of the plan, or a pilot run)",
    )


def _add_results(commands: "argparse._SubParsersAction[_Parser]") -> None:
    """Add the commands that take results."""
    claims = commands.add_parser("claims", help="published results: confirmed here, or not")
    claims.add_argument(
        "directory", metavar="DIR", nargs="+", help="of several, the first that can tell answers"
    )
    claims.add_argument("--json", action="store_true", help="for programs")

    publish = commands.add_parser("publish", help="a copy of a result that strangers may see")
    publish.add_argument("directory", metavar="DIR")
    publish.add_argument("-o", "--output", metavar="DIR", help="new (default: DIR-published)")
    publish.add_argument(
        "--check", action="store_true", help="only say whether all that is below DIR may be seen"
    )


def _add_guest(guest: argparse.ArgumentParser) -> None:
    actions = guest.add_subparsers(dest="action", metavar="ACTION", required=True)
    build = actions.add_parser("build", help="build a kernel, or find it in the cache")
    run = actions.add_parser("run", help="run a command in it: vmabench guest run -- COMMAND")
    test = actions.add_parser("test", help="run the selftests of the call, and judge the log")
    shell = actions.add_parser("shell", help="a shell in it, on this terminal")
    bench = actions.add_parser(
        "bench", help="the plan of a result in the guest too, and one report of both"
    )
    bench.add_argument("directory", metavar="DIR", help="a result of the running kernel")
    bench.add_argument("--accel", choices=_ACCELS, default="auto", help=_ACCEL_HELP)
    _add_audit(actions.add_parser("audit", help="the questions of the review, put to it"))
    _add_mutants(actions.add_parser("mutants", help="does the audit catch deliberate faults?"))
    for action in (build, run, test, shell):
        action.add_argument(
            "--flavour",
            default="bench",
            help="bench (to measure, the default) or debug (to check)",
        )
        _add_kernel(action)
    for action in (run, shell):
        _add_machine(action)
        action.add_argument(
            "--swap", choices=["zram", "file"], default="", help="a swap device of the guest's own"
        )
        action.add_argument("--swap-size", metavar="SIZE", default="1G", help="default: 1G")
        action.add_argument(
            "--share",
            action="append",
            default=[],
            metavar="DIR",
            help="a directory that the guest may write to; all else is read only",
        )
    test.add_argument("--accel", choices=_ACCELS, default="auto", help=_ACCEL_HELP)
    for action in (run, test):
        action.add_argument("--timeout", metavar="TIME", default="30m", help="default: 30m")
    run.add_argument("words", nargs=argparse.REMAINDER, metavar="-- COMMAND")


def _add_audit(audit: argparse.ArgumentParser) -> None:
    audit.add_argument("names", metavar="PROGRAM", nargs="*", help="only these of audit.toml")
    audit.add_argument("--flavour", default="debug", help="default: debug")
    audit.add_argument("--minutes", type=float, default=6.0, help="of stress runs (default: 6)")
    audit.add_argument("--short", action="store_true", help="what fits into a CI run")
    audit.add_argument("--seed", type=int, help="of the programs that go by chance")
    audit.add_argument("--accel", choices=_ACCELS, default="auto", help=_ACCEL_HELP)
    audit.add_argument("--verbose", action="store_true", help="all that the programs print")
    audit.add_argument("-o", "--output", metavar="FILE", help="a table in Markdown")


def _add_mutants(mutants: argparse.ArgumentParser) -> None:
    mutants.add_argument("names", metavar="MUTANT", nargs="*", help="only these")
    mutants.add_argument("--flavour", default="debug", help="default: debug")
    mutants.add_argument("-o", "--output", metavar="FILE", help="a table in Markdown")
    mutants.add_argument("--accel", choices=_ACCELS, default="auto", help=_ACCEL_HELP)


_EACH_FORMATS = ("text", "robot", "json")
#: text for a mail to the list
_LETTERS = ("cover-letter", "commit-message")


def _add_doctor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "plan", nargs="?", help="try what this plan needs; status 2 if any of it is blocked"
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument(
        "--no-noise", action="store_true", help="leave out the two seconds of measuring noise"
    )


_ACCELS = ("auto", "tcg", "kvm")
_ACCEL_HELP = "auto tries KVM for a moment and else emulates (default: auto)"


def _add_kernel(parser: argparse.ArgumentParser) -> None:
    """Add the options that name a kernel."""
    parser.add_argument(
        "--kernel",
        metavar="SPEC",
        help="a version that Debian packages (6.1, 6.12, 7.3), a directory or tarball of sources,"
        " GITDIR@REF, or a bzImage (default: $KSRC, or 6.12)",
    )
    parser.add_argument(
        "--series",
        metavar="PATCHES",
        help="default, none, a directory of patches, or commits A..B of --kernel GITDIR (default:"
        " the series for that version, if there is one)",
    )


def _add_machine(parser: argparse.ArgumentParser) -> None:
    """Add the options of a guest, for the commands that start one."""
    parser.add_argument("--memory", metavar="SIZE", help="of the guest (default: 2G)")
    parser.add_argument("--cpus", type=int, help="of the guest (default: 2)")
    parser.add_argument("--append", default="", metavar="ARGS", help="arguments for its kernel")
    parser.add_argument("--accel", choices=_ACCELS, default="auto", help=_ACCEL_HELP)
    parser.add_argument(
        "--clock",
        choices=["time", "instructions"],
        default="time",
        help="instructions: the guest's clock counts them, one to the nanosecond",
    )


def _run(args: argparse.Namespace) -> int:
    from vmabench.commands import run

    _check_run(args)
    options, where = _run_options(args), _guest_of(args)
    if args.each is not None:
        return _run_each(args, options, where)
    if args.against:
        return run.run_against(options, where, args.against, args.boots, args.detect)
    if args.guest:
        return run.run_in_guest(options, where)
    return run.run(options, samples_only=args.samples_only)


def _run_each(args: argparse.Namespace, options: "RunOptions", where: "Guest") -> int:
    from vmabench.commands.each import Choices, run_each

    chosen = Choices(args.kernel, args.each, args.boots, args.format, tuple(args.fail_on))
    return run_each(options, where, chosen)


def _check_run(args: argparse.Namespace) -> None:
    """Raise UsageError for an option of ``run`` that goes with another one only."""
    given = args.memory or args.cpus or args.append or args.accel != "auto" or args.clock != "time"
    if (given or args.kernel or args.series) and not args.guest:
        raise UsageError(
            "--kernel, --series, --memory, --cpus, --append, --accel and --clock go with --guest"
            " only"
        )
    if args.pin and args.guest:
        raise UsageError("--pin goes without --guest: CPUs of a guest are no CPUs of this machine")
    if args.against and not args.guest:
        raise UsageError("--against goes with --guest only: it boots both kernels in turns")
    if args.detect and not args.against:
        raise UsageError("--detect goes with --against only")
    if args.boots is not None and not (args.against or args.each):
        raise UsageError("--boots goes with --against or --each only")
    if args.each is not None:
        _check_each(args)
    elif args.fail_on or args.format != "text":
        raise UsageError("--format and --fail-on of run go with --each only")


def _check_each(args: argparse.Namespace) -> None:
    """Raise UsageError unless ``--each`` has the options that it takes, and no others."""
    given = args.guest and args.kernel and args.clock == "instructions"
    others = {
        "--against": args.against,
        "--series": args.series,
        "--samples-only": args.samples_only,
        "--inject": args.inject,
    }
    wrong = [name for name, value in others.items() if value]
    if given and not wrong:
        return
    why = (
        f"goes without {wrong[0]}" if wrong else "takes a git repository and the instruction clock"
    )
    raise UsageError(
        f"--each {why}: vmabench run paths --guest --kernel GITDIR --each A..B --clock instructions"
    )


def _run_options(args: argparse.Namespace) -> "RunOptions":
    from vmabench.api.options import RunOptions

    return RunOptions(
        plan=args.plan,
        axes={axis: getattr(args, axis) for axis in (*SWEEP_AXES, *AXES)},
        budget=args.budget,
        seed=args.seed,
        output=args.output,
        counters=not args.no_counters,
        inject=tuple(args.inject),
        pin=args.pin,
    )


def _guest_of(args: argparse.Namespace) -> "Guest":
    from vmabench.api.options import Guest

    return Guest(
        memory=args.memory,
        cpus=args.cpus,
        accel=args.accel,
        clock=args.clock,
        append=args.append,
        kernel=args.kernel,
        series=args.series,
    )


def _show(args: argparse.Namespace) -> int:
    from vmabench.commands.show import list_names

    return list_names(args.what, as_json=args.json)


def _doctor(args: argparse.Namespace) -> int:
    from vmabench.commands.doctor import doctor

    return doctor(args.plan, measure_noise=not args.no_noise, as_json=args.json)


def _report(args: argparse.Namespace) -> int:
    from vmabench.commands.derive import report

    return report(args.directory, args.format, args.base, args.output)


def _export(args: argparse.Namespace) -> int:
    from vmabench.commands.derive import export_csv, export_pyperf

    if args.format == "pyperf":
        return export_pyperf(args.directory, args.output, by_mechanism=bool(args.by))
    if args.by:
        raise UsageError("--by goes with --format pyperf only")
    return export_csv(args.directory, args.output)


def _compare(args: argparse.Namespace) -> int:
    from vmabench.commands.compare import Choices, compare
    from vmabench.commands.side_by_side import compare_side_by_side

    several = args.more or args.format == "csv"
    return (compare_side_by_side if several else compare)(
        Choices(
            results=(args.a, args.b, *args.more),
            format=args.format,
            base=args.base,
            patched=args.patched,
            appendix=args.appendix,
            images=tuple(args.vmlinux) if args.vmlinux else None,
            paths=tuple(args.paths) if args.paths else None,
            force=args.force,
            partial=args.partial,
            fail_on=tuple(args.fail_on),
        )
    )


def _claims(args: argparse.Namespace) -> int:
    from vmabench.commands.claims import claims

    return claims(args.directory, as_json=args.json)


def _plan(args: argparse.Namespace) -> int:
    from vmabench.commands.plan import plan

    return plan(args.plan, args.detect, args.source)


def _publish(args: argparse.Namespace) -> int:
    from vmabench.commands.publish import check, publish

    return check(args.directory) if args.check else publish(args.directory, args.output)


def _tune(args: argparse.Namespace) -> int:
    from vmabench.commands.tune import tune

    return tune(apply=args.apply, restore=args.restore)


def _guest(args: argparse.Namespace) -> int:
    from vmabench.commands import guest
    from vmabench.guest import Spec
    from vmabench.units import parse_duration

    match args.action:
        case "audit" | "mutants":
            return _audit(args)
        case "build":
            return guest.build(args.flavour, Spec(args.kernel, args.series))
        case "test":
            spec = Spec(args.kernel, args.series)
            return guest.test(args.flavour, spec, args.accel, parse_duration(args.timeout))
        case "bench":
            return guest.bench(args.directory, args.accel)
    where = _guest_of(args)
    spec = where.kernel_spec()
    machine = guest.with_devices(
        where.machine(), swap=args.swap, swap_size=args.swap_size, shares=args.share
    )
    if args.action == "shell":
        return guest.shell(args.flavour, spec, machine, args.accel)
    words = args.words[1:] if args.words[:1] == ["--"] else args.words
    limit_s = parse_duration(args.timeout)
    return guest.run(words, args.flavour, spec, machine, args.accel, limit_s)


def _audit(args: argparse.Namespace) -> int:
    from vmabench.commands import audit
    from vmabench.guest.audit import Options

    if args.action == "mutants":
        names, flavour = args.names, args.flavour
        return audit.mutants(names, flavour=flavour, accel=args.accel, output=args.output)
    minutes = None if args.short else args.minutes
    return audit.audit(
        Options(tuple(args.names), minutes, args.seed, args.accel),
        flavour=args.flavour,
        short=args.short,
        verbose=args.verbose,
        output=args.output,
    )


def _pyperf(args: argparse.Namespace) -> int:
    from vmabench.runner.process import PYTHON

    options = args.options[1:] if args.options[:1] == ["--"] else args.options
    # A process of its own: pyperf starts its workers from the command line that it finds.
    os.execv(sys.executable, [*PYTHON, "-m", "vmabench.pyperf", *options])  # noqa: S606


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "doctor": _doctor,
    "list": _show,
    "run": _run,
    "report": _report,
    "compare": _compare,
    "export": _export,
    "guest": _guest,
    "publish": _publish,
    "claims": _claims,
    "plan": _plan,
    "tune": _tune,
    "pyperf": _pyperf,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line, by default that of the process, and return its exit status."""

    def command() -> int:
        args = build_parser().parse_args(arguments)
        return _COMMANDS[args.command](args)

    return run_program(command)


if __name__ == "__main__":
    sys.exit(main())
