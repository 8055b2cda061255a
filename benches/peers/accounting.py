"""What the operating system says a server has used: /proc, for a process and all that it has started."""
import os
from pathlib import Path

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")


def tree(pid):
    """The process ids of `pid` and of everything below it."""
    children = {}
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            fields = _stat(int(folder.name))
            if fields:
                children.setdefault(int(fields[1]), []).append(int(folder.name))
    found, queue = [], [pid]
    while queue:
        one = queue.pop()
        found.append(one)
        queue += children.get(one, [])
    return found


def cpu_seconds(pid):
    """CPU time of a server, in user and in kernel mode, of all its threads and processes, also of those that have ended."""
    return sum(sum(map(int, fields[11:15])) for fields in map(_stat, tree(pid)) if fields) / TICKS


def memory_bytes(pid):
    """Memory that only this server holds: its resident pages that are not backed by a file, shared ones counted once."""
    return sum(_rollup(one, "Pss_Anon:", "Pss_Shmem:") for one in tree(pid))


def machine_busy_seconds():
    """CPU time that all processes of the machine together have used."""
    user, nice, system, _idle, _iowait, irq, softirq = map(int, (PROC / "stat").read_text().split()[1:8])
    return (user + nice + system + irq + softirq) / TICKS


def disk_bytes(folder):
    """What the files below a folder take on disk."""
    return sum(path.stat().st_blocks * 512 for path in Path(folder).rglob("*") if path.is_file())


def _stat(pid):
    """The fields of /proc/PID/stat after the name: state, ppid, …; 11 to 14 are utime, stime, cutime, cstime."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def _rollup(pid, *names):
    lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(names))
