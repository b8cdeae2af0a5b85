"""What can go wrong, as exceptions; all but OSError's kin derive from Error."""

import os


class Error(Exception):
    """Base of all errors of this package."""


class NotWorker(Error):
    """This process was not started by pg-bgw: PGBGW_FDS is not set."""


class Damaged(Error):
    """Shared memory does not hold what it should: damaged, foreign, not sealed,
    or of another version."""


class AreaSize(Error):
    """The area exists with another size (BGW-133)."""


class NotAttached(Error):
    """The segment's memory is used before attach or after detach."""


class SupervisorDied(Error):
    """The supervisor is gone; this process should end."""


class Detached(Error):
    """The queue's other side has detached, has ended, or will never come
    (SHM_MQ_DETACHED); a receiver gets it after all that was sent."""


class WouldBlock(Error):
    """The call would have to wait (SHM_MQ_WOULD_BLOCK); the own latch is set
    when it is worth another try."""


class Timeout(Error):
    """The time that was given has passed."""


class Taken(Error):
    """The queue has a sender, or a receiver, already."""


class Unfinished(Error):
    """A message is sent while another one is sent in part: repeat the call that
    did not finish, or detach."""


class NoPeer(Error):
    """A wait would have no end: nobody has attached to the other side of the
    queue, and no worker was named (expect)."""


class Refused(Error):
    """The supervisor will not do what was asked. errno is what package control
    documents; reason is for a person, and may be empty."""

    def __init__(self, request, errno, reason):
        super().__init__(f"supervisor refused {request}: {reason or os.strerror(errno)}")
        self.request = request
        self.errno = errno
        self.reason = reason

    def __reduce__(self):
        return Refused, (self.request, self.errno, self.reason)
