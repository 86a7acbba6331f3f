import os
import subprocess

import pytest

from lmn_tf import xla_flags
from lmn_tf.xla_flags import SELECT_K, accepts, let_xla_select_k


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.setattr(xla_flags.shutil, "which", lambda name: f"/usr/bin/{name}")


def test_is_added_where_it_is_accepted(gpu, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=false")
    monkeypatch.setattr(xla_flags, "accepts", lambda flags: SELECT_K in flags)
    let_xla_select_k()
    assert os.environ["XLA_FLAGS"] == f"--xla_cpu_enable_fast_math=false {SELECT_K}=true"


def test_is_left_out_where_it_is_not_accepted(gpu, monkeypatch):
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    monkeypatch.setattr(xla_flags, "accepts", lambda flags: False)
    let_xla_select_k()
    assert "XLA_FLAGS" not in os.environ


@pytest.mark.parametrize("has_gpu", [True, False])
def test_nothing_is_tried_without_a_gpu_or_against_the_user(has_gpu, monkeypatch):
    flags = f"{SELECT_K}=false" if has_gpu else ""
    monkeypatch.setenv("XLA_FLAGS", flags)
    monkeypatch.setattr(xla_flags.shutil, "which", lambda name: name if has_gpu else None)
    monkeypatch.setattr(xla_flags, "accepts", lambda flags: pytest.fail("was tried"))
    let_xla_select_k()
    assert os.environ["XLA_FLAGS"] == flags


@pytest.mark.slow  # starts TensorFlow once more, as does the next one
def test_a_flag_that_xla_does_not_know_is_not_accepted():
    assert not accepts("--xla_gpu_no_such_flag=true")


@pytest.mark.slow
def test_no_flags_are_accepted():
    assert accepts("")


def test_a_process_that_hangs_is_not_waited_for(monkeypatch):
    def hang(*arguments, **options):
        raise subprocess.TimeoutExpired("python", 120)

    monkeypatch.setattr(xla_flags.subprocess, "run", hang)
    assert not accepts("")
