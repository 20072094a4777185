"""Every stage runs at a tiny size, repeats itself, and writes files that keep to the engine's contract."""

import shutil
from pathlib import Path

import pytest
import torch

from training import codec, perceptor, prior, refine
from training.networks import load_codec, read_weights
from training.stages import train


@pytest.fixture(scope="module")
def work(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    run = codec.RUNS["smoke"]
    train(codec.CodecTrainer(run, packed, folder), 1e9, finish=False, report_every=2, save_every=3)
    return folder


def test_a_stopped_codec_goes_on_where_it_was(packed: Path, tmp_path: Path) -> None:
    run = codec.RUNS["smoke"]
    straight, stopped, resumed = (codec.CodecTrainer(run, packed, tmp_path) for _ in range(3))
    for _ in range(3):
        straight.step()
        stopped.step()
    torch.save(stopped.generator.get_state(), tmp_path / "before")
    stopped.save()
    resumed.resume()
    assert resumed.at == 3
    resumed.generator.set_state(torch.load(tmp_path / "before"))
    assert float(resumed.step()["loss"]) == pytest.approx(float(straight.step()["loss"]), rel=1e-4)


def test_generator_file_keeps_to_the_contract(work: Path) -> None:
    path = work / "embedded-generator.safetensors"
    tensors, config = read_weights(path)
    assert config["kind"] == "vqgan"
    assert tensors["quantize.embedding.weight"].shape == (config["n_embed"], config["embed_dim"])
    assert {name.split(".")[0] for name in tensors} == {
        "encoder", "decoder", "quant_conv", "post_quant_conv", "quantize",
    }  # fmt: skip
    loaded = load_codec(path, torch.float32)
    with torch.no_grad():
        assert loaded.decode(loaded.lookup(torch.zeros(1, 4, 6, dtype=torch.long))).shape == (1, 3, 8, 12)


def test_perceptor_file_keeps_to_the_contract(packed: Path, work: Path) -> None:
    trainer = perceptor.PerceptorTrainer(perceptor.RUNS["smoke"], packed, work)
    trainer.step()
    trainer.save()
    tensors, config = read_weights(work / "embedded-perceptor.safetensors")
    assert config.pop("kind") == "clip"
    rows = tensors["token_rows"].tolist()
    assert {49406, 49407} <= set(rows)
    assert len(rows) == len(tensors["token_embedding.weight"])
    expected = perceptor.build_clip(trainer.shape).state_dict()
    assert set(tensors) - {"token_rows"} == set(expected)
    assert config == {**trainer.shape.arguments(), "vision_layers": list(trainer.shape.vision_layers)}


def test_prior_learns_and_its_file_loads(packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.priors import load_prior

    run = prior.RUNS["smoke"]
    shape = codec.CodecShape(ch_mult=(1, 1), z_channels=32, embed_dim=8, n_embed=32, resolution=32)
    monkeypatch.setattr(codec, "RUNS", codec.RUNS)
    trainer = codec.CodecTrainer(codec.RUNS["smoke"], packed, tmp_path)
    assert trainer.run.shape == shape
    trainer.step()
    trainer.save()
    prior.encode(run, packed, tmp_path, "cpu")
    prior.remember(packed, tmp_path, "cpu")
    prior.ReadTrainer(run, packed, tmp_path).save()
    painter = prior.PaintTrainer(run, packed, tmp_path)
    assert painter.step()["loss"] > 0
    painter.save()
    loaded = load_prior(tmp_path / "embedded-prior.safetensors")
    first, again = (loaded.propose("a red apple", 2, torch.Generator().manual_seed(3)).codes for _ in range(2))
    assert first.shape == (2, 16, 16)
    assert torch.equal(first, again)
    assert int(first.max()) < 32


def test_refining_changes_the_decoder_alone_and_goes_on(packed: Path, work: Path) -> None:
    perceptor.PerceptorTrainer(perceptor.RUNS["smoke"], packed, work).save()
    shutil.copy(work / "embedded-perceptor.safetensors", work / "teacher.safetensors")
    run = refine.RUNS["smoke"]
    trainer = refine.RefineTrainer(run, packed, work)
    figures = [trainer.step() for _ in range(run.steps)]
    assert figures[0]["adversary"] == 0
    assert figures[-1]["adversary"] > 0
    trainer.save()
    before, _ = read_weights(work / "embedded-generator.safetensors")
    after, _ = read_weights(work / "refined.safetensors")
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"decoder", "post_quant_conv"}
    again = refine.RefineTrainer(run, packed, work)
    again.resume()
    assert again.at == run.steps


def test_a_codec_minds_what_a_teacher_sees(packed: Path, work: Path, tmp_path: Path) -> None:
    perceptor.PerceptorTrainer(perceptor.RUNS["smoke"], packed, work).save()
    run = codec.RUNS["smoke"]
    alone = codec.CodecTrainer(run, packed, tmp_path).step()
    shutil.copy(work / "embedded-perceptor.safetensors", tmp_path / "teacher.safetensors")
    taught = codec.CodecTrainer(run, packed, tmp_path).step()
    assert float(taught["loss"]) > float(alone["loss"])
    assert float(taught["psnr"]) == pytest.approx(float(alone["psnr"]))


def test_failures_of_the_loop_become_wrong_answers(packed: Path, work: Path) -> None:
    run = perceptor.RUNS["smoke"]
    trainer = perceptor.PerceptorTrainer(run, packed, work)
    assert trainer.failures.count == 0
    assert float(trainer.step()["loss"]) > 0
    assert trainer.failures.count == run.practised
    assert run.practised <= trainer.pool.count <= trainer.run.remembered
    batch = trainer.batch(trainer.plans(1))
    assert batch.made.shape == (run.failures, 3, run.size, run.size)
    assert batch.pictures.shape == (run.batch, 3, run.size, run.size)
    assert float(trainer.step()["loss"]) > 0
