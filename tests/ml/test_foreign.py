"""Weights of other projects: each is read under the names its authors use, computes what theirs does, or is refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from click.testing import Result
from safetensors.torch import save_file
from typer.testing import CliRunner

from app.cli import main
from workers.ml.embedding import embed
from workers.ml.encoders import EncoderFileError, Network, load_encoder
from workers.ml.foreign import PRESETS, fitting, timm_spec
from workers.ml.images import to_jpeg

DINO_HEADS = {"dino_head.mlp.0.weight": torch.ones(2, 2), "ibot_head.last_layer.weight": torch.ones(2, 2)}


@pytest.fixture
def convert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("COLUMNS", "400")

    def call(weights: dict[str, torch.Tensor], *options: str | Path) -> Result:
        save_file({key: value.contiguous() for key, value in weights.items()}, tmp_path / "theirs.safetensors")
        fixed = ["convert-encoder", tmp_path / "theirs.safetensors", "--out", tmp_path / "ours.safetensors"]
        return CliRunner().invoke(main, [str(argument) for argument in [*fixed, *options]])

    return call


def as_published_by_dinov2(state: dict[str, torch.Tensor], dim: int) -> dict[str, torch.Tensor]:
    """Names of the repository of DINOv2, as in DinoBloom's files: a mask token more, and SwiGLU's own names."""
    swiglu = state["blocks.0.mlp.fc2.weight"].shape[1] * 2 == state["blocks.0.mlp.fc1.weight"].shape[0]
    renamed = {k.replace("mlp.fc1", "mlp.w12").replace("mlp.fc2", "mlp.w3") if swiglu else k: state[k] for k in state}
    return renamed | {"mask_token": torch.zeros(1, dim, device=state["cls_token"].device)}


def random_network(preset: str) -> torch.nn.Module:
    spec = PRESETS[preset].spec
    torch.manual_seed(0)
    model = timm.create_model(spec.architecture, num_classes=0, **spec.architecture_options).eval()
    with torch.no_grad():  # or layer scale would hide all blocks
        for key, value in model.named_parameters():
            if key.endswith(".gamma"):
                value.fill_(0.5)
    return model


@pytest.mark.parametrize(("prefix", "heads"), [("teacher.backbone.", True), ("", False)])
def test_dinobloom_small_computes_what_its_network_does(convert, tmp_path, prefix, heads):
    model = random_network("dinobloom-s")
    state = model.state_dict()
    if heads:
        state = as_published_by_dinov2(state, 384)
    teacher = prefix.removesuffix("backbone.")
    theirs = {f"{prefix}{key}": value for key, value in state.items()}
    theirs |= {f"{teacher}{key}": value for key, value in DINO_HEADS.items()} if heads else {}
    done = convert(theirs, "--preset", "dinobloom-s", "--precision", "float32")
    assert done.exit_code == 0, done.output
    ours = load_encoder(tmp_path / "ours.safetensors", "cpu")
    assert (ours.dim, ours.name, ours.card["licence"]) == (384, "dinobloom-s", "Apache-2.0")
    images = torch.rand(2, 3, 224, 224)
    with torch.inference_mode():
        torch.testing.assert_close(ours.network(images), model.forward_features(images)[:, 0])


def test_dinobloom_base_is_projected_at_random_and_keeps_distances(convert, tmp_path):
    model = random_network("dinobloom-b")
    done = convert(
        {f"backbone.{key}": value for key, value in as_published_by_dinov2(model.state_dict(), 768).items()},
        *("--preset", "dinobloom-b", "--name", "Bloom B"),
    )
    assert done.exit_code == 0, done.output
    ours = load_encoder(tmp_path / "ours.safetensors", "cpu")
    assert (ours.dim, ours.name, ours.card["projection"]) == (384, "Bloom B", "random")
    assert ours.projection is not None
    features = np.random.default_rng(0).normal(size=(50, 768)).astype(np.float32)
    mean, matrix = (part.numpy() for part in ours.projection)
    before, after = (np.linalg.norm(x[:25] - x[25:], axis=1) for x in (features, (features - mean) @ matrix))
    ratio = after / before
    assert 0.5**0.5 * 0.85 < ratio.min() < ratio.max() < 0.5**0.5 * 1.15  # half of the dimensions


@pytest.mark.parametrize(("preset", "dim"), [("dinobloom-l", 1024), ("dinobloom-g", 1536)])
def test_the_larger_ones_fit_by_name_and_shape(preset, dim):
    with torch.device("meta"):
        backbone = Network(PRESETS[preset].spec).backbone
    state = backbone.state_dict()
    shapes = {key: value.shape for key, value in state.items()}
    published = as_published_by_dinov2(state, dim)
    assert ("blocks.39.mlp.w12.weight" in published) == (preset == "dinobloom-g")
    for weights in ({f"backbone.{key}": value for key, value in published.items()}, state):
        assert {key: value.shape for key, value in fitting(backbone, weights).items()} == shapes
    smaller = {key: value for key, value in published.items() if not key.startswith("blocks.23.")}
    with pytest.raises(EncoderFileError, match=r"lacks blocks\.23\.attn\.proj\.bias and"):
        fitting(backbone, smaller)


def test_the_papers_weights_give_its_class_token(convert, tmp_path):
    model = random_network("paper-xcit")
    theirs = {f"backbone.{key}": value for key, value in model.state_dict().items()}
    # The head of its DINO training lies beside the backbone.
    done = convert(theirs | {"head.mlp.0.weight": torch.ones(3, 3)}, "--preset", "paper-xcit")
    assert done.exit_code == 0, done.output
    ours = load_encoder(tmp_path / "ours.safetensors", "cpu")
    pixels = np.random.default_rng(0).integers(0, 255, (224, 224, 3), dtype=np.uint8)
    theirs_in = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255 * 2 - 1
    with torch.inference_mode():
        expected = model.forward_features(theirs_in)[0, 0]
        found = ours.network(ours._normalise(ours.prepare(pixels)))[0]
    assert len(found) == ours.dim == 384
    torch.testing.assert_close(found, expected, atol=0.02, rtol=0.02)  # stored in half precision


def test_any_timm_network_is_projected_onto_axes_of_unlabelled_cells(convert, tmp_path):
    torch.manual_seed(0)
    theirs = timm.create_model("mobilenetv3_small_050").state_dict()
    rng = np.random.default_rng(0)
    (tmp_path / "cells").mkdir()
    for i in range(24):
        (tmp_path / "cells" / f"{i}.jpg").write_bytes(to_jpeg(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)))
    (tmp_path / "cells" / "broken.jpg").write_bytes(b"")
    options = ["--architecture", "mobilenetv3_small_050", "--size", "64", "--project-on", tmp_path / "cells"]
    done = convert(theirs, *options, "--dim", "12", "--mean", "0.5,0.5,0.5", "--licence", "MIT", "--crop", "0.5")
    assert done.exit_code == 0, done.output
    ours = load_encoder(tmp_path / "ours.safetensors", "cpu")
    assert (ours.dim, ours.spec.crop, ours.spec.mean, ours.card["licence"]) == (12, 0.5, (0.5, 0.5, 0.5), "MIT")
    vectors = embed(ours, [(tmp_path / "cells" / f"{i}.jpg").read_bytes() for i in range(24)]).vectors
    assert np.abs(vectors.astype(float).mean(0)).max() < 0.05  # centred on these cells
    refused = convert(theirs, *options, "--dim", "13")
    assert refused.exit_code == 2
    assert "24 readable images are too few for 13 dimensions: 26 are needed" in refused.output


def test_a_transformer_for_another_size_gets_its_positions_resampled(convert, tmp_path):
    torch.manual_seed(0)
    theirs = timm.create_model("vit_tiny_patch16_224").state_dict()
    assert convert(theirs, "--architecture", "vit_tiny_patch16_224", "--size", "96").exit_code == 0
    ours = load_encoder(tmp_path / "ours.safetensors", "cpu")
    assert ours.network.backbone.pos_embed.shape == (1, 37, 192)
    assert np.isfinite(embed(ours, [to_jpeg(np.zeros((50, 50, 3), np.uint8))]).vectors).all()


def test_what_does_not_fit_is_refused_by_name(convert, tmp_path):
    torch.manual_seed(0)
    theirs = timm.create_model("mobilenetv3_small_050").state_dict()
    small = ("--architecture", "mobilenetv3_small_050")
    for weights, options, reason in [
        (
            theirs,
            ("--preset", "paper-xcit"),
            "theirs.safetensors as xcit_small_12_p8_224: these are",
        ),
        ({**theirs, "reg_token": torch.ones(1)}, small, "also has reg_token"),
        ({**theirs, "conv_stem.weight": torch.ones(1)}, small, "another shape of conv_stem.weight"),
        (theirs, (), "give --architecture"),
        (theirs, ("--preset", "dinobloom-x"), "known: dinobloom-s"),
        (theirs, ("--preset", "dinobloom-s", *small), "leave out --architecture"),
        (theirs, ("--architecture", "hf-hub:a/b"), "no architecture"),
        (theirs, (*small, "--mean", "half"), "three numbers each"),
        (theirs, (*small, "--project-on", tmp_path / "nowhere"), "there is no"),
        (theirs, (*small, "--out", tmp_path / "ours.pth"), "does not end in .safetensors"),
    ]:
        refused = convert(weights, *options)
        assert refused.exit_code == 2, refused.output
        assert reason in refused.output
        assert not (tmp_path / "ours.safetensors").exists()
    assert convert(theirs, *small).exit_code == 0


def test_pickles_are_refused_with_the_way_out(tmp_path):
    torch.save({"a": torch.zeros(1)}, tmp_path / "DinoBloom-S.pth")
    torch.save({"a": torch.zeros(1)}, tmp_path / "disguised.safetensors")
    for name, reason in (("DinoBloom-S.pth", "docs/encoders.md"), ("disguised.safetensors", "not a readable")):
        arguments = [
            "convert-encoder",
            str(tmp_path / name),
            "--out",
            str(tmp_path / "o.safetensors"),
            "--preset",
            "dinobloom-s",
        ]
        refused = CliRunner().invoke(main, arguments, env={"COLUMNS": "400"})
        assert refused.exit_code == 2
        assert reason in refused.output


def test_presets_name_networks_of_timm():
    for name, preset in PRESETS.items():
        assert preset.spec.name == name
        assert timm_spec(preset.spec.architecture).architecture == preset.spec.architecture
    assert PRESETS["paper-xcit"].spec.mean == (0.5, 0.5, 0.5)
