"""What the paired tests of the study `hidden_size` say, in sentences and as claims. None is written beforehand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from genray.report.answer import Check
from genray.report.answer import Verdict as Standing
from genray.report.words import counted, estimate, listed
from genray.studies._hidden_tests import LARGE, MARGIN, MIDDLE, MODELS, SIZES, SMALL, PairedTest, Verdict

NOT_ASKED = "Is the GAN better than every VAE? Not asked: there is no GAN, or no VAE, among these models."


def summary(tests: Sequence[PairedTest], conditions: str, cut: str) -> list[str]:
    """`conditions`: the dataset and how long was trained, which stand with every answer. `cut`: see `cut_of`."""
    larger, change, little, vaes, mixed = _asked(tests)
    return [
        f"Fréchet distance on {conditions}; lower is better, differences paired by seed with their 95 % interval. "
        f"Verdicts are by p-values that are corrected for all questions, intervals are not.",
        cut,
        f"Is {MIDDLE} better than {SMALL}? {_answer(larger, 'better', 'worse')}.",
        f"Does {LARGE} change little against {MIDDLE}, by less than {100 * MARGIN:g} % of the way from the floor to "
        f"h = {SMALL}? {_answer(little, 'little', 'more')}.",
        f"Is {LARGE} better than {MIDDLE} at all? {_answer(change, 'better', 'worse')}.",
        f"Is the GAN better than every VAE that was compared ({_whom(vaes)})? {_by_size(vaes)}." if vaes else NOT_ASKED,
        *([f"And than {_whom(mixed)}, trained by a discriminator too? {_by_size(mixed)}."] if mixed else []),
    ]


def cut_of(work: Mapping[str, Any], full: Mapping[str, Any]) -> str:
    """What was left out of the whole question, which asks of every model what the full budget asks of some."""
    absent = [of.title for model, of in MODELS.items() if model not in work["models"]]
    cuts = [f"{work[key]} {key} of {full[key]}" for key in ("epochs", "seeds") if work[key] < full[key]]
    cuts += [f"{work['dataset']} in the place of {full['dataset']}"] if work["dataset"] != full["dataset"] else []
    cuts += [f"{listed(absent)} left out"] if absent else []
    whole = f"{counted(len(MODELS), 'model')} on {full['dataset']}, {full['epochs']} epochs"
    return f"What was cut, of {whole}: {'; '.join(cuts) or 'nothing'}."


def checks(tests: Sequence[PairedTest]) -> list[Check]:
    """A claim holds where every comparison was decided for it, and does not where one was decided against it."""
    larger, _, little, vaes, _ = _asked(tests)
    claims: list[tuple[str, Sequence[PairedTest], Verdict]] = [
        (f"{MIDDLE} is better than {SMALL}, for each of {_whom(larger)}", larger, "better"),
        (f"{LARGE} changes little against {MIDDLE}, for each of {_whom(little)}", little, "little"),
        (f"The GAN is better than every VAE compared ({_whom(vaes)}), at every size", vaes, "better"),
    ]
    return [Check(claim, _counts(asked, wanted), _standing(asked, wanted)) for claim, asked, wanted in claims if asked]


def _standing(tests: Sequence[PairedTest], wanted: Verdict) -> Standing:
    found = {test.verdict for test in tests}
    if found == {wanted}:
        return "holds"
    return "not decided" if found <= {wanted, "undecided"} else "does not hold"


def _asked(tests: Sequence[PairedTest]) -> list[list[PairedTest]]:
    """The middle size; the largest, beside 0 and beside the margin; the GAN against VAEs; and against what is both."""
    gan = [test for test in tests if test.question == "gan"]
    return [
        *([test for test in tests if test.question == question] for question in ("larger", "change", "little")),
        [test for test in gan if MODELS[test.second[0]].kind == "VAE"],
        [test for test in gan if MODELS[test.second[0]].kind != "VAE"],
    ]


def _answer(tests: Sequence[PairedTest], wanted: Verdict, contrary: Verdict) -> str:
    """`Yes, for VAE (−9.9 ± 0.6) and AAE (−3.1 ± 0.4)`, or a group for each verdict."""
    groups = {v: [test for test in tests if test.verdict == v] for v in (wanted, contrary, "undecided")}
    found = {verdict: group for verdict, group in groups.items() if group}
    if len(found) == 1:
        [(verdict, group)] = found.items()
        head = {wanted: "Yes, ", contrary: "No, "}.get(verdict, "")
        word = _word(group) + " " if verdict == "undecided" or group[0].question == "gan" else ""
        said = f"{head}{word}{_joined(group)} {_named(group)}"
        return said[:1].upper() + said[1:]
    if contrary not in found:
        head = "Yes where it is decided"
    elif wanted not in found:
        head = "No where it is decided"
    else:
        head = "Not for all"
    return f"{head}: {'; '.join(f'{_word(group)} {_joined(group)} {_named(group)}' for group in found.values())}"


def _by_size(tests: Sequence[PairedTest]) -> str:
    """`At h = 19: yes, than VAE (−14.1 ± 0.9) …. At h = 64: …`"""
    answers = []
    for size in SIZES:
        answer = _answer([test for test in tests if test.first[1] == size], "better", "worse")
        answers.append(f"At h = {size}: {answer[:1].lower()}{answer[1:]}")
    return ". ".join(answers)


def _word(tests: Sequence[PairedTest]) -> str:
    verdict = tests[0].verdict
    return {"little": "less than that", "more": "more than that", "undecided": "not decided"}.get(verdict, verdict)


def _joined(tests: Sequence[PairedTest]) -> str:
    """`better for the AAE`, `better than the AAE`, `not decided against the AAE`"""
    if tests[0].question != "gan":
        return "for"
    return "against" if tests[0].verdict == "undecided" else "than"


def _named(tests: Sequence[PairedTest]) -> str:
    return listed([f"{_other(test)} ({_change(test).replace('-', '−')})" for test in tests])


def _change(test: PairedTest) -> str:
    """`-1.01 ± 0.20, -26 %`; between models without the percent."""
    mean = estimate(test.mean, test.ci95)
    return mean if test.question == "gan" else f"{mean}, {round(test.percent)} %"


def _other(test: PairedTest) -> str:
    """The model of which sizes are compared, or whom the GAN is compared with."""
    return MODELS[test.second[0]].title


def _whom(tests: Sequence[PairedTest]) -> str:
    others = list(dict.fromkeys(_other(test) for test in tests))
    return listed(others) if others else ""


def _counts(tests: Sequence[PairedTest], wanted: Verdict) -> str:
    """`better in 6 of 7 comparisons; not decided: AAE`"""
    others: dict[str, list[PairedTest]] = {}
    for test in tests:
        if test.verdict != wanted:
            others.setdefault(_word([test]), []).append(test)
    right = len(tests) - sum(map(len, others.values()))
    word = "little" if wanted == "little" else wanted
    head = f"{word} in {right} of {counted(len(tests), 'comparison')}"
    return "; ".join([head, *(f"{verdict}: {listed([_where(t) for t in found])}" for verdict, found in others.items())])


def _where(test: PairedTest) -> str:
    return _other(test) if test.question != "gan" else f"{_other(test)} at h = {test.first[1]}"
