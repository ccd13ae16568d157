"""Who comes next, and when: principals take turns, the requests of one in the order in which they came; bounded."""

from collections import OrderedDict, deque

from appliance.inference.llama.job import Job

RECENT = 0.2  # weight of the last answer in the mean time of an answer


class AnswerTime:
    """The mean time from one answer to the next, of those so far. For use under a lock.

    An answer beside seven others takes several times as long as one alone, so its time is divided among them.
    """

    def __init__(self) -> None:
        self._mean_s = 0.0  # 0 before the first

    def took(self, seconds: float, at_work: int) -> None:
        """Another answer did, as one of so many at work."""
        self._mean_s += (RECENT if self._mean_s else 1.0) * (seconds / at_work - self._mean_s)

    def until_turn_s(self, ahead: int, at_work: int, slots: int) -> float:
        """Seconds until one who has so many before it gets a slot: they become free evenly, one by one."""
        return max(0, ahead + 1 + at_work - slots) * self._mean_s


class FairQueue:
    """At most `limit` waiting jobs. For use under a lock."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: OrderedDict[str, deque[Job]] = OrderedDict()  # in the order of their turns; none is empty

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def add(self, job: Job) -> Job | None:
        """Let it wait; -> the job that has no place: itself, or where another principal holds at least two places more,
        the last one of the principal that holds most.
        """
        own = self._waiting.get(job.request.principal, ())
        if len(self) < self._limit:
            self._append(job)
            return None
        greedy = max(self._waiting.values(), key=len)
        if len(greedy) < len(own) + 2:
            return job
        left = greedy.pop()
        self._append(job)
        return left

    def take(self) -> Job:
        """Remove the first; its principal comes last then. Raises StopIteration when nobody waits."""
        principal, jobs = next(iter(self._waiting.items()))
        job = jobs.popleft()
        if jobs:
            self._waiting.move_to_end(principal)
        else:
            del self._waiting[principal]
        return job

    def remove(self, job: Job) -> bool:
        """Whether it was waiting: it no longer is."""
        jobs = self._waiting.get(job.request.principal)
        if jobs is None or job not in jobs:
            return False
        jobs.remove(job)
        if not jobs:
            del self._waiting[job.request.principal]
        return True

    def position(self, job: Job) -> int:
        """How many will be taken before it; -1 when it does not wait."""
        jobs = self._waiting.get(job.request.principal, ())
        if job not in jobs:
            return -1
        own, before, ahead = list(jobs).index(job), True, 0
        for principal, others in self._waiting.items():
            if principal == job.request.principal:
                before = False
            else:
                ahead += min(len(others), own + before)
        return own + ahead

    def clear(self) -> list[Job]:
        """All that waited; nobody does now."""
        jobs = [job for waiting in self._waiting.values() for job in waiting]
        self._waiting.clear()
        return jobs

    def _append(self, job: Job) -> None:
        self._waiting.setdefault(job.request.principal, deque()).append(job)
