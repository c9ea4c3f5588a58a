"""The names in the help are the names of the things themselves."""

from __future__ import annotations

from typing import get_args

from dmh_edge import names, presets, tasks
from dmh_edge.bench import mambas
from dmh_edge.models.build import ModelConfig
from dmh_edge.runtime.sessions.engine import BACKENDS, Backend
from dmh_edge.studies.conduct import STUDIES


def test_every_task_is_named() -> None:
    assert tuple(tasks.TASKS) == names.TASKS


def test_every_model_is_named_and_has_presets() -> None:
    kinds = {get_args(config.model_fields["kind"].annotation)[0] for config in get_args(get_args(ModelConfig)[0])}
    assert sorted(names.MODELS) == sorted(kinds)
    assert {kind for _, kind, _ in presets.PRESETS} == kinds


def test_every_study_is_named() -> None:
    assert tuple(STUDIES) == names.STUDIES


def test_every_other_mamba_is_named() -> None:
    assert names.RIVAL_MAMBAS == mambas.RIVALS


def test_every_backend_is_named() -> None:
    assert names.BACKENDS == BACKENDS == get_args(Backend)
