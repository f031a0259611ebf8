"""Weights packed into buckets come out bit for bit, whatever their types, sizes and order."""

import pickle

import numpy as np
import pytest
import torch

from medrl.models.buckets import ALIGNMENT, Bucket, lend, pack


def weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {
        "embed": torch.randn(300, 700),
        "norm": torch.randn(7, dtype=torch.bfloat16),
        "scalar": torch.tensor(3, dtype=torch.int64),
        "transposed": torch.randn(5, 3).T,
        "empty": torch.empty(0, 4),
        "half": torch.randn(600_000, dtype=torch.float16),
    }


def opened(buckets: list[Bucket]) -> dict[str, torch.Tensor]:
    return {name: tensor for bucket in buckets for name, tensor in bucket.tensors()}


@pytest.mark.parametrize("mib", [1, 64])
def test_tensors_come_out_bit_for_bit_and_in_order(mib: int) -> None:
    given = weights()
    buckets = list(pack(given.items(), mib))
    found = opened(buckets)
    assert list(found) == list(given)
    for name, tensor in given.items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor), name
    assert (len(buckets) > 1) == (mib == 1)
    assert all(entry.offset % ALIGNMENT == 0 for bucket in buckets for entry in bucket.entries)


def test_a_tensor_larger_than_a_bucket_has_one_of_its_own() -> None:
    large = torch.randn(600_000)
    buckets = list(pack([("a", torch.ones(3)), ("large", large), ("b", torch.ones(3))], 1))
    assert [[entry.name for entry in bucket.entries] for bucket in buckets] == [["a"], ["large"], ["b"]]
    assert torch.equal(opened(buckets)["large"], large)


def test_a_bucket_owns_its_bytes_and_is_opened_without_a_copy() -> None:
    tensor = torch.zeros(10)
    (bucket,) = pack([("w", tensor)])
    tensor.fill_(1)
    ((_, view),) = bucket.tensors()
    assert view.sum() == 0
    bucket.data[:4] = np.frombuffer(np.float32(2.5).tobytes(), dtype=np.uint8)
    assert view[0] == 2.5


def test_the_buffer_travels_out_of_band_and_opens_read_only() -> None:
    given = weights()
    (bucket,) = pack(given.items())
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(bucket, protocol=5, buffer_callback=buffers.append)
    assert len(head) < 2000 and sum(len(b.raw()) for b in buffers) == bucket.nbytes
    found = opened([pickle.loads(head, buffers=[bytes(b.raw()) for b in buffers])])
    assert all(torch.equal(found[name], tensor) for name, tensor in given.items())


@pytest.mark.parametrize("mib", [1, 64])
def test_lent_tensors_come_out_bit_for_bit(mib: int) -> None:
    given = weights()
    buckets = list(lend(given.items(), mib))
    assert (len(buckets) > 1) == (mib == 1)
    assert sum(bucket.nbytes for bucket in buckets) == sum(t.numel() * t.element_size() for t in given.values())
    for way in (
        lambda one: one,
        lambda one: pickle.loads(pickle.dumps(one, 5)),
        lambda one: pickle.loads(pickle.dumps(one, 4)),
    ):
        found = {name: tensor for bucket in buckets for name, tensor in way(bucket).tensors()}
        assert list(found) == list(given)
        for name, tensor in given.items():
            assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor), name


def test_lent_bytes_are_the_weights_own_and_travel_out_of_band() -> None:
    tensor = torch.zeros(1000)
    (bucket,) = lend([("w", tensor)])
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(bucket, 5, buffer_callback=buffers.append)
    assert len(buffers) == 1 and len(head) < 1000
    tensor.fill_(2)  # seen through the bucket: nothing was copied
    ((_, view),) = pickle.loads(head, buffers=buffers).tensors()
    assert view.sum() == 2000
