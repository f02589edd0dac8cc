"""Encoder files round-trip, refuse pickles, and embed the same image to the same vector."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from workers.ml.embedding import embed
from workers.ml.encoders import (
    METADATA_KEY,
    Encoder,
    EncoderFileError,
    Network,
    bundled_encoder_path,
    load_encoder,
    save_encoder,
)
from workers.ml.engines import frozen
from workers.ml.images import to_jpeg
from workers.ml.spec import EncoderSpec

SPEC = EncoderSpec(
    name="small",
    architecture="mobilenetv3_small_050",
    size=32,
    crop=0.75,
    views=("r0", "r90", "r0f"),
    layers=("blocks.1", "blocks.3"),
)
CARD = {"licence": "Apache-2.0", "data": "none", "images_seen": 0, "git_revision": None, "seed": 0}


def images(count: int, seed: int = 0) -> list[bytes]:
    rng = np.random.default_rng(seed)
    shapes = [(40, 40), (64, 48), (90, 91)]
    return [to_jpeg(rng.integers(0, 255, (*shapes[i % 3], 3), dtype=np.uint8)) for i in range(count)]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("encoders") / "small.safetensors"
    network = Network(SPEC).eval()
    with torch.inference_mode():
        features = network(torch.zeros(1, 3, 32, 32)).shape[1]
    rng = np.random.default_rng(0)
    projection = rng.normal(size=features), rng.normal(size=(features, 12))
    return path, save_encoder(path, SPEC, network, tuple(a.astype(np.float32) for a in projection), CARD)


@pytest.fixture(scope="module")
def encoder(saved: tuple[Path, str]) -> Encoder:
    return load_encoder(saved[0], "cpu")


def test_file_keeps_everything_needed_to_use_it(saved, encoder):
    path, sha256 = saved
    assert encoder.spec == SPEC
    assert encoder.card == CARD
    assert encoder.sha256 == sha256
    assert (encoder.name, encoder.dim) == ("small", 12)
    again = load_encoder(path, "cpu")
    assert (embed(again, images(3)).vectors == embed(encoder, images(3)).vectors).all()


@pytest.mark.parametrize("architecture", ["vit_tiny_patch16_224", "xcit_nano_12_p16_224"])
def test_other_architectures_use_their_own_pooled_output(tmp_path, architecture):
    size = {"img_size": 32} if architecture.startswith("vit") else {}
    spec = EncoderSpec("other", architecture, 32, precision="float32", architecture_options=size)
    save_encoder(tmp_path / "other.safetensors", spec, Network(spec), None, CARD)
    loaded = load_encoder(tmp_path / "other.safetensors", "cpu")
    result = embed(loaded, images(2))
    assert result.vectors.shape == (2, loaded.dim)
    assert not result.errors


def test_pickles_are_refused_and_safetensors_accepted(tmp_path, saved):
    weights = {"a": torch.zeros(2)}
    for name in ("encoder.pth", "disguised.safetensors"):
        torch.save(weights, tmp_path / name)
        with pytest.raises(EncoderFileError, match=f"{name}: pickled"):
            load_encoder(tmp_path / name)
    assert load_encoder(saved[0], "cpu").dim == 12


def test_unusable_files_are_named_with_the_reason(tmp_path):
    path = tmp_path / "bad.safetensors"
    with pytest.raises(EncoderFileError, match=r"bad\.safetensors: there is no such file"):
        load_encoder(path)
    path.write_bytes(b"\x10\0\0\0\0\0\0\0 nothing of use")
    with pytest.raises(EncoderFileError, match="not a readable safetensors"):
        load_encoder(path)
    save_file({"a": torch.zeros(2)}, path)
    with pytest.raises(EncoderFileError, match="no Fiftycells description"):
        load_encoder(path)
    for description, reason in [
        ({"format": 99}, "format 99"),
        ({"format": 1, "card": {}, "spec": {"name": "x", "architecture": "resnet18", "size": 32}}, "Missing key"),
        ({"format": 1, "card": {}, "spec": {"name": "x", "architecture": "hf-hub:a/b", "size": 32}}, "no architecture"),
        ({"format": 1, "card": {}, "spec": {"name": "x", "surprise": 1}}, "unknown settings"),
    ]:
        save_file({"a": torch.zeros(2)}, path, {METADATA_KEY: json.dumps(description)})
        with pytest.raises(EncoderFileError, match=reason):
            load_encoder(path)


@pytest.mark.parametrize(
    "change",
    [
        {"crop": 0.0},
        {"white": 30.0},
        {"size": 4},
        {"views": ("r45",)},
        {"views": ()},
        {"precision": "int3"},
        {"std": (0.0, 1.0, 1.0)},
        {"architecture_options": {"checkpoint_path": "/etc/passwd"}},
    ],
)
def test_impossible_settings_are_refused(change):
    with pytest.raises(ValueError, match=r"not|no "):
        replace(SPEC, **change)


def test_too_long_vectors_are_refused(tmp_path):
    spec = EncoderSpec("wide", "mobilenetv3_small_050", 32)
    with pytest.raises(ValueError, match="384"):
        save_encoder(tmp_path / "a", spec, Network(spec), (np.zeros(4), np.zeros((4, 385))), CARD)
    with pytest.raises(ValueError, match="add a projection"):
        save_encoder(tmp_path / "b", spec, Network(spec), None, CARD)
    just = np.zeros(1024, np.float32), np.zeros((1024, 384), np.float32)
    save_encoder(tmp_path / "c.safetensors", spec, Network(spec), just, CARD)
    assert load_encoder(tmp_path / "c.safetensors", "cpu").dim == 384


def test_a_vector_does_not_depend_on_its_neighbours(encoder):
    blobs = images(19)
    together = embed(encoder, blobs, batch=8).vectors.astype(float)
    alone = np.concatenate([embed(encoder, [blob]).vectors for blob in blobs]).astype(float)
    np.testing.assert_allclose(together, alone, rtol=2e-3, atol=2e-3 * np.abs(alone).max())
    assert len({tuple(row) for row in together}) == 19


def test_one_bad_image_never_blocks_its_neighbours(encoder):
    blobs = images(9)
    clean = embed(encoder, blobs, batch=4)
    broken = [b"" if i in {0, 5} else blob for i, blob in enumerate(blobs)]
    done: list[int] = []
    result = embed(encoder, broken, batch=4, progress=done.append)
    assert set(result.errors) == {0, 5}
    assert "empty" in result.errors[5]
    assert done == [4, 8, 9]
    assert np.isnan(result.vectors[[0, 5]]).all()
    good = [1, 2, 3, 4, 6, 7, 8]
    np.testing.assert_allclose(result.vectors[good], clean.vectors[good], rtol=2e-3, atol=1e-2)


def test_embedding_nothing_or_only_bad_images(encoder):
    assert embed(encoder, []).vectors.shape == (0, 12)
    result = embed(encoder, [b"no", b"image"])
    assert set(result.errors) == {0, 1}


def test_the_average_of_views_does_not_change_when_the_image_is_mirrored(saved, encoder):
    mirrored = replace(encoder, spec=replace(SPEC, views=("r0", "r0f")))
    batch = torch.randint(0, 256, (2, 1, 3, 32, 32), dtype=torch.uint8)
    torch.testing.assert_close(mirrored.features(batch), mirrored.features(batch.flip(4)), atol=1e-4, rtol=1e-3)


def test_views_take_several_crops_in_turn(encoder, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)

    def vector(crop, *views):
        spec = replace(SPEC, crop=crop, views=views, precision="float32")
        path = tmp_path / "crops.safetensors"
        save_encoder(path, spec, encoder.network, None, {})
        loaded = load_encoder(path, "cpu")
        return loaded.encode([loaded.prepare(pixels)])[0]

    both = vector((0.5, 1.0), "r0", "r90")
    np.testing.assert_allclose(both, (vector(0.5, "r0") + vector(1.0, "r90")) / 2, atol=1e-3, rtol=1e-2)
    with pytest.raises(ValueError, match="2 crops for 1 views"):
        replace(SPEC, crop=(0.5, 1.0), views=("r0",))


def test_balancing_white_takes_the_colour_of_the_lamp_away(encoder):
    rng = np.random.default_rng(0)
    smear = np.full((60, 60, 3), 240.0)
    smear[20:40, 20:40] = rng.uniform(40, 200, (20, 20, 3))
    yellow = (smear * [0.95, 0.9, 0.6]).astype(np.uint8)
    balanced = replace(encoder, spec=replace(SPEC, white=90.0))
    for tried, same in ((encoder, False), (balanced, True)):
        first, second = (tried.prepare(pixels).float() for pixels in (smear.astype(np.uint8), yellow))
        assert (float((first - second).abs().max()) < 4) is same
    assert int(balanced.prepare(np.full((60, 60, 3), 40, np.uint8)).max()) == 100  # no background: not made white


def test_the_fast_engine_computes_what_the_network_does(encoder):
    batch = torch.rand(3, 3, 32, 32)
    with torch.inference_mode():
        found, expected = encoder.engine(batch), encoder.network(batch)
    # Where the processor has bfloat16, that is its precision.
    assert float(torch.cosine_similarity(found, expected).min()) > 0.999
    assert float((found - expected).norm() / expected.norm()) < 0.02


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_bundled_encoder_is_frozen_in_every_precision(dtype):
    encoder = load_encoder(bundled_encoder_path(), "cpu")
    network = encoder.network.to(dtype)
    assert frozen(network, encoder.spec.size, dtype) is not network


def test_a_network_that_was_traced_wrongly_is_not_frozen():
    class Traced(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.mean((2, 3)) * int(images.shape[0]) if wrong else images.mean((2, 3))

    for wrong in (True, False):
        network = Traced().eval()
        assert (frozen(network, 8, torch.float32) is network) is wrong


def test_batches_computed_side_by_side_do_not_mix(encoder):
    batches = [torch.full((2, 3, 32, 32), float(number)) for number in range(16)]
    with torch.inference_mode():
        alone = [encoder.network(batch) for batch in batches]
    with ThreadPoolExecutor(8, initializer=torch.set_grad_enabled, initargs=(False,)) as pool:
        together = list(pool.map(encoder.network, batches * 8))
    for found, expected in zip(together, alone * 8, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)


def test_the_bundled_encoder_loads_and_says_what_it_is():
    path = bundled_encoder_path()
    encoder = load_encoder(path, "cpu")
    assert path.stat().st_size < 12e6
    assert encoder.dim <= 384
    assert {"licence", "data", "images_seen", "git_revision", "seed"} <= set(encoder.card)
    result = embed(encoder, images(2))
    assert np.isfinite(result.vectors).all()
