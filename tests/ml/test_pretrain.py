"""Pretraining: views that keep the cell, runs that survive being killed, failures that say what to do."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from workers.ml.augment import Augmentation
from workers.ml.dino import Recipe
from workers.ml.encoders import Network, load_encoder
from workers.ml.pretrain import PretrainError, Progress, Run
from workers.ml.rendering import CLASSES, demo_cells
from workers.ml.spec import EncoderSpec
from workers.ml.starts import starting_network

SPEC = EncoderSpec(name="tiny", architecture="test_efficientnet", size=32, crop=0.6, precision="float32")
RECIPE = Recipe(
    spec=SPEC, views=(Augmentation(), Augmentation()), local_views=1, local_size=24, store=48, epochs=2, batch=16,
    warmup_epochs=1, frozen_epochs=0.5, head_hidden=32, head_bottleneck=16, head_out=64,
)  # fmt: skip
TINY = [
    "architecture=test_efficientnet", "size=32", "store=48", "epochs=2", "batch=16", "head_hidden=32", "head_out=64",
]  # fmt: skip


@dataclass(frozen=True)
class Given:
    name: str
    data: bytes

    def read(self) -> bytes:
        return self.data


class Stopped(Exception):
    pass


@pytest.fixture(scope="module")
def cells() -> list[Given]:
    return [Given(name, jpeg) for name, _, jpeg in demo_cells(300, "A", 0, dict.fromkeys(CLASSES, 1.0))]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def run_in(folder: Path, cells: list[Given], recipe: Recipe = RECIPE) -> Run:
    network = lambda spec: starting_network(spec, "random")  # noqa: E731
    return Run(folder, recipe, cells, network, {"licence": "none"}, torch.device("cpu"), dim=16)


def test_views_are_the_same_for_the_same_seed_and_keep_the_cell_in_the_middle() -> None:
    images = torch.randint(0, 256, (6, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    views = [Augmentation()(images, 40, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert views[0].shape == (6, 3, 40, 40)
    assert (float(views[0].min()) >= 0, float(views[0].max()) <= 1) == (True, True)
    assert torch.equal(views[0], views[1])
    assert not torch.equal(views[0], views[2])
    only_background = Augmentation(
        scale=(1, 1), shift=0, aspect=0, background=1, jitter=0, grey=0, blur=0, noise=0
    )  # fmt: skip
    dark = torch.zeros(6, 3, 64, 64, dtype=torch.uint8)
    dark[:, :, 24:40, 24:40] = torch.arange(40, 240, 35, dtype=torch.uint8)[:, None, None, None]
    middle = only_background(dark, 64, torch.Generator().manual_seed(0))[:, :, 28:36, 28:36]
    assert torch.allclose(middle * 255, torch.arange(40.0, 240, 35)[:, None, None, None].expand_as(middle), atol=1)


def test_a_view_may_be_stained_as_another_one_of_the_batch() -> None:
    flat = torch.tensor([[40, 80, 160], [200, 120, 60]], dtype=torch.uint8)[:, :, None, None].expand(2, 3, 32, 32)
    only_exchange = Augmentation(background=0, exchange=1, jitter=0, grey=0, blur=0, noise=0)
    seen = {
        tuple((only_exchange(flat, 16, torch.Generator().manual_seed(seed))[0, :, 8, 8] * 255).round().int().tolist())
        for seed in range(8)
    }
    assert seen == {(40, 80, 160), (200, 120, 60)}


def test_a_stopped_run_ends_as_if_it_had_never_stopped(tmp_path: Path, cells: list[Given]) -> None:
    told: list[Progress] = []
    whole = run_in(tmp_path / "whole", cells).train(told.append)
    assert [entry.step for entry in told] == list(range(1, 37))
    assert sum(entry.probe is not None for entry in told) == 2

    def stop(progress: Progress) -> None:
        if progress.step == 25:
            raise Stopped

    with pytest.raises(Stopped):
        run_in(tmp_path / "stopped", cells).train(stop)
    again = run_in(tmp_path / "stopped", cells)
    assert again.train().read_bytes() == whole.read_bytes()
    lines = (tmp_path / "stopped" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2]
    encoder = load_encoder(whole, "cpu")
    assert (encoder.dim, encoder.card["images_seen"], encoder.card["licence"]) == (16, 300, "none")
    with pytest.raises(PretrainError, match=r"holds another run.*recipe"):
        run_in(tmp_path / "stopped", cells, replace(RECIPE, epochs=3)).train()
    with pytest.raises(PretrainError, match=r"holds another run.*images"):
        run_in(tmp_path / "stopped", cells[1:]).train()


def test_unreadable_images_are_left_out_and_named(tmp_path: Path, cells: list[Given]) -> None:
    broken = Given("broken.jpg", b"no image")
    run_in(tmp_path / "a", [*cells[:40], broken], replace(RECIPE, epochs=1)).train()
    assert list(json.loads((tmp_path / "a" / "frames.json").read_text())["refused"]) == ["broken.jpg"]
    assert len(np.load(tmp_path / "a" / "frames.npy", mmap_mode="r")) == 40
    with pytest.raises(PretrainError, match="10 readable images are too few"):
        run_in(tmp_path / "b", [*cells[:10], broken]).train()


def test_a_collapse_ends_the_run_with_advice(tmp_path: Path, cells: list[Given]) -> None:
    def dead(spec: EncoderSpec) -> Network:
        network = starting_network(spec, "random")
        for parameter in network.parameters():
            parameter.data.zero_()
        return network

    run = run_in(tmp_path, cells, replace(RECIPE, learning_rate=0.0))
    with pytest.raises(PretrainError, match=r"collapsed after 1 epochs.*use more images"):
        replace(run, network=dead).train()


def test_weights_to_start_from(tmp_path: Path) -> None:
    network = starting_network(SPEC, "random")
    plain = {**network.backbone.state_dict(), "classifier.weight": torch.zeros(5, 4)}
    save_file(plain, tmp_path / "plain.safetensors")
    started = starting_network(SPEC, str(tmp_path / "plain.safetensors"))
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), started.parameters(), strict=True))
    (tmp_path / "w.pth").write_bytes(b"\x80\x02")
    for start, words in (
        ("imagenet", "no ImageNet weights"),
        ("w.pth", "pickle"),
        ("none.safetensors", "no such file"),
    ):
        where = start if start == "imagenet" else str(tmp_path / start)
        with pytest.raises(ValueError, match=words):
            starting_network(SPEC, where)
    with pytest.raises(ValueError, match="not weights of this architecture"):
        starting_network(replace(SPEC, architecture="test_resnet"), str(tmp_path / "plain.safetensors"))


def command(folder: Path, images: Path, *more: str) -> list[str]:
    settings = [word for setting in TINY for word in ("--set", setting)]
    return ["pretrain", str(images), "--out", str(folder), "--weights", "random", "--threads", "1", *settings, *more]


def test_the_command_goes_on_after_kill_9_and_runs_on_several_processes(tmp_path: Path, cells: list[Given]) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for cell in cells:
        (images / cell.name).write_bytes(cell.data)
    fiftycells = Path(sys.executable).with_name("fiftycells")
    first = subprocess.Popen([fiftycells, *command(tmp_path / "run", images)], stdout=subprocess.PIPE, text=True)
    while not (tmp_path / "run" / "checkpoint.safetensors").exists():
        assert first.poll() is None
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    again = subprocess.run([fiftycells, *command(tmp_path / "run", images)], capture_output=True, text=True, check=True)
    assert "The encoder is" in again.stdout
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run(
        [*torchrun, "-m", "workers.pretraining", *command(tmp_path / "two", images)[1:]],
        check=True, timeout=300, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    for folder in ("run", "two"):
        assert load_encoder(tmp_path / folder / "encoder.safetensors", "cpu").spec.architecture == "test_efficientnet"
    other = subprocess.run(
        [fiftycells, *command(tmp_path / "x", images, "--set", "colour=red")], capture_output=True, text=True
    )
    assert (other.returncode, "no setting 'colour'" in other.stderr) == (2, True)
