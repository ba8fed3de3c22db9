"""The engine's configuration."""

from __future__ import annotations

import importlib.util

import pytest

from skin_pipeline.engines import EngineParameters, LocalEngine, make_engine, read_engine
from skin_pipeline.engines.ray import RayEngine
from skin_pipeline.errors import ConfigurationError


def test_nothing_configured_is_the_local_engine():
    assert isinstance(make_engine(read_engine(None)), LocalEngine)
    assert isinstance(make_engine(read_engine({"kind": "ray"})), RayEngine)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "dask"}, r"engine.kind \(conf/<env>/globals.yml\): .* got 'dask'"),
        ({"ray": {"adress": "auto"}}, "engine.ray.adress .* not permitted"),
        ({"ray": {"address": "ray://head:10001"}}, "engine.ray.address .* got 'ray://head:10001'"),
        (
            {"ray": {"stages": {"inference": {"num_gpus": -1}}}},
            "engine.ray.stages.inference.num_gpus .* got -1",
        ),
    ],
)
def test_setting_that_makes_no_sense_is_named(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        read_engine(settings)


@pytest.mark.parametrize("address", ["local", "auto", "10.0.0.1:6379", "head.cluster:6379", None])
def test_addresses(address):
    assert EngineParameters(ray={"address": address}).ray.address == address


def test_missing_ray_is_said_before_the_run(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'skin_pipeline\[ray\]'"):
        make_engine(read_engine({"kind": "ray"})).preflight()


def test_address_that_does_not_serve_is_said_before_the_run(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object())
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    with pytest.raises(
        ConfigurationError, match=r"RAY_ADDRESS is 'ray://head:10001'.*on a node of the cluster"
    ):
        make_engine(read_engine({"kind": "ray"})).preflight()
    make_engine(read_engine({"kind": "ray", "ray": {"address": "local"}})).preflight()
