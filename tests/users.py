# SPDX-License-Identifier: GPL-2.0-only
"""Prefixes that run a command as another user or in another place."""

import shlex
from pathlib import Path

from vmabench.machine.ledger import STATE

#: root, but for the capability that lets root look into the processes of others
WITHOUT_PTRACE = ("setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace")


def ordinary(uid: int) -> tuple[str, ...]:
    """Return the prefix that runs a command as that user, who can read the checkout wherever it is.

    The only capability is the one to read and search everything: the checkout may lie below a home
    directory of mode 0700.
    """
    return (
        "setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups",
        "--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search",
    )  # fmt: skip


NOBODY = 65534
ORDINARY = ordinary(NOBODY)

#: what container runtimes leave to root by default
_CONTAINED = "chown,dac_override,fowner,fsetid,kill,setgid,setuid,setpcap,net_bind_service,net_raw"
_CONTAINED_CAPS = ",".join(f"+{name}" for name in (*_CONTAINED.split(","), "sys_chroot", "mknod"))


def inside(script: str, *namespaces: str) -> tuple[str, ...]:
    """Namespaces of its own (options of unshare), in which a line of shell comes first."""
    return ("unshare", *namespaces, "sh", "-c", f'{script} && exec "$@"', "sh")


def state_in(directory: Path, options: str = "bind") -> tuple[str, ...]:
    """Return the prefix of a mount namespace with the machine's ledger in that directory."""
    mount = f"mount -o {options} {shlex.quote(str(directory))} {STATE}"
    return inside(f"mkdir -m 700 -p {STATE} && {mount}", "--mount")


#: A container as its runtime makes it: its own processes and mounts, the settings of the kernel
#: read-only, and few capabilities.
CONTAINER = (
    *inside(
        "mount -o bind,ro /sys /sys && mount -o bind,ro /proc/sys /proc/sys",
        "--mount", "--pid", "--fork", "--kill-child", "--ipc", "--mount-proc",
    ),
    "setpriv", f"--bounding-set=-all,{_CONTAINED_CAPS}", f"--inh-caps=-all,{_CONTAINED_CAPS}",
)  # fmt: skip
