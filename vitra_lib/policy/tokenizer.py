"""A small tokenizer with PaliGemma's layout, so that the profiles tiny and small need no licensed file.

It is a byte-pair encoding with byte fallback, trained on the captions of the synthetic world: any text in any language
can be written with it, and no text is ever "unknown". Special tokens have PaliGemma's names, and the first ids are the
same: `<pad>` 0, `<eos>` 1, `<bos>` 2, `<unk>` 3.
"""

import functools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from vitra_lib.core.errors import MissingAsset
from vitra_lib.core.files import write_json

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IMAGE_TOKEN = "<image>"
SHIPPED = Path(__file__).parent / "data" / "tokenizer.json"
_SPACE = "\u2581"
_SPECIAL = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *(f"<unused{index}>" for index in range(7))]
_BYTES = [f"<0x{value:02X}>" for value in range(256)]


def train_tokenizer(lines: Iterable[str], path: Path, vocabulary: int = 1024) -> int:
    """Train the byte-pair encoding and write its vocabulary and merges.

    Args:
        lines: training text.
        path: file to write.
        vocabulary: number of entries, special tokens and bytes included.

    Returns:
        Number of entries.
    """
    from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", _SPACE)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(_SPACE, "merged_with_next")
    special = [AddedToken(name, special=True, normalized=False) for name in [*_SPECIAL, *_BYTES]]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=special,
        initial_alphabet=[chr(code) for code in range(32, 127)] + [_SPACE, "\n"],
        show_progress=False,
    )
    tokenizer.train_from_iterator(lines, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    write_json(path, {"vocab": model["vocab"], "merges": [list(merge) for merge in model["merges"]]})
    return len(model["vocab"])


@functools.cache
def load_tokenizer(folder: Path | None = None) -> "PreTrainedTokenizerBase":
    """The shipped tokenizer, or the one of a PaliGemma checkpoint on disk; nothing is downloaded.

    Args:
        folder: folder of a checkpoint; None = the shipped one.

    Raises:
        MissingAsset: no tokenizer in that folder.
    """
    from transformers import AutoTokenizer, GemmaTokenizer

    if folder is not None:
        if not (folder / "tokenizer.json").is_file():
            raise MissingAsset(f"No tokenizer.json in {folder}; give the folder of the PaliGemma checkpoint.")
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    parts = json.loads(SHIPPED.read_text())
    tokenizer = GemmaTokenizer(vocab=parts["vocab"], merges=[tuple(merge) for merge in parts["merges"]])
    tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE_TOKEN]})
    return tokenizer
