"""Depth Pro and Depth Anything through the classes of `transformers`, from a folder on disk; nothing is downloaded.

Both are asked about one frame at a time. Depth Pro gives metres and a field of view; a *metric* Depth Anything
(config `depth_estimation_type` "metric") gives metres; a relative one is refused, for it has no scale.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from vitra_lib.core.devices import choose_device
from vitra_lib.core.errors import BadInput, MissingAsset
from vitra_lib.video import VideoInfo

_CLASSES = {"depth_pro": "DepthProForDepthEstimation", "depth_anything": "DepthAnythingForDepthEstimation"}
_NAMES = {"depth_pro": "Depth Pro", "depth_anything": "Depth Anything"}
_MEAN = {"depth_anything": (0.485, 0.456, 0.406), "depth_pro": (0.5, 0.5, 0.5)}
_STD = {"depth_anything": (0.229, 0.224, 0.225), "depth_pro": (0.5, 0.5, 0.5)}


@dataclass(frozen=True)
class MonocularDepth:
    """A depth network on disk.

    Attributes:
        model: the loaded network.
        kind: "depth_pro" or "depth_anything".
        side_px: pictures are given with this side (Depth Pro: square; Depth Anything: shorter side).
        patch_px: sides are multiples of this.
    """

    model: Any
    kind: str
    side_px: int
    patch_px: int

    @property
    def frames(self) -> tuple[int, ...] | None:
        """None: any frame can be asked about."""
        return None

    def at(self, frame: int, image: UInt8[np.ndarray, "height width 3"]) -> Float32[np.ndarray, "rows columns"] | None:
        """(h, w) depth of a picture [m], at the network's resolution."""
        return self.predict(image)[0]

    def predict(self, image: UInt8[np.ndarray, "height width 3"]) -> tuple[np.ndarray, float | None]:
        """Depth [m] at the network's resolution, and the horizontal field of view [rad] or None.

        Args:
            image: RGB picture.
        """
        import torch

        with torch.inference_mode():
            out = self.model(pixel_values=self._pixels(image).to(self.model.device, self.model.dtype))
        depth = out.predicted_depth[0].float().cpu().numpy()
        fov = getattr(out, "field_of_view", None)
        hfov = None if fov is None else float(np.deg2rad(float(fov.reshape(-1)[0])))
        if self.kind == "depth_pro":
            # The network gives canonical inverse depth, for a focal length of one image width.
            focal = 0.5 / np.tan(0.5 * (hfov if hfov else np.deg2rad(60.0)))
            depth = focal / np.clip(depth, 1e-4, 1e4)
        return np.where(depth > 0, depth, np.nan).astype(np.float32), hfov

    def _pixels(self, image: np.ndarray):
        """The picture as the network wants it: resized, in [0, 1], normalised."""
        import cv2
        import torch

        height, width = image.shape[:2]
        if self.kind == "depth_pro":
            size = (self.side_px, self.side_px)
        else:
            scale = self.side_px / min(height, width)
            size = tuple(max(self.patch_px, round(n * scale / self.patch_px) * self.patch_px) for n in (width, height))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if size[0] < width else cv2.INTER_LINEAR)
        values = (small.astype(np.float32) / 255 - np.float32(_MEAN[self.kind])) / np.float32(_STD[self.kind])
        return torch.from_numpy(values).permute(2, 0, 1)[None]


def depth_pro(path: Path, info: VideoInfo) -> MonocularDepth:
    """Depth Pro from a folder with config.json and weights.

    Raises:
        MissingAsset: no such folder.
        BadInput: a folder of another model.
    """
    return _load(path, "depth_pro")


def depth_anything(path: Path, info: VideoInfo) -> MonocularDepth:
    """A metric Depth Anything from a folder with config.json and weights.

    Raises:
        MissingAsset: no such folder.
        BadInput: a folder of another model, or of one without a scale.
    """
    found = _load(path, "depth_anything")
    if found.model.config.depth_estimation_type != "metric":
        raise BadInput(f"{path.name} is a relative Depth Anything: it has no metres; take one of its metric versions.")
    return found


def _load(path: Path, kind: str) -> MonocularDepth:
    import transformers
    from safetensors import SafetensorError

    if not (path / "config.json").is_file():
        raise MissingAsset(
            f"{_NAMES[kind]} isn't at {path}: a folder with config.json and model.safetensors is needed; see "
            f"`vitra assets explain {kind}`."
        )
    try:
        config = transformers.AutoConfig.from_pretrained(path, local_files_only=True)
        if config.model_type != kind:
            raise BadInput(f"{path.name} holds a model of type {config.model_type!r}, not {_NAMES[kind]}.")
        model = getattr(transformers, _CLASSES[kind]).from_pretrained(path, local_files_only=True)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise BadInput(f"{path.name} isn't a whole model of {_NAMES[kind]} ({error}).") from error
    model = model.eval().to(choose_device())
    if kind == "depth_pro":
        # The network splits the picture by itself: its side is the patch over the smallest of its scales.
        return MonocularDepth(model, kind, round(config.patch_size / min(config.scaled_images_ratios)), 1)
    backbone = config.backbone_config
    return MonocularDepth(model, kind, int(backbone.image_size), int(backbone.patch_size))
