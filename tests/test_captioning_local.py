"""The local captioner on tiny random chat models: folder on disk, processor, pictures, greedy words, parser."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from captioning_makers import SEGMENT, black, rigid_hand

from vitra_lib.captioning import caption, make_captioner
from vitra_lib.captioning.local import LocalCaptioner
from vitra_lib.captioning.prompt import system_prompt, task_prompt
from vitra_lib.captioning.task import CaptionTask, PictureConfig, caption_tasks
from vitra_lib.core.errors import BadInput, MissingAsset

TEMPLATE = (
    "{% for m in messages %}{{ m['role'] }}: {% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}<image>{% else %}{{ c['text'] }}{% endif %}{% endfor %}\n{% endfor %}assistant: "
)
ANSWER = '{"think": "", "action": "Push"}'
WORDS = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
EYES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 32}
SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}


def word_tokenizer(extra: list[str]):
    """A tokenizer of a few words, made here; a whole answer is one of them, so that it is quickly learned."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokens = ["<pad>", "<s>", "</s>", "<unk>", *"the hand left right palm line blue red frames clip action N/A".split()]
    core = Tokenizer(models.WordLevel(vocab={t: i for i, t in enumerate(tokens)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.add_tokens([ANSWER])
    named = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=core, additional_special_tokens=extra, **named)


def text_config(tokenizer):
    from transformers import LlamaConfig

    return LlamaConfig(**WORDS, **SPECIAL, vocab_size=len(tokenizer), max_position_embeddings=4096)


def llava():
    """A random LLaVA."""
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    tokenizer = word_tokenizer(["<image>"])
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**EYES, patch_size=16),
        text_config=text_config(tokenizer),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1,
    )
    processor = LlavaProcessor(
        CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
        tokenizer,
        patch_size=16,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    )
    return LlavaForConditionalGeneration(config), processor


def idefics3():
    """A random Idefics3."""
    from transformers import (
        Idefics3Config,
        Idefics3ForConditionalGeneration,
        Idefics3ImageProcessor,
        Idefics3Processor,
        Idefics3VisionConfig,
    )

    tokenizer = word_tokenizer(["<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>"])
    config = Idefics3Config(
        vision_config=Idefics3VisionConfig(**EYES, patch_size=8).to_dict(),
        text_config=text_config(tokenizer).to_dict(),
        scale_factor=2,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        pad_token_id=0,
    )
    side = {"longest_edge": 32}
    images = Idefics3ImageProcessor(size=side, max_image_size=side, do_image_splitting=False)
    processor = Idefics3Processor(images, tokenizer, image_seq_len=4, chat_template=TEMPLATE)
    return Idefics3ForConditionalGeneration(config), processor


def saved(make, folder: Path) -> Path:
    """A random model on disk."""
    torch.manual_seed(0)
    model, processor = make()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def task() -> CaptionTask:
    return next(caption_tasks(rigid_hand([0.2, 0, 0]), [SEGMENT], black, PictureConfig()))


def teach(folder: Path, steps: int = 60) -> None:
    """Teach the model in a folder to give one answer when it is asked about the test's segment."""
    captioner = LocalCaptioner(folder)
    processor, model = captioner._load()
    said = task()
    content = [{"type": "image", "image": f.image} for f in said.frames]
    messages = [
        {"role": "system", "content": [{"type": "text", "text": system_prompt()}]},
        {"role": "user", "content": [*content, {"type": "text", "text": task_prompt("right", 8)}]},
    ]
    inputs = processor.apply_chat_template(
        messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    target = torch.tensor([processor.tokenizer(ANSWER, add_special_tokens=False)["input_ids"] + [2]])
    assert target.shape == (1, 2)
    ids = torch.cat([inputs["input_ids"], target], dim=1)
    labels = torch.cat([torch.full_like(inputs["input_ids"], -100), target], dim=1)
    rest = {k: v for k, v in inputs.items() if k.startswith("pixel")}
    model.train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for step in range(steps):
        loss = model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels, **rest).loss
        if step % 5 == 0 and loss < 0.02:
            break
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.eval().save_pretrained(folder)


@pytest.mark.parametrize("make", [llava, idefics3])
def test_a_random_model_runs_end_to_end_and_its_gibberish_is_counted(make, tmp_path: Path) -> None:
    folder = saved(make, tmp_path / "tiny")
    captioner = make_captioner(f"local:{folder}")
    captioner._max_answer_tokens = 12
    captions, rejections = caption(rigid_hand([0.2, 0, 0]), [SEGMENT], black, captioner)
    assert not captions and [r.reason for r in rejections] == ["bad_answer"]
    assert captioner.name == "local:tiny" and not captioner.is_weak
    assert captioner.reply(task()) == captioner.reply(task())  # greedy: the same frames give the same words
    bright = replace(task(), frames=tuple(replace(f, image=255 - f.image) for f in task().frames))
    model = captioner._load()[1]
    patches = next(m for m in model.modules() if isinstance(m, torch.nn.Conv2d))  # the first layer of the model's eyes
    seen: list[torch.Tensor] = []
    patches.register_forward_hook(lambda _, inputs, output: seen.append(inputs[0].clone()))
    captioner.reply(task())
    captioner.reply(bright)
    assert len(seen) == 2 and not torch.equal(*seen)  # control: the pictures do reach the model


def test_a_model_that_learned_one_answer_gives_a_caption(tmp_path: Path) -> None:
    folder = saved(llava, tmp_path / "taught")
    teach(folder)
    captions, rejections = caption(rigid_hand([0.2, 0, 0]), [SEGMENT], black, make_captioner(f"local:{folder}"))
    assert [c.text for c in captions] == ["Push."] and captions[0].source == "local:taught" and not rejections


def test_folders_that_hold_no_chat_model_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(MissingAsset, match="config.json"):
        LocalCaptioner(tmp_path / "nowhere")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text('{"model_type": "no-such-model"}')
    with pytest.raises(BadInput, match="can't be used"):
        LocalCaptioner(broken).reply(task())
    mute = saved(llava, tmp_path / "mute")
    (mute / "chat_template.jinja").unlink()
    with pytest.raises(BadInput, match="no chat template"):
        LocalCaptioner(mute).reply(task())
    blind = saved(llava, tmp_path / "blind")
    (blind / "chat_template.jinja").write_text("{% for m in messages %}{{ m['content'][-1]['text'] }}{% endfor %}")
    with pytest.raises(BadInput, match="pictures"):
        LocalCaptioner(blind).reply(task())
