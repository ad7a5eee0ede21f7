# SPDX-License-Identifier: GPL-2.0-only
"""Plans: which cases, for how long. Built-in ones and a user's own are TOML of one form."""

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from itertools import product
from pathlib import Path
from typing import Any

from vmabench.errors import UsageError
from vmabench.matrix.axes import AXES, SWEEP_AXES, option_of
from vmabench.matrix.case import SCENARIOS, Case
from vmabench.units import format_size, parse_duration, parse_size

ALL = "all"

#: names for pages whose sizes differ between architectures, as far as a kernel has them
PAGE_ALIASES = ("base", "thp", "mthp", "hugetlb")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The names that a plan may use on this machine, each in the order of lists and legends.

    The first of ``pages`` is the base page, the second the one that a PMD entry maps. ``cpus`` is
    how many there are.
    """

    mechanisms: tuple[str, ...]
    pages: tuple[str, ...]
    scenarios: tuple[str, ...] = tuple(SCENARIOS)
    cpus: int = 2

    @property
    def page_aliases(self) -> dict[str, tuple[str, ...]]:
        """Alias -> the page, or nothing where this kernel has none.

        ``mthp`` is the size of sixteen base pages if there is one, else the smallest;
        ``hugetlb`` the smallest pool.
        """
        base, others = self.pages[:1], self.pages[2:]
        mthp = [page for page in others if "-" not in page]
        sixteen = format_size(16 * parse_size(base[0])) if base else ""
        middle = [sixteen] if sixteen in mthp else mthp
        pools = [page for page in others if "-" in page]
        found = (base, self.pages[1:2], tuple(middle[:1]), tuple(pools[:1]))
        return dict(zip(PAGE_ALIASES, found, strict=True))


@dataclass(frozen=True, slots=True)
class Sweep:
    """The product of its axes.

    ``options`` are those that only some scenarios have, by their name in ``matrix.axes``; one that
    is not named has the scenario's own default.
    """

    mechanism: tuple[str, ...]
    scenario: tuple[str, ...]
    page: tuple[str, ...]
    size: tuple[str, ...]
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def to_toml(self) -> dict[str, list[str]]:
        axes = {axis: getattr(self, axis) for axis in SWEEP_AXES} | dict(self.options)
        return {axis: list(values) for axis, values in axes.items()}

    def with_axes(self, axes: Mapping[str, tuple[str, ...]]) -> "Sweep":
        """The sweep with these axes replaced."""
        own = {axis: values for axis, values in axes.items() if axis in SWEEP_AXES}
        options = {axis: values for axis, values in axes.items() if axis not in SWEEP_AXES}
        return replace(self, **own, options={**self.options, **options})


@dataclass(frozen=True, slots=True)
class Scaled:
    """What of a plan is done on an emulated machine, which is an order of magnitude slower."""

    budget_s: float
    rounds: int
    max_size_bytes: int


@dataclass(frozen=True, slots=True)
class Plan:
    """``budget_s`` is wall-clock time of measuring; at least ``rounds`` rounds are aimed at.

    A median whose 95 % interval is wider than ``target_width`` times the median is ``unstable``;
    0 leaves that judgement out, for plans too short for it. ``emulated`` is None for a plan that
    is the same everywhere. ``once``: each case is verified and done once, to see what can run; that
    is no measurement.
    """

    name: str
    budget_s: float
    rounds: int
    target_width: float
    sweeps: tuple[Sweep, ...] = field(repr=False)
    description: str = ""
    emulated: Scaled | None = None
    once: bool = False

    def to_toml(self) -> dict[str, Any]:
        """The form that ``load_plan`` reads."""
        emulated: dict[str, Any] = {}
        if self.emulated:
            emulated["emulated"] = {
                "budget": f"{self.emulated.budget_s:g}s",
                "rounds": self.emulated.rounds,
                "max_size": format_size(self.emulated.max_size_bytes),
            }
        once = {"once": True} if self.once else {}
        return (
            emulated
            | once
            | {
                "name": self.name,
                "description": self.description,
                "budget": f"{self.budget_s:g}s",
                "rounds": self.rounds,
                "target_width": self.target_width,
                "sweep": [sweep.to_toml() for sweep in self.sweeps],
            }
        )


def builtin_plans() -> dict[str, str]:
    """The names of the built-in plans and what each is for, shortest first."""
    plans = [load_plan(name) for name in _builtin_names()]
    plans.sort(key=lambda plan: plan.budget_s)
    return {plan.name: plan.description for plan in plans}


def load_plan(name: str) -> Plan:
    """A built-in plan by its name, or a file that ends in ``.toml``; raises UsageError."""
    if name in _builtin_names():
        text = (resources.files("vmabench.matrix") / "plans" / f"{name}.toml").read_text()
        return parse_plan(text, name)
    path = Path(name)
    if path.suffix != ".toml":
        raise UsageError(unknown("plan", name, _builtin_names()) + ", or a file plan.toml")
    try:
        return parse_plan(path.read_text(), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"can't read the plan {name}: {error}") from error


def _builtin_names() -> list[str]:
    folder = resources.files("vmabench.matrix") / "plans"
    return [entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".toml")]


def unknown(kind: str, name: str, valid: Iterable[str]) -> str:
    """The sentence for a name that does not exist, with the nearest one that does."""
    names = list(valid)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
    return f"unknown {kind} {name!r}: {hint}"


def parse_plan(text: str, where: str) -> Plan:
    """A plan from its TOML; every error names the file and the line. Raises UsageError."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{where}: {error}") from error
    table = _Table(data, text, where, _PLAN_KEYS)
    sweeps = table.take("sweep", list)
    emulated = table.take("emulated", dict, {})
    plan = Plan(
        name=table.take("name", str),
        description=table.take("description", str, ""),
        budget_s=table.convert("budget", parse_duration, table.take("budget", str)),
        rounds=table.take("rounds", int, 5),
        target_width=table.take("target_width", float, 0.3),
        sweeps=tuple(_sweep(entry, index, text, where) for index, entry in enumerate(sweeps)),
        emulated=_scaled(emulated, text, where) if emulated else None,
        once=table.take("once", bool, False),
    )
    if not re.fullmatch(r"[a-z0-9-]+", plan.name):
        raise table.error("name", "must consist of a-z, 0-9 and -")
    if plan.rounds < 1:
        raise table.error("rounds", "must be at least 1")
    if not 0 <= plan.target_width < float("inf"):
        raise table.error("target_width", "must not be negative")
    if not plan.sweeps:
        raise table.error("sweep", "must name at least one sweep")
    return plan


def _sweep(entry: object, index: int, text: str, where: str) -> Sweep:
    if not isinstance(entry, dict):
        raise UsageError(f"{where}: sweep must be written as [[sweep]] tables")
    first_line = _line_of("[[sweep]]", index, text)
    table = _Table(entry, text, where, (*SWEEP_AXES, *AXES), first_line)
    axes = {axis: table.strings(axis) for axis in SWEEP_AXES}
    options = {axis: table.strings(axis) for axis in AXES if axis in entry}
    for size in axes["size"]:
        table.convert("size", parse_size, size)
    for axis, values in options.items():
        for value in values:
            for one in AXES[axis].spread(value, 2):
                table.convert(axis, AXES[axis].parse, one)
    return Sweep(**axes, options=options)


def _scaled(entry: Mapping[str, object], text: str, where: str) -> Scaled:
    keys = ("budget", "rounds", "max_size")
    table = _Table(entry, text, where, keys, _line_of("[emulated]", 0, text))
    rounds = table.take("rounds", int)
    if rounds < 1:
        raise table.error("rounds", "must be at least 1")
    return Scaled(
        budget_s=table.convert("budget", parse_duration, table.take("budget", str)),
        rounds=rounds,
        max_size_bytes=table.convert("max_size", parse_size, table.take("max_size", str)),
    )


_PLAN_KEYS = (
    "name", "description", "budget", "rounds", "target_width", "sweep", "emulated", "once",
)  # fmt: skip


def _line_of(heading: str, index: int, text: str) -> int:
    """The line, from 0, of a heading that may come several times."""
    lines = enumerate(text.splitlines())
    starts = [number for number, line in lines if line.strip().startswith(heading)]
    return starts[index] if index < len(starts) else 0


class _Table:
    """A TOML table of which all keys are known; its errors name the line."""

    def __init__(
        self,
        data: Mapping[str, object],
        text: str,
        where: str,
        keys: Sequence[str],
        first_line: int = 0,
    ) -> None:
        self.data = data
        self.lines = text.splitlines()
        self.where = where
        self.first_line = first_line
        for key in data:
            if key not in keys:
                raise self.error(key, f"is unknown here ({unknown('key', key, keys)})")

    def error(self, key: str, what: str) -> UsageError:
        pattern = re.compile(rf'\s*(\[\[)?"?{re.escape(key)}"?\s*(=|\]\])')
        for number, line in enumerate(self.lines[self.first_line :], self.first_line + 1):
            if pattern.match(line):
                return UsageError(f"{self.where}, line {number}: {key} {what}")
        return UsageError(f"{self.where}: {key} {what}")

    def take(self, key: str, kind: type, default: Any = None) -> Any:
        value = self.data.get(key, default)
        if value is None:
            raise self.error(key, "is missing")
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.error(key, f"must be {_KINDS[kind]}, not {value!r}")
        return value

    def strings(self, key: str) -> tuple[str, ...]:
        values = self.take(key, list)
        if not values or not all(isinstance(value, str) for value in values):
            raise self.error(key, f"must be a list of strings, not {values!r}")
        return tuple(values)

    def convert(self, key: str, parse: Any, value: str) -> Any:
        try:
            return parse(value)
        except UsageError as error:
            raise self.error(key, f"is wrong: {error}") from error


_KINDS = {
    str: "a string",
    int: "a whole number",
    float: "a number as in 0.3",
    list: "a list",
    dict: "a table",
    bool: "true or false",
}


def override(plan: Plan, axes: Mapping[str, Sequence[str]]) -> Plan:
    """Return the plan with some axes replaced in all of its sweeps.

    Raises UsageError for an axis that none of its scenarios has.
    """
    given = {axis: tuple(values) for axis, values in axes.items() if values}
    sweeps = tuple(sweep.with_axes(given) for sweep in plan.sweeps)
    _check_axes([axis for axis in given if axis in AXES], sweeps)
    return replace(plan, sweeps=sweeps)


def _check_axes(axes: Sequence[str], sweeps: Iterable[Sweep]) -> None:
    named = [name for sweep in sweeps for name in sweep.scenario]
    chosen = list(SCENARIOS) if ALL in named else list(dict.fromkeys(named))
    if not all(name in SCENARIOS for name in chosen):
        return  # expand() names it
    lacking = [a for a in axes if not any(a in SCENARIOS[name].axes for name in chosen)]
    if lacking:
        having = [name for name, one in SCENARIOS.items() if lacking[0] in one.axes]
        raise UsageError(
            f"{', '.join(map(option_of, lacking))}: no axis of the chosen scenarios"
            f" {', '.join(chosen)} ({option_of(lacking[0])} goes with"
            f" --scenario {','.join(having)})"
        )


def scaled(plan: Plan) -> Plan:
    """The plan as it is done on an emulated machine: smaller sizes, a budget of its own."""
    if plan.emulated is None:
        return plan
    sweeps = []
    for sweep in plan.sweeps:
        kept = tuple(s for s in sweep.size if parse_size(s) <= plan.emulated.max_size_bytes)
        if kept:
            sweeps.append(replace(sweep, size=kept))
    if not sweeps:  # the user asked for large sizes alone, and gets what was asked for
        sweeps = list(plan.sweeps)
    return replace(
        plan,
        budget_s=plan.emulated.budget_s,
        rounds=plan.emulated.rounds,
        sweeps=tuple(sweeps),
        emulated=None,
    )


def expand(plan: Plan, vocabulary: Vocabulary) -> list[Case]:
    """The plan's cases, each once, in the plan's order; raises UsageError on unknown names."""
    cases: dict[Case, None] = {}
    for sweep in plan.sweeps:
        mechanisms = _names("mechanism", sweep.mechanism, vocabulary.mechanisms)
        scenarios = _names("scenario", sweep.scenario, vocabulary.scenarios)
        aliases = vocabulary.page_aliases
        named = [page for name in sweep.page for page in aliases.get(name, (name,))]
        pages = _names("page", named, vocabulary.pages)
        sizes = [parse_size(size) for size in sweep.size]
        for page, size, scenario, name in product(pages, sizes, scenarios, mechanisms):
            for fields in _options(sweep, scenario, vocabulary.cpus):
                cases.setdefault(Case(name, scenario, page, size, **fields))
    return list(cases)


def _options(sweep: Sweep, scenario: str, cpus: int) -> list[dict[str, Any]]:
    """The fields of a case for each combination of the axes that only some scenarios have."""
    axes = SCENARIOS[scenario].axes
    texts = [
        [text for one in sweep.options.get(axis, default) for text in AXES[axis].spread(one, cpus)]
        for axis, default in axes.items()
    ]
    found = []
    for combination in product(*texts):
        fields: dict[str, Any] = {}
        for axis, text in zip(axes, combination, strict=True):
            fields |= AXES[axis].parse(text)
        found.append(fields)
    return found


def _names(kind: str, given: Sequence[str], valid: tuple[str, ...]) -> tuple[str, ...]:
    if ALL in given:
        return valid
    for name in given:
        if name not in valid:
            raise UsageError(unknown(kind, name, valid))
    return tuple(given)


def check_sizes(cases: Sequence[Case], sizes: Iterable[str]) -> None:
    """Refuses a size that a user asked for by name and that no page in the plan divides."""
    # a message is no number of pages
    pages = sorted({case.page_bytes for case in cases if case.scenario != "pingpong"})
    for text in sizes:
        size = parse_size(text)
        if pages and all(size % page for page in pages):
            names = " or ".join(format_size(page) for page in pages)
            raise UsageError(f"size {text} is no multiple of the page size {names}")
