"""System calls nothing in a sandbox needs, as a filter program for the kernel.

They are the ones that make new namespaces and mounts, look into other processes, load code into the kernel, or take
memory that belongs to no process. Links and special files are refused too, so that nothing in a working folder can
make us read or write somewhere else when we look into it.
"""

import platform
import struct

_LOAD, _EQUAL, _ANY_BIT, _ANSWER = 0x20, 0x15, 0x45, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16
_ALLOW, _KILL, _REFUSE, _UNKNOWN = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026  # EPERM, ENOSYS
_NEW_NAMESPACES = 0x7E020080  # every CLONE_NEW… flag
_X32 = 0x40000000

_EVERYWHERE = (
    425, 428, 429, 430, 431, 432, 433, 438, 442, 447,
)  # fmt: skip  # io_uring_setup, open_tree … fspick, pidfd_getfd, mount_setattr, memfd_secret
# mount umount2 pivot_root chroot unshare setns ptrace process_vm_readv process_vm_writev keyctl add_key request_key bpf
# perf_event_open userfaultfd open_by_handle_at kexec_load kexec_file_load init_module finit_module delete_module swapon
# swapoff reboot syslog acct quotactl memfd_create shmget
_REFUSED = {
    "x86_64": (
        165, 166, 155, 161, 272, 308, 101, 310, 311, 250, 248, 249, 321,
        298, 323, 304, 246, 320, 175, 313, 176, 167,
        168, 169, 103, 163, 179, 319, 29,
    ),
    "aarch64": (
        40, 39, 41, 51, 97, 268, 117, 270, 271, 219, 217, 218, 280,
        241, 282, 265, 104, 294, 105, 273, 106, 224,
        225, 142, 116, 89, 60, 279, 194,
    ),
}  # fmt: skip
_LINKS = {"x86_64": (86, 88, 133, 259, 265, 266), "aarch64": (33, 36, 37)}  # link, symlink, mknod and their …at
_CLONE = {"x86_64": 56, "aarch64": 220}
_CLONE3 = 435  # its flags cannot be looked at, so it does not exist; everybody falls back to clone
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


def call_filter(*, links: bool) -> bytes:
    """The filter for this machine; empty where its system calls are not known. `links` may be made if wanted."""
    machine = platform.machine()
    if machine not in _REFUSED:
        return b""
    refused = (*_EVERYWHERE, *_REFUSED[machine], *(() if links else _LINKS[machine]))
    program = [
        _step(_LOAD, _ARCHITECTURE_AT),
        _step(_EQUAL, _ARCHITECTURES[machine], yes=1),
        _step(_ANSWER, _KILL),
        _step(_LOAD, _NUMBER_AT),
        *_unless(_ANY_BIT, _X32, _KILL),
        *_unless(_EQUAL, _CLONE3, _UNKNOWN),
        *(step for number in refused for step in _unless(_EQUAL, number, _REFUSE)),
        _step(_EQUAL, _CLONE[machine], no=3),
        _step(_LOAD, _FIRST_ARGUMENT_AT),
        *_unless(_ANY_BIT, _NEW_NAMESPACES, _REFUSE),
        _step(_ANSWER, _ALLOW),
    ]
    return b"".join(program)


def _unless(test: int, value: int, answer: int) -> tuple[bytes, bytes]:
    """Answer so when the test holds, else go on."""
    return _step(test, value, no=1), _step(_ANSWER, answer)


def _step(code: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    """One instruction; `yes` and `no` are how many to skip."""
    return struct.pack("=HBBI", code, yes, no, value)
