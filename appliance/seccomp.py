"""System-call filters: classic BPF over number and arguments of a call, installed for every thread of the process.

Linux, Documentation/userspace-api/seccomp_filter.rst. A filter needs no privilege once PR_SET_NO_NEW_PRIVS is set,
passes to every child, and can never be taken off again. Refused calls fail with an error number, so that libraries
carry on.
"""

import ctypes
import platform
import struct

ALLOW, KILL = 0x7FFF0000, 0x80000000
EPERM, EACCES, ENOSYS = 1, 13, 38
Numbers = tuple[int, int]  # of one call on x86_64 and aarch64 (the kernel's unistd.h); -1: no such call there

IO_URING_SETUP: Numbers = (425, 425)  # rings open files and sockets without the calls of these names
_PR_SET_NO_NEW_PRIVS = 38
_SET_MODE_FILTER, _FLAG_TSYNC = 1, 1
_SECCOMP: Numbers = (317, 277)
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # AUDIT_ARCH of each machine
_COLUMNS = {"x86_64": 0, "aarch64": 1}
_X32_BIT = 0x40000000
_LOAD, _RETURN, _AND, _JUMP_EQUAL, _JUMP_SET = 0x20, 0x06, 0x54, 0x15, 0x45
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def errno_result(number: int) -> int:
    """What a filter returns for a call to fail with this error number."""
    return 0x00050000 | number


def known(machine: str) -> bool:
    """Whether filters can be written for this machine (as `platform.machine` names it)."""
    return machine in _ARCHITECTURES and struct.calcsize("P") == 8


def number_of(call: Numbers, machine: str) -> int:
    return call[_COLUMNS[machine]]


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, value)


def load_number() -> bytes:
    return _instruction(_LOAD, _NUMBER)


def load_argument(index: int) -> bytes:
    """The low half of an argument; every argument we look at is an int for the kernel."""
    return _instruction(_LOAD, _ARGUMENTS + 8 * index)


def keep_bits(bits: int) -> bytes:
    return _instruction(_AND, bits)


def result(value: int) -> bytes:
    return _instruction(_RETURN, value)


def jump_equal(value: int, if_true: int, if_false: int) -> bytes:
    """Skip so many instructions where the loaded value is `value`, or is not."""
    return _instruction(_JUMP_EQUAL, value, if_true, if_false)


def jump_set(bits: int, if_true: int, if_false: int) -> bytes:
    """Skip so many instructions where the loaded value has one of `bits`, or none."""
    return _instruction(_JUMP_SET, bits, if_true, if_false)


def beginning(machine: str) -> list[bytes]:
    """Calls of another architecture end the process, those of x32 do not exist; then the number is loaded."""
    parts = [
        _instruction(_LOAD, _ARCHITECTURE),
        jump_equal(_ARCHITECTURES[machine], 1, 0),
        result(KILL),
        load_number(),
    ]
    if machine == "x86_64":  # the x32 numbers would go around every list
        parts += [jump_set(_X32_BIT, 0, 1), result(errno_result(ENOSYS))]
    return parts


def refused(call: Numbers, machine: str, error: int) -> list[bytes]:
    """`call` fails with `error`; nothing where this machine has no such call."""
    number = number_of(call, machine)
    return [jump_equal(number, 0, 1), result(errno_result(error))] if number >= 0 else []


def guarded(call: int, argument: int, test: bytes, matched: int, otherwise: int) -> list[bytes]:
    """For `call`, the result `matched` where its argument passes `test` (a jump of 0 or 1), else `otherwise`."""
    return [jump_equal(call, 0, 4), load_argument(argument), test, result(matched), result(otherwise)]


def install(code: bytes, machine: str | None = None) -> bool:
    """Put the filter in force for all threads of this process; whether the kernel did."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not no_new_privileges():
        return False
    program = _Program(len(code) // 8, code)
    number = number_of(_SECCOMP, machine or platform.machine())
    return bool(libc.syscall(number, _SET_MODE_FILTER, _FLAG_TSYNC, ctypes.byref(program)) == 0)


def no_new_privileges() -> bool:
    """No program started from here on gains rights (prctl(2)); whether the kernel agreed."""
    return bool(ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
