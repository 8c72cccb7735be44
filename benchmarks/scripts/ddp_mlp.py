"""The MLP on MNIST with PyTorch's DistributedDataParallel over gloo: ``ddp_mlp.py MNIST.NPZ BATCH EPOCHS``.

What ``benchmarks.train_speed`` compares with; RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT say who this process is.
Nothing of this project is used. Written as somebody would who wants speed on few cores: all floats in memory as one
tensor, a permutation for each epoch, slices of it instead of a DataLoader, Adam in its fused form, loss and accuracy
read once an epoch. DDP and gloo are as they come; one thread a process, without ``torch.compile``. Each line of the
input lets it train an epoch, of which it says then how many seconds it took.
"""
# mypy: disable-error-code="no-untyped-def"

import sys
import time

import numpy as np
import torch
import torch.distributed as dist
from torch import nn


def train(x, y, batch_size, epochs):
    """``batch_size`` is that of all processes together."""
    rank, size = dist.get_rank(), dist.get_world_size()
    layers = [nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, 10)]
    model = nn.parallel.DistributedDataParallel(nn.Sequential(*layers))
    loss_of = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    for epoch in range(epochs):
        if not sys.stdin.readline():
            sys.exit("nobody asks any more")
        began = time.monotonic()
        generator = torch.Generator().manual_seed(epoch)  # one order, of which each process has its part
        order = torch.randperm(len(x), generator=generator)[rank::size]
        total, right = torch.zeros(()), torch.zeros((), dtype=torch.int64)
        for rows in order.split(batch_size // size):
            labels = y[rows]
            logits = model(x[rows])
            loss = loss_of(logits, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(rows)
            right += (logits.argmax(1) == labels).sum()
        counted = torch.stack([total, right.float()])
        dist.all_reduce(counted)
        loss, accuracy = (counted / len(x)).tolist()
        print(time.monotonic() - began, flush=True)
        print(f"epoch {epoch + 1}: loss {loss:.4f}, accuracy {accuracy:.4f}", file=sys.stderr)


if __name__ == "__main__":
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    with np.load(sys.argv[1]) as arrays:
        x = torch.from_numpy(arrays["x_train"] / np.float32(255))
        y = torch.from_numpy(arrays["y_train"].astype("int64"))
    train(x, y, int(sys.argv[2]), int(sys.argv[3]))
    sys.stdin.read()  # until all cases are done: an end takes time, which is another's now
    dist.barrier()  # else who ends first may abort the other
    dist.destroy_process_group()
