"""A small GPT over bytes. It knows tensors and its own shape; nothing of text files, optimizers or checkpoints.

    x  = embedding[byte]
    x += attention(norm(x));  x += W_down · relu(W_up · norm(x))²      each block
    logits = head · norm(x)                                            head = embedding, when tied

Rotary positions: Su et al., arXiv:2104.09864. Squared ReLU: So et al., arXiv:2109.08668. Weights are fp32; the caller's
autocast decides what the matrix products run in.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from eke.training.shape import BYTES, Shape

EMBEDDING_STD = 0.02


def rotary(positions: int, head_dim: int, theta: float) -> tuple[Tensor, Tensor]:
    """Cosines and sines that turn a head's channels, each [positions, head_dim]."""
    frequency = theta ** (-torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)  # [head_dim / 2]
    angle = torch.outer(torch.arange(positions, dtype=torch.float64), frequency).repeat(1, 2)  # [positions, head_dim]
    return angle.cos().float(), angle.sin().float()


def turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate pairs of channels (i, i + head_dim / 2) of `x` [..., positions, head_dim] by their position's angle."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


class Attention(nn.Module):
    """Each byte looks at those before it."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.num_attention_heads
        self.qkv = nn.Linear(shape.hidden_size, 3 * shape.hidden_size, bias=False)
        self.out = nn.Linear(shape.hidden_size, shape.hidden_size, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """[batch, positions, hidden] to the same."""
        batch, positions, hidden = x.shape
        qkv = self.qkv(x).view(batch, positions, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)  # each [batch, heads, positions, head_dim]
        cos, sin = cos.to(q.dtype), sin.to(q.dtype)
        y = F.scaled_dot_product_attention(turn(q, cos, sin), turn(k, cos, sin), v, is_causal=True)
        return cast("Tensor", self.out(y.transpose(1, 2).reshape(batch, positions, hidden)))


class FeedForward(nn.Module):
    """Each byte thinks for itself."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.up = nn.Linear(shape.hidden_size, shape.intermediate_size, bias=False)
        self.down = nn.Linear(shape.intermediate_size, shape.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, positions, hidden] to the same."""
        a = F.relu(self.up(x))
        return cast("Tensor", self.down(a * a))


class Block(nn.Module):
    """One layer: attention, then feed-forward, each added to the stream."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(shape.hidden_size, eps=shape.rms_norm_eps)
        self.attention = Attention(shape)
        self.feed_forward_norm = nn.RMSNorm(shape.hidden_size, eps=shape.rms_norm_eps)
        self.feed_forward = FeedForward(shape)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """[batch, positions, hidden] to the same."""
        x = x + self.attention(self.attention_norm(x), cos, sin)
        return cast("Tensor", x + self.feed_forward(self.feed_forward_norm(x)))


class GPT(nn.Module):
    """The whole model."""

    cos: Tensor
    sin: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(BYTES, shape.hidden_size)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.num_hidden_layers))
        self.norm = nn.RMSNorm(shape.hidden_size, eps=shape.rms_norm_eps)
        self.head = nn.Linear(shape.hidden_size, BYTES, bias=False)
        if shape.tie_word_embeddings:
            self.head.weight = self.embedding.weight
        cos, sin = rotary(shape.max_position_embeddings, shape.head_dim, shape.rope_theta)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def initialise(self, seed: int) -> None:
        """Fresh weights, the same for the same seed.

        A matrix keeps the size of what it multiplies; what a block adds to the stream starts at zero.
        """
        generator = torch.Generator().manual_seed(seed)
        for name, weight in self.named_parameters():
            if name.endswith(("out.weight", "down.weight")):
                nn.init.zeros_(weight)
            elif weight.ndim == 2:
                std = EMBEDDING_STD if weight is self.embedding.weight else weight.shape[1] ** -0.5
                nn.init.normal_(weight, std=std, generator=generator)

    def forward(self, tokens: Tensor) -> Tensor:
        """Bytes [batch, positions] to logits of the next one [batch, positions, 256]."""
        positions = tokens.shape[1]
        cos, sin = self.cos[:positions], self.sin[:positions]
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x, cos, sin)
        return cast("Tensor", self.head(self.norm(x)))


def loss(model: GPT, tokens: Tensor) -> Tensor:
    """Mean cross-entropy, in nats a byte, of each of `tokens` [batch, positions + 1] given those before it."""
    logits = model(tokens[:, :-1])
    return F.cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten())
