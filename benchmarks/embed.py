"""Embedding speed: python -m benchmarks.embed [--images N] [--encoder FILE].

Compared, in one run on the same images, to the bare forward pass of the same engine with the same views
(a floor nothing that decodes can beat), to that of the network before it was made fast, and to the loop people usually
write.
"""

import argparse
import copy
import io
import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision import transforms

from workers.ml.embedding import BATCH, embed
from workers.ml.encoders import Encoder, bundled_encoder_path, load_encoder, view
from workers.ml.engines import Engine, cpu_precision, in_precision

USUAL_BATCH = 32


def blobs(count: int) -> tuple[list[bytes], str]:
    """Cell images as files, and where they are from."""
    if folder := os.environ.get("FIFTYCELLS_DATA"):
        paths = sorted((Path(folder) / "acevedo" / "images").rglob("*.jpg"))
        chosen = islice(paths, 0, None, max(1, len(paths) // count))
        return [path.read_bytes() for path in chosen][:count], "Acevedo cells"
    rng = np.random.default_rng(0)
    return [_noise_cell(rng) for _ in range(count)], "noise cells (FIFTYCELLS_DATA is unset)"


def _noise_cell(rng: np.random.Generator) -> bytes:
    """Smooth noise at the size of an Acevedo cell, so that its JPEG is about as large."""
    coarse = Image.fromarray(rng.integers(90, 255, (60, 60, 3), dtype=np.uint8))
    buffer = io.BytesIO()
    coarse.resize((360, 363), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def usual_loop(encoder: Encoder, files: list[bytes]) -> None:
    """Pillow, torchvision transforms, plain float32 modules, batches of 32, one after the other."""
    spec = encoder.spec
    cuts = [
        transforms.Compose(
            [
                transforms.CenterCrop(round(crop * 360)),
                transforms.Resize((spec.size, spec.size), antialias=True),
                transforms.ToTensor(),
                transforms.Normalize(spec.mean, spec.std),
            ]
        )
        for crop in spec.crops
    ]
    torch.set_num_threads(os.cpu_count() or 1)
    for start in range(0, len(files), USUAL_BATCH):
        images = [Image.open(io.BytesIO(data)).convert("RGB") for data in files[start : start + USUAL_BATCH]]
        batches = cycle([torch.stack([cut(image) for image in images]) for cut in cuts])
        with torch.inference_mode():
            torch.stack([encoder.network(view(next(batches), name)) for name in spec.views]).mean(0)


def bare_forward(encoder: Encoder, network: Engine, count: int) -> None:
    """Run a network on images that are there already; all views on all cores, nothing else."""
    spec = encoder.spec
    images = torch.rand(BATCH * len(spec.views), 3, spec.size, spec.size, device=encoder.device)

    def forward(_batch: int) -> None:
        network(images)

    with ThreadPoolExecutor(os.cpu_count(), initializer=partial(torch.set_num_threads, 1)) as pool:
        list(pool.map(forward, range(count // BATCH)))


def plain(encoder: Encoder) -> Engine:
    """Return the encoder's network as torch runs it by itself, in the precision and layout of the engine."""
    dtype = cpu_precision()
    network = copy.deepcopy(encoder.network).to(dtype).to(memory_format=torch.channels_last)
    return in_precision(network, dtype)


def rate(work: Callable[[], object], count: int) -> float:
    """Images per second of one run."""
    start = time.perf_counter()
    work()
    return count / (time.perf_counter() - start)


def main() -> None:
    """Measure in turns, so that a slow moment of the machine hits all of them; print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=640, help="images per round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--encoder", type=Path, default=bundled_encoder_path())
    arguments = parser.parse_args()
    encoder = load_encoder(arguments.encoder)
    count = arguments.images // BATCH * BATCH
    files, source = blobs(count)
    few = files[: max(USUAL_BATCH, count // 4)]
    embed(encoder, files[:BATCH])
    usual_loop(encoder, few[:USUAL_BATCH])
    unfrozen = plain(encoder)
    rates = np.array(
        [
            [
                rate(lambda: embed(encoder, files), count),
                rate(lambda: bare_forward(encoder, encoder.engine, count), count),
                rate(lambda: bare_forward(encoder, unfrozen, count), count),
                rate(lambda: usual_loop(encoder, few), len(few)),
            ]
            for _ in range(arguments.rounds)
        ]
    )
    ours, bare, by_torch, usual = np.median(rates, 0)
    ratio_bare, ratio_torch, ratio_usual = np.median(rates[:, :1] / rates[:, 1:], 0)
    print(
        f"{count} {source}, {encoder.name}, {len(encoder.spec.views)} views, {encoder.device}, {os.cpu_count()} cores"
    )
    print(f"embed         {ours:8.1f} images/s")
    print(f"bare forward  {bare:8.1f} images/s   ratio {ratio_bare:.2f} (budget 0.9), of the frozen network")
    print(f"              {by_torch:8.1f} images/s   ratio {ratio_torch:.2f}, of the network as torch runs it")
    print(f"usual loop    {usual:8.1f} images/s   ratio {ratio_usual:.2f} (budget 5)")
    figures = {"images_per_s": ours, "ratio_bare": ratio_bare, "ratio_usual": ratio_usual}
    print(json.dumps({key: round(float(value), 3) for key, value in figures.items()}))


if __name__ == "__main__":
    main()
