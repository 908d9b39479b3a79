"""Text from a trained model: proof that it is real. Reads the newest checkpoint of a folder; serves nobody."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path

import torch

from eke.errors import EkeError
from eke.training import checkpoint, job
from eke.training.model import GPT


def load(folder: Path) -> GPT:
    """The model of the newest good checkpoint in `folder`.

    Raises:
        EkeError: there is none yet.
    """
    what = job.read(folder)
    found = checkpoint.latest(folder)
    if found is None:
        raise EkeError(f"{folder} has no checkpoint yet", remedy="train for a minute first: eke train run")
    model = GPT(what.model)
    model.load_state_dict(found[1]["model"])
    return model.eval()


@torch.no_grad()
def sample(model: GPT, prompt: str, *, length: int, temperature: float = 0.8, seed: int = 1) -> Iterator[str]:
    """What the model says after `prompt`: `length` bytes, character by character. Temperature 0 takes the likeliest."""
    generator = torch.Generator().manual_seed(seed)
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    tokens = torch.tensor([list((prompt or "\n").encode())])  # [1, so far]
    for _ in range(length):
        logits = model(tokens[:, -model.shape.max_position_embeddings :])[0, -1]
        if temperature > 0:
            chances = torch.softmax(logits / temperature, dim=-1)
            following = torch.multinomial(chances, 1, generator=generator)
        else:
            following = logits.argmax(keepdim=True)
        tokens = torch.cat((tokens, following[None]), dim=1)
        yield decoder.decode(bytes(following.tolist()))
