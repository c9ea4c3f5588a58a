"""All studies by name, and the function that conducts a study and writes its page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from dmh_edge.errors import ConfigError, unknown
from dmh_edge.studies import ablations, against_ad, cost, latency, memory_length, tuning
from dmh_edge.studies.study import Budget, Study, Workshop
from dmh_edge.studies.study_page import Colophon, Page, write

STUDIES = {
    study.name: study
    for study in (
        against_ad.STUDY,
        memory_length.STUDY,
        ablations.SUBGOAL,
        ablations.CHUNK,
        tuning.STUDY,
        cost.STUDY,
        latency.STUDY,
    )
}
_BUDGETS = {
    "smoke": "smoke: tiny models and next to no training, to see that everything works; the figures mean nothing",
    "cpu": "cpu: what two cores do in at most three hours",
    "full": "full: the paper's sizes, and as many updates as a GPU makes in days",
}


def find(name: str) -> Study:
    """Return the study of this name.

    Raises:
        ConfigError: no study has this name; the message contains the nearest name.
    """
    if name not in STUDIES:
        raise ConfigError(unknown("study", name, STUDIES))
    return STUDIES[name]


def conduct(
    study: Study, budget: Budget, work: Path, out: Path, jobs: int, say: Callable[[str], None]
) -> tuple[Page, list[Path]]:
    """Do what is left of a study, and write its page.

    Returns:
        the page, and its files.

    Raises:
        DmhEdgeError: a policy cannot be trained or tried, or a file cannot be written.
    """
    workshop = Workshop(work, jobs, say)
    results = study.find(budget, workshop)
    page = study.page(budget, results)
    if budget == "smoke":
        page = replace(page, asked=f"**{_BUDGETS[budget]}, and sizes are not those named here.** {page.asked}")
    spent = workshop.spent
    colophon = Colophon(
        command=f"dmh-edge study {study.name} --budget {budget} --jobs {jobs}",
        budget=_BUDGETS[budget],
        machines=sorted({one.machine for one in spent}),
        versions=sorted({one.versions for one in spent}),
        seconds=sum(one.seconds for one in spent),
    )
    return page, write(study.name, page, results, colophon, out)
