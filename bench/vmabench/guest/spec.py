# SPDX-License-Identifier: GPL-2.0-only
"""Resolve ``--kernel`` and ``--series``: to sources and patches, or to an image.

    --kernel   6.12 | DIRECTORY | TARBALL | GITDIR@REF | IMAGE
    --series   default | none | DIRECTORY | A..B

Without ``--kernel``, $KSRC or the default version is built. Without ``--series``, a version that
has a series of its own gets it, and any other gets none. ``A..B`` are commits of the repository
that ``--kernel GITDIR`` names: their patches are applied to A.
"""

import hashlib
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from vmabench.errors import MachineError, UsageError
from vmabench.guest import cache, debian, git, image, series, sources

DEFAULT_VERSION = "6.12"
#: version -> directory of the series that is made for it, below kernel/
SERIES = {"6.12": "patches"}
NONE, OWN = "none", "default"
FORMS = (
    "a version that Debian packages (6.1, 6.12, 7.3), a directory or tarball of sources,"
    " GITDIR@REF, or a bzImage"
)
SERIES_FORMS = "default, none, a directory of patches, or a range A..B of --kernel GITDIR"

#: the trees of kernels without the series of their version: see Recipe.place
AGAINST = "against"


@dataclass(frozen=True)
class Spec:
    """A kernel as the user names it: both texts are None where the user names none."""

    kernel: str | None = None
    series: str | None = None
    option: str = "--kernel"

    @property
    def text(self) -> str:
        """Return the option as the user wrote it, for messages."""
        return f"{self.option} {self.kernel}"


#: the kernel of a user who names none
DEFAULT = Spec()


@dataclass(frozen=True)
class Recipe:
    """What a kernel is built from."""

    sources: sources.Sources
    patches: tuple[Path, ...]
    own: bool  # whether the patches are the series that is made for this version

    def place(self, flavour: str) -> str:
        """Return the name that its tree and objects have in the cache.

        Each flavour has a tree of its own, and so have kernels with other patches or none: patches
        of a header would make all objects of the other one stale.
        """
        rooms = ([] if self.own else [AGAINST]) + ([] if flavour == "bench" else [flavour])
        return "-".join([self.sources.place, *rooms])


def resolve(
    spec: Spec, flavour: str, project: Path, fetch: cache.Say | None = None
) -> Recipe | Path:
    """Return what to build, or the path of an image.

    ``project`` is the directory kernel/. ``fetch`` announces that sources are fetched; without it,
    MachineError is raised where they are not on this machine. Raises UsageError for a text that is
    none of the forms, and KernelBuildError for sources that cannot be used.
    """
    span = re.fullmatch(r"(.+?)\.\.(.+)", spec.series or "")
    if span and not Path(spec.series or "").is_dir():
        return _range(spec, span[1], span[2])
    found = _find(spec, fetch)
    if isinstance(found, Path):
        if spec.series not in (None, NONE):
            raise UsageError(f"{spec.text}: an image is booted as it is, without --series")
        return found
    version = found if isinstance(found, str) else found.version
    patches, own = _patches(spec.series, version, flavour, project)
    if isinstance(found, str):  # fetched last: a wrong series costs no download
        found = _packaged(found, spec, fetch)
    return Recipe(found, tuple(patches), own)


def _find(spec: Spec, fetch: cache.Say | None) -> sources.Sources | Path | str:
    """Return sources, the path of an image, or a version that Debian packages."""
    if spec.kernel is None and not os.environ.get("KSRC"):
        return DEFAULT_VERSION
    if spec.kernel is None:
        spec = Spec(os.environ["KSRC"], spec.series, "KSRC")
    text = str(spec.kernel)
    if re.fullmatch(r"\d+\.\d+", text):
        return text
    path = Path(text).expanduser().resolve()
    if path.is_file():
        return path if image.is_image(path) else sources.tarball(path)
    if path.is_dir():
        return _directory(path, spec)
    name, at, ref = text.rpartition("@")
    if at and (repository := Path(name).expanduser().resolve()).is_dir():
        return _commit(repository, ref, fetch)
    raise UsageError(f"{spec.text}: {_nearest(text)}")


def _directory(path: Path, spec: Spec) -> sources.Directory:
    if not (path / "Makefile").is_file() and git.is_repository(path):
        raise UsageError(f"{spec.text} is a git repository: write {spec.kernel}@REF")
    return sources.directory(path)


def _commit(repository: Path, ref: str, say: cache.Say | None) -> sources.Commit:
    if not git.is_repository(repository):
        raise UsageError(f"{repository} is no git repository, so it has no commit {ref}")
    if say and git.uncommitted(repository):
        say(f"uncommitted changes in {repository} are no part of {ref}")
    return sources.commit(repository, ref)


def _range(spec: Spec, first: str, last: str) -> Recipe:
    """Return the sources of ``first``, and the commits after it as patches."""
    repository = Path(spec.kernel or ".").expanduser().resolve()
    if spec.kernel is None or not git.is_repository(repository):
        raise UsageError(
            f"--series {spec.series}: a range needs --kernel GITDIR, the repository it is in"
        )
    base = sources.commit(repository, first)
    return Recipe(base, tuple(range_patches(repository, first, last)), own=False)


def range_patches(repository: Path, first: str, last: str) -> list[Path]:
    """Return the patches of a range of commits, oldest first, kept in the cache."""
    commits = [git.commit_of(repository, ref) for ref in (first, last)]
    name = hashlib.sha256("..".join(commits).encode()).hexdigest()[:16]
    final = cache.root() / "ranges" / name
    if not final.is_dir():
        final.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="partial-", dir=cache.root()) as scratch:
            git.format_patches(repository, first, last, Path(scratch) / "patches")
            (Path(scratch) / "patches").rename(final)
    return series.patches(final)


def _patches(
    wanted: str | None, version: str, flavour: str, project: Path
) -> tuple[list[Path], bool]:
    """Return the patches of ``--series``, and whether they are made for this version."""
    own = project / SERIES[version] if version in SERIES else None
    if wanted == NONE or (wanted is None and own is None):
        return [], False
    if wanted in (None, OWN):
        if own is None:
            raise UsageError(
                f"--series {OWN}: there is no series for Linux {version}, only for"
                f" {', '.join(SERIES)}: use --series {NONE} or a directory of patches"
            )
        return [*series.patches(own), *sorted((own / flavour).glob("*.patch"))], True
    directory = patch_directory(Path(str(wanted)).expanduser().resolve())
    if directory is None:
        raise UsageError(f"--series {wanted}: write {SERIES_FORMS}")
    return series.patches(directory), False


def patch_directory(path: Path) -> Path | None:
    """Return the directory of a series: ``path``, or where a checkout of this project has it."""
    for directory in (path, path / "patches", path / "kernel" / "patches"):
        if any(directory.glob("[0-9][0-9][0-9][0-9]-*.patch")):
            return directory
    return None


def _packaged(version: str, spec: Spec, fetch: cache.Say | None) -> sources.Tarball:
    found = debian.find(version, cache.root())
    if found is not None:
        return found
    if fetch is None:
        raise MachineError(f"no sources of Linux {version} on this machine")
    try:
        return debian.fetch(version, cache.root(), fetch)
    except MachineError as error:
        raise MachineError(
            f"{error}. These work without it: --kernel with a directory or tarball of sources,"
            f" GITDIR@REF, or a bzImage{_others(version)}"
        ) from error


def _others(version: str) -> str:
    """Return the versions on this machine, as the end of a sentence."""
    there = [name for name in debian.SUITES if name != version and debian.find(name, cache.root())]
    return f"; and of versions, {', '.join(there)}" if there else ""


def _nearest(text: str) -> str:
    """Return why a text is no kernel, and what comes nearest to it."""
    if found := re.fullmatch(r"(?:v|[Ll]inux-(?:source-)?)?(\d+\.\d+)(?:[.-].*)?", text):
        return f"did you mean {found[1]}? A kernel is {FORMS}"
    if ".." in text.strip("./"):
        return f"a range of commits goes with --series {text} and --kernel GITDIR"
    if "@" in text:
        return f"{text.rpartition('@')[0]} is no directory, so GITDIR@REF does not name a commit"
    if "/" in text or text.startswith("~"):
        return f"does not exist; write {FORMS}"
    return f"write {FORMS}"
