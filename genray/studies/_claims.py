"""Claims of one study that are differences of runs with the same seed: their verdicts, corrected for their number."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

from genray.report.answer import Check, Verdict
from genray.report.words import counted, number
from genray.studies._paired import LEVEL, holm, two_sided_p


class Claim(NamedTuple):
    claim: str
    found: str  # the difference with its interval
    gains: Sequence[float]  # of each seed, as runs with the same seed had the same batches; above 0 for the claim


def checked(claims: Sequence[Claim]) -> list[Check]:
    """Student's paired t, two-sided, corrected by Holm over all claims with two seeds or more: the others are left out,
    as without an interval nothing is borne out."""
    known = [claim for claim in claims if len(claim.gains) > 1]
    holm_p = holm({claim.claim: two_sided_p(claim.gains) for claim in known})
    checks = []
    for claim, found, gains in known:
        p = holm_p[claim]
        checks.append(Check(claim, f"{found}; Holm's p {number(p, digits=2)}", _verdict(p, gains)))
    return checks


def _verdict(p: float, gains: Sequence[float]) -> Verdict:
    if p >= LEVEL:
        return "not decided"
    return "holds" if fmean(gains) > 0 else "does not hold"


def rule(checks: Sequence[Check]) -> list[str]:
    """What verdicts are by, in a sentence where there are any."""
    if not checks:
        return []
    return [
        f"Verdicts: by Student's t, paired by seed and two-sided, with Holm's correction for "
        f"{counted(len(checks), 'claim')}, p below {LEVEL:g}; a claim does not hold where the contrary is shown. The "
        f"intervals are not corrected: one that leaves out 0 may stand beside a claim that is not decided."
    ]
