"""`export`, `inspect` and `parity` on a small Darkroom policy."""

from __future__ import annotations

import shutil

from dmh_edge.runtime.sessions.policy import NOTE_NAME, Policy


def test_export_proves_every_link_and_builds_the_plans(deployed):
    folder, done = deployed
    assert Policy.load(folder).engines().targets == ("sm86",)
    assert "torch step float32" in done.out
    assert "building model.memory.plan" in done.err
    assert f"wrote {folder}: model.json, " in done.err


def test_plans_are_built_in_place_beside_a_policy(well, copy):
    (copy / NOTE_NAME).unlink()
    before = (copy / "model.json").read_bytes()
    well("export", copy, "--trt", "--trt-target", "sm89", "--trt-target", "sm86")
    assert Policy.load(copy).engines().targets == ("sm89", "sm86")
    assert (copy / "model.json").read_bytes() == before


def test_inspect_shows_what_an_operator_should_know(well, policy):
    for engine in (policy, policy / "model.plan"):
        out = well("inspect", engine).out
        loaded = Policy.load(policy)
        hashes = [loaded.sha256, *loaded.contract.files.values(), *loaded.engines().plans.values()]
        for wanted in (
            *hashes,
            "darkroom at 50 Hz, episodes of 20 steps",
            "every 5 ticks",
            "for sm86, float32",
            "parity",
        ):
            assert wanted in out, wanted


def test_parity_is_proved_again_also_against_a_run_that_has_moved(well, policy, run, tmp_path):
    moved = shutil.copytree(run, tmp_path / "moved")
    for where in ((), ("--run", moved)):
        out = well("parity", policy, "--ticks", 30, *where).out
        assert "torch forward float64" in out
        assert "ort-cpu" in out


def test_settings_of_an_export_that_do_not_fit_are_refused(dmh_edge, refused, run, policy, tmp_path):
    out = tmp_path / "x"
    assert "--trt-target without --trt" in refused("export", run, "--trt-target", "sm89", "--out", out)
    assert "'sm1'" in refused("export", policy, "--trt", "--trt-target", "sm1")
    assert "--out" in refused("export", run)
    assert "already an exported policy" in refused("export", policy)
    assert "already an exported policy" in refused("export", policy, "--trt", "--out", out)
    done = dmh_edge("export", run, "--out", out, "--precision", "int8")
    assert done.code == 2
    assert "'float32', 'float16'" in done.err
    assert not out.exists()
