"""What the runner looks at before it does anything: the audit's inbox, the chain, and where the refs stand."""

from dataclasses import replace
from time import monotonic, time

from gitqueue import refs
from gitqueue.adapters import memory
from gitqueue.adapters.history import History
from gitqueue.errors import Tampered
from gitqueue.refs import JobId, Kind
from gitqueue.rules.lifecycle import FINAL_RUNS, RERUNNABLE
from gitqueue.rules.notes import ResultText, parse_result
from gitqueue.runner.desk import Desk
from gitqueue.steps import execute, record, rehearse, tidy, trial, verify

SCAN = 60.0


def settle(desk: Desk) -> None:
    """Bring the inbox into the audit; what it says has moved is looked at next."""
    for name in record.record(desk.premises, time()):
        ref = refs.parse(name)
        if ref and ref.job and desk.premises.queue.ref(name):  # not, where gc took it away
            desk.touched.add(ref.job)
            desk.asked |= {ref.job} if ref.kind is not Kind.RESULT else set()


def verify_chain(desk: Desk) -> None:
    """Go on verifying from the last verified tip. What does not hold is an alarm, and nothing of it ever runs."""
    tip = desk.premises.queue.ref(refs.APPROVED)
    try:
        if tip is None:
            raise verify.Broken("", desk.chain, "the branch approved has gone")
        if tip != desk.chain.tip:
            # From the root on, the operator's revocations would condemn what stood before them: they count for what
            # is new, and for what has not run.
            history = desk.premises.history if desk.chain.tip else History(desk.premises.objects)
            desk.chain = verify.extend(history, desk.chain, desk.settings.root, tip)
            # What was claimed before is looked at by its refs: of a chain that was verified anew, that is nearly all.
            desk.touched |= {approval.job for approval in desk.chain.approvals if approval.job not in desk.attempts}
        desk.alarm = None
    except verify.Broken as error:
        desk.chain, desk.alarm = error.chain, error
        desk.announce("\n".join([*error.lines(), f"gitqueue: next: {memory.mending(desk.site, desk.chain, tip)}"]))
    _remember(desk)


def _remember(desk: Desk) -> None:
    """Forget the approvals that are taken, and write down where we are."""
    waiting = tuple(approval for approval in desk.chain.approvals if approval.job not in desk.attempts)
    desk.chain = replace(desk.chain, approvals=waiting)
    if desk.chain.tip != desk.noted:  # that some have been taken since, the next runner learns from the vault
        memory.keep(desk.site, desk.settings.root, desk.chain)
        desk.noted = desk.chain.tip


def sweep(desk: Desk) -> None:
    """At the start, once it is known whose word counts: end and remove what a killed runner left."""
    if not desk.swept:
        for step in (tidy.finish, execute.sweep, rehearse.sweep, trial.sweep):
            step(desk.premises)
        desk.swept = True


def scan(desk: Desk) -> None:
    """Now and then, look at all refs: what no hook told us of, and what somebody moved behind the gate's back.

    Results and reviews only go forward: one that has gone, or gone back, is an alarm, and is not run again. Between two
    scans a pass looks at open work alone, so that it costs the same however much has been done before.
    """
    if monotonic() < desk.scanned + SCAN and not desk.frozen:
        return
    desk.scanned = monotonic()
    now = desk.premises.queue.refs(Kind.RESULT, Kind.REVIEW)
    jobs = (ref.job for ref in desk.premises.queue.refs(Kind.REQUEST) if ref.job)
    asked = {job for job in jobs if refs.Ref(Kind.RESULT, job) not in now}
    desk.asked |= asked
    desk.touched |= asked - desk.stands.keys()
    _forget_closed(desk, {str(ref) for ref in now})
    known = desk.tips.all()
    wrong = desk.tips.compare({str(ref): tip for ref, tip in now.items()}, desk.premises.objects.descends)
    desk.frozen = {ref.job for name in wrong if (ref := refs.parse(name)) and ref.job}
    if wrong:
        error = Tampered(*wrong.values())
        desk.alarm = desk.alarm or error
        desk.announce("\n".join(error.lines()))
    desk.tips.keep()
    for ref, tip in now.items():
        if ref.job and ref.kind is Kind.RESULT:
            stand = (tip, now.get(refs.Ref(Kind.REVIEW, ref.job), ""))
            if desk.closed.get(ref.job) != stand and not _was_over(desk, ref.job, stand, known):
                desk.touched.add(ref.job)


def _forget_closed(desk: Desk, live: set[str]) -> None:
    """Refs that have gone since gc took them into the archive, as they stood, are no alarm."""
    gone = {name: tip for name, tip in desk.tips.all().items() if name not in live}
    for job in desk.premises.queue.archived().values() if gone else ():
        for name, tip in job.tips.items():
            if name in gone and desk.premises.objects.descends(tip, gone[name]):
                desk.tips.forget(name)
                desk.closed.pop(job.job, None)


def _was_over(desk: Desk, job: JobId, stand: tuple[str, str], known: dict[str, str]) -> bool:
    """Whether an earlier runner has seen this job end, and nothing was said since."""
    seen = (known.get(refs.result(job), ""), known.get(refs.review(job), ""))
    if seen != stand or not _ended(desk, stand):
        return False
    desk.closed[job] = stand
    return True


def _ended(desk: Desk, stand: tuple[str, str]) -> bool:
    try:
        result: ResultText = parse_result(desk.premises.objects.commit(stand[0]).message)
    except ValueError:
        return False
    return result.state in FINAL_RUNS and not (stand[1] and result.state in RERUNNABLE)


def look(desk: Desk) -> None:
    """Where the jobs stand whose refs moved: open, or closed until they move again."""
    for job in desk.touched - desk.busy.keys():
        desk.touched.discard(job)
        tip, said = (_followed(desk, name) for name in (refs.result(job), refs.review(job)))
        if not tip or desk.closed.get(job) != (tip, said):
            _sort(desk, job, (tip, said))


def _followed(desk: Desk, name: str) -> str:
    tip = desk.premises.queue.ref(name) or ""
    if tip:
        desk.tips.follow(name, tip, desk.premises.objects.descends)
    return tip


def _sort(desk: Desk, job: JobId, stand: tuple[str, str]) -> None:
    found = desk.premises.queue.job(job)
    if not found.is_change:
        desk.stand(job, found.state)
    if found.closed:
        desk.open.discard(job)
    if found.closed or found.results is None:
        return
    if found.result is None or found.state not in FINAL_RUNS:
        desk.open.add(job)
        return
    desk.open.discard(job)
    desk.closed[job] = stand
