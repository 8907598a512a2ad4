"""Child processes that end with their parent, even when the parent is killed.

A parent that is killed outright cannot clean up, so the child must hear of it from the kernel. On Linux it asks for
a signal at its parent's death, which survives exec. The asking is done by a short Python program that then becomes
the child: doing it between fork and exec is unsafe in a process with threads, and gRPC has threads. Elsewhere a
child of a killed parent stays.
"""

import os
import signal
import sys
from collections.abc import Sequence

__all__ = ["dying_with_parent"]

# 1 is PR_SET_PDEATHSIG. The parent may have died before the request: then nobody would signal.
_LAUNCHER = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, int(sys.argv[2]))
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execv(sys.argv[3], sys.argv[3:])
"""


def dying_with_parent(command: Sequence[str], *, by: signal.Signals = signal.SIGTERM) -> list[str]:
    """Return `command`, whose program is a path, as one that gets a signal when the calling thread's process ends.

    SIGTERM lets the child end in order, if it does; SIGKILL is certain. The kernel looks at the thread that starts the
    child: start it from one that lives as long as the process.
    """
    if sys.platform != "linux":
        return list(command)
    return [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), str(int(by)), *command]
