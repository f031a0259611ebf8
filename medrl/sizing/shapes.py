"""How large published decoder models are: parameters, bytes of cache and operations, from their configurations."""

from collections.abc import Mapping
from dataclasses import dataclass

from medrl.errors import did_you_mean
from medrl.knobs import out_of_range

BF16 = 2  # bytes


@dataclass(frozen=True)
class Shape:
    """A dense decoder of the Llama or Qwen2 kind (grouped-query attention, gated feed-forward, RMS norm), or of Bloom's.

    Each number is the field of the same meaning in the model's config.json.
    """

    hidden: int
    """Width of the residual stream."""

    layers: int
    """Blocks of attention and feed-forward."""

    heads: int
    """Query heads."""

    kv_heads: int
    """Heads of keys and values."""

    intermediate: int
    """Width of the feed-forward."""

    vocabulary: int
    """Rows of the embedding, padding included."""

    tied: bool = False
    """Whether the head is the embedding."""

    qkv_bias: bool = False
    """Whether queries, keys and values have biases, as in Qwen2."""

    head_dim: int = 128
    """Width of a head."""

    bloom: bool = False
    """Whether it is built as Bloom: a feed-forward of two matrices, biases everywhere, layer norms, one of them on the
    embedding."""

    def __post_init__(self) -> None:
        sizes = ("hidden", "layers", "heads", "kv_heads", "intermediate", "vocabulary", "head_dim")
        faults = out_of_range(self, above_0=sizes)
        if not faults and self.heads % self.kv_heads:
            faults.append(f"{self.heads} heads cannot share {self.kv_heads} heads of keys and values evenly")
        if faults:
            raise ValueError("shape: " + "; ".join(faults))

    @property
    def parameters(self) -> int:
        """All parameters; of a tied head once."""
        return self.matmul_parameters + (0 if self.tied else self.vocabulary * self.hidden) + self._norms_and_biases

    @property
    def matmul_parameters(self) -> int:
        """Parameters that a token is multiplied with: all matrices, the head among them, but no look-up."""
        query, key_value = self.heads * self.head_dim, self.kv_heads * self.head_dim
        attention = 2 * self.hidden * query + 2 * self.hidden * key_value
        feed_forward = (2 if self.bloom else 3) * self.hidden * self.intermediate
        return self.layers * (attention + feed_forward) + self.vocabulary * self.hidden

    @property
    def _norms_and_biases(self) -> int:
        biases = (self.heads + 2 * self.kv_heads) * self.head_dim if self.qkv_bias or self.bloom else 0
        if self.bloom:
            return self.layers * (6 * self.hidden + self.intermediate + biases) + 4 * self.hidden
        return self.layers * (2 * self.hidden + biases) + self.hidden

    @property
    def cache_bytes(self) -> int:
        """Bytes of keys and values of one token in bfloat16."""
        return 2 * self.layers * self.kv_heads * self.head_dim * BF16

    def forward_flops(self, tokens: float, squared: float) -> float:
        """Floating-point operations of a forward pass: 2 N per token, and causal attention 2 L H s^2 per sequence.

        Attention takes 4 H operations per layer and pair of tokens (scores and values), H being heads * head_dim, and
        half of the pairs are masked (arXiv 2205.05198, appendix A, with half its attention for causality).

        Args:
            tokens: Tokens in all.
            squared: The sum of the squares of the sequences' lengths.
        """
        return 2.0 * self.matmul_parameters * tokens + 2.0 * self.layers * self.heads * self.head_dim * squared


# From the config.json that each is published with.
SHAPES: Mapping[str, Shape] = {
    "Qwen2.5-0.5B": Shape(896, 24, 14, 2, 4864, 151_936, tied=True, qkv_bias=True, head_dim=64),
    "Qwen2.5-1.5B": Shape(1536, 28, 12, 2, 8960, 151_936, tied=True, qkv_bias=True),
    "Qwen2.5-7B": Shape(3584, 28, 28, 4, 18_944, 152_064, qkv_bias=True),
    "Llama-3.2-1B": Shape(2048, 16, 32, 8, 8192, 128_256, tied=True, head_dim=64),
    "Llama-3.2-3B": Shape(3072, 28, 24, 8, 8192, 128_256, tied=True),
    "Llama-3.1-8B": Shape(4096, 32, 32, 8, 14_336, 128_256),
    "Qwen2.5-32B": Shape(5120, 64, 40, 8, 27_648, 152_064, qkv_bias=True),
    "Llama-3.1-70B": Shape(8192, 80, 64, 8, 28_672, 128_256),
    "bloomz-7b1": Shape(4096, 30, 32, 32, 16_384, 250_880, tied=True, bloom=True),
    "Qwen2.5-72B": Shape(8192, 80, 64, 8, 29_568, 152_064, qkv_bias=True),
}


def shape_of(name: str) -> Shape:
    """The shape of a model by its name, without its owner.

    Raises:
        ValueError: It is not in the table.
    """
    if name not in SHAPES:
        raise ValueError(f"no shape is known of a model {name!r}{did_you_mean(name, SHAPES)}")
    return SHAPES[name]
