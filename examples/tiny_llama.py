"""Build a small Llama with random weights and a byte tokenizer, for engines on machines without a GPU or a network.

It answers nonsense at the speed of its size, so everything but the sense of the answers can be tried with it:

    python examples/tiny_llama.py out/tiny-llama
    niyama up -f examples/vllm.yaml

Needs transformers and tokenizers, which come with vLLM.
"""

import argparse
import logging
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

_CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
_BEGIN, _END = "<s>", "</s>"


def build_tiny_llama(
    folder: Path,
    *,
    hidden: int = 256,
    layers: int = 4,
    ffn: int = 704,
    context: int = 4096,
    seed: int = 0,
) -> Path:
    """Write a model into a folder, which is made, and return it.

    Args:
        folder: where to.
        hidden: width; a multiple of 64.
        layers: how many.
        ffn: width of the feed-forward part.
        context: the longest prompt plus answer, in tokens.
        seed: of the weights.
    """
    tokenizer = _byte_tokenizer(context)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=ffn,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 64,
        num_key_value_heads=max(1, hidden // 128),
        max_position_embeddings=context,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=True,
    )
    model = LlamaForCausalLM(config).to(torch.float32)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _byte_tokenizer(context: int) -> PreTrainedTokenizerFast:
    """Return a tokenizer that takes every byte of UTF-8 for a token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([_BEGIN, _END, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=_BEGIN, eos_token=_END, model_max_length=context
    )
    fast.chat_template = _CHAT_TEMPLATE
    return fast


def main() -> None:
    """Read the command line and write the model."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--ffn", type=int, default=704)
    parser.add_argument("--context", type=int, default=4096)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    logging.getLogger("transformers").setLevel(logging.ERROR)
    folder = build_tiny_llama(**vars(options))
    print(f"wrote {folder}")


if __name__ == "__main__":
    main()
