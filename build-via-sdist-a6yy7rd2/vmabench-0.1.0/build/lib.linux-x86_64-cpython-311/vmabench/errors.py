# SPDX-License-Identifier: GPL-2.0-only
"""The exceptions that reach a user, each of them one line that says what to do."""


class VmabenchError(Exception):
    """Base of every error that the command line turns into one line and exit status 1."""


class UsageError(VmabenchError):
    """What the user asked for can't be done: a wrong name, size, plan or path."""


class MachineError(VmabenchError):
    """The machine lacks something: a package, memory, a permission, room on the disk."""


class NativeError(VmabenchError):
    """A call of the C core failed.

    ``errno`` is the positive error number, ``detail`` what the core was doing.
    """

    def __init__(self, errno: int, detail: str) -> None:
        super().__init__(detail)
        self.errno = errno
        self.detail = detail


class FormatError(VmabenchError):
    """A stored file is damaged, or of a format that this version does not know."""


class KernelBuildError(VmabenchError):
    """The patched kernel could not be made: no base, a hunk that fails, a lost option."""


class LostGuest(VmabenchError):  # noqa: N818 - it is the guest that is lost
    """The guest panicked, hung or vanished: no result, neither good nor bad.

    ``log`` is its console log, ``log_tail`` the end of that, ``stdout`` what the command had
    printed.
    """

    def __init__(self, message: str, log_tail: str = "", log: str = "", stdout: str = "") -> None:
        super().__init__(message)
        self.log_tail = log_tail
        self.log = log
        self.stdout = stdout
