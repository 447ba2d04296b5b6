"""Recover: the operator's way on when `approved`, or what the runner follows, was changed behind the gate's back."""

from dataclasses import replace

from gitqueue import refs
from gitqueue.adapters import git, journal, memory, vault
from gitqueue.adapters.premises import Premises
from gitqueue.errors import OperatorNeeded
from gitqueue.model import RefMove
from gitqueue.refs import Kind
from gitqueue.rules.chain import Chain
from gitqueue.rules.journal import Entry, Event, replay


def recover(premises: Premises, chain: Chain, now: float) -> tuple[str, ...]:
    """Put `approved` to the end of a verified chain, and go on from where results and reviews stand now; what was
    changed, in words. The caller holds the runner's lock, and has settled the inbox.

    Safe to repeat: the audit is told before anything moves, and of nothing that it has heard.
    """
    site, to = premises.site, chain.tip or ""
    there = premises.objects.ref(refs.APPROVED)
    said = [f"approved stands at {to[:12]}" + (f", it was at {(there or 'nowhere')[:12]}" if there != to else "")]
    tips = memory.Tips(site)
    live = {str(ref): tip for ref, tip in premises.queue.refs(Kind.RESULT, Kind.REVIEW).items()}
    lost = tips.compare(live, premises.objects.descends)
    said += [f"{name} is taken as it is now ({(live.get(name) or 'gone')[:12]})" for name in lost]
    believed = _told(premises)
    move = (RefMove(refs.APPROVED, believed, to),) if believed != to else ()
    journal.leave(site.inbox, Entry(Event.RECOVERED, int(now), "operator", moves=move, reasons=tuple(said)))
    if there != to and not git.move_refs(site.repository, [RefMove(refs.APPROVED, there, to)]):
        raise OperatorNeeded("approved moved just now", step="keep people from pushing, then recover again")
    for name in lost:
        tips.forget(name)
        if name in live:
            tips.follow(name, live[name], premises.objects.descends)
    tips.keep()
    taken = {claim.job for claim in vault.claims(premises.vault)}
    waiting = tuple(approval for approval in chain.approvals if approval.job not in taken)
    memory.keep(site, premises.settings.root, replace(chain, approvals=waiting))
    return tuple(said)


def _told(premises: Premises) -> str | None:
    """Where the audit says that `approved` stands. Raises Tampered where the audit itself cannot be read."""
    tip = premises.objects.ref(refs.AUDIT)
    entries = list(journal.read(premises.objects, tip))[::-1] if tip else []
    return replay(entries, {refs.APPROVED: premises.settings.root}).tips.get(refs.APPROVED)
