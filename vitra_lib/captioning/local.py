"""Captions from a chat vision-language model on this disk, through transformers (image-text-to-text).

Any folder works that `AutoProcessor` and `AutoModelForImageTextToText` read and whose processor has a chat template
that takes pictures; LLaVA and Idefics3 are tested (SmolVLM also wants the package num2words). Nothing is downloaded,
no code from the folder is run, and weights are read as safetensors alone. Answers are greedy, so the same frames give
the same words.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from vitra_lib.captioning.answer import Answer, BadAnswer, RefusedAnswer, parse_answer
from vitra_lib.captioning.answer_cache import Failure
from vitra_lib.captioning.prompt import system_prompt, task_prompt
from vitra_lib.captioning.task import CaptionTask
from vitra_lib.core.devices import choose_device
from vitra_lib.core.errors import BadInput, MissingAsset

_SHOWN = 300  # characters of a library's message


class LocalCaptioner:
    """Asks a model that runs in this process; it is loaded when the first question comes.

    Attributes:
        name: "local:<name of the folder>".
    """

    is_weak = False
    needs_images = True

    def __init__(self, folder: Path, max_answer_tokens: int = 300) -> None:
        """
        Args:
            folder: config.json, weights, tokenizer and processor of the model.
            max_answer_tokens: longest reply.

        Raises:
            MissingAsset: there is no such folder, or no model in it.
        """
        if not (folder / "config.json").is_file():
            raise MissingAsset(
                f"{folder} holds no model: give a folder with config.json, safetensors weights, tokenizer and "
                "processor of a chat vision-language model, as `save_pretrained` or a download leaves it."
            )
        self.name = f"local:{folder.resolve().name}"
        self._folder = folder
        self._max_answer_tokens = max_answer_tokens
        self._loaded: tuple[Any, Any] | None = None

    def answers(self, tasks: Iterable[CaptionTask]) -> Iterator[tuple[int, Answer | Failure]]:
        """Describe segments, in order."""
        for position, task in enumerate(tasks):
            try:
                yield position, parse_answer(self.reply(task))
            except RefusedAnswer as error:
                yield position, Failure(task.item, "refused", str(error), 1)
            except BadAnswer as error:
                yield position, Failure(task.item, "bad_answer", str(error), 1)

    def reply(self, task: CaptionTask) -> str:
        """The model's words on one segment, unread.

        Raises:
            BadInput: the model can't be loaded, or takes no pictures in a chat.
        """
        import torch

        processor, model = self._load()
        frames = task.frames
        text = task_prompt(task.segment.side, len(frames), all(frame.has_path for frame in frames))
        pictures = [{"type": "image", "image": frame.image} for frame in frames]
        messages = [
            {"role": "system", "content": [{"type": "text", "text": system_prompt()}]},
            {"role": "user", "content": [*pictures, {"type": "text", "text": text}]},
        ]
        try:
            inputs = processor.apply_chat_template(
                messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
            ).to(model.device)
        except (ValueError, TypeError, KeyError) as error:
            said = " ".join(str(error).split())[:_SHOWN]
            raise BadInput(f"{self._folder.name} does not take pictures in a chat: {said}") from error
        if not any("pixel" in name for name in inputs):
            raise BadInput(f"The chat template of {self._folder.name} drops the pictures: it is no model for captions.")
        with torch.inference_mode():
            tokens = model.generate(**inputs, max_new_tokens=self._max_answer_tokens, do_sample=False)
        new = tokens[0, inputs["input_ids"].shape[1] :]
        return processor.tokenizer.decode(new, skip_special_tokens=True)

    def _load(self) -> tuple[Any, Any]:
        """Processor and model, loaded once."""
        if self._loaded is None:
            from transformers import AutoModelForImageTextToText, AutoProcessor

            try:
                processor = AutoProcessor.from_pretrained(self._folder, local_files_only=True)
                model = AutoModelForImageTextToText.from_pretrained(
                    self._folder, local_files_only=True, use_safetensors=True, dtype="auto"
                )
            except (OSError, ValueError, KeyError, ImportError) as error:
                said = " ".join(str(error).split())[:_SHOWN]
                raise BadInput(f"{self._folder} can't be used as a captioner: {said}") from error
            if getattr(processor, "chat_template", None) is None:
                raise BadInput(f"{self._folder} has no chat template: it is no chat model.")
            self._loaded = processor, model.to(choose_device()).eval()
        return self._loaded
