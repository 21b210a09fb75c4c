"""Jobs of the benchmark of inference: each in a process of its own, watched for time and memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Job:
    """One sampler on one data set.

    Parameters
    ----------
    data : str
        Name of the data, such as ``rows-20k``.
    sampler : str
        ``churnsurv``, ``churnsurv laplace``, or one of the rivals.
    what : {"sample", "gradient"}
        Draw; or take the time of one gradient, from which the time of drawing is worked out.
    limit : float
        Seconds after which it is given up.
    settings : dict
        Draws and warm-up where they are not the sampler's own.
    """

    data: str
    sampler: str
    what: str
    limit: float
    settings: dict[str, int] = field(default_factory=dict)


def carry_out(job: Job, folder: Path) -> dict[str, Any]:
    """Run a job; what it found, with ``memory`` in GiB, or ``failed`` with the reason.

    Parameters
    ----------
    job : Job
        What to run.
    folder : Path
        Where the data lie as ``{job.data}.npz``, and where the job writes.
    """
    stem = f"{job.data}-{job.sampler}-{job.what}".replace(" ", "-")
    out, log = folder / f"{stem}.out.json", folder / f"{stem}.log"
    given = {"data": str(folder / f"{job.data}.npz"), "sampler": job.sampler, "what": job.what}
    given |= {"settings": job.settings, "out": str(out)}
    (folder / f"{stem}.json").write_text(json.dumps(given), encoding="utf-8")
    command = [sys.executable, "-m", "tests.benchmarks.inference_run", str(folder / f"{stem}.json")]
    with log.open("w", encoding="utf-8") as told:
        process = subprocess.Popen(command, cwd=ROOT, stdout=told, stderr=subprocess.STDOUT, start_new_session=True)
        memory, finished = _watch(process, job.limit)
    if not finished:
        return {"failed": f"not finished in {job.limit:.0f} s", "memory": memory}
    if process.returncode != 0 or not out.exists():
        last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
        return {"failed": f"stopped: {' '.join(last) or process.returncode}", "memory": memory}
    return {**json.loads(out.read_text(encoding="utf-8")), "memory": memory}


def _watch(process: subprocess.Popen[bytes], limit: float) -> tuple[float, bool]:
    """Wait until the end or the limit; the most memory that it and its children held, in GiB."""
    peak, began = 0.0, time.perf_counter()
    while True:
        try:
            process.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            peak = max(peak, sum(_memory(pid) for pid in _family(process.pid)))
        else:
            return peak / 2**30, True
        if time.perf_counter() - began > limit:
            os.killpg(process.pid, 9)
            process.wait()
            return peak / 2**30, False


def _family(pid: int) -> list[int]:
    """A process and all its descendants."""
    found = [pid]
    for parent in found:
        try:
            for task in Path(f"/proc/{parent}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text(encoding="ascii").split()]
        except OSError:  # it has ended meanwhile
            continue
    return found


def _memory(pid: int) -> int:
    """Bytes of a process, each shared page divided among those who share it; 0 where the system does not tell."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))
