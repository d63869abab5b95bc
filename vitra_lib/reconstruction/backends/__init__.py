"""Backends of the four roles (hands, camera, intrinsics, depth): the registry, and one reader per foreign tool."""

from vitra_lib.hands.model import HAND_MODELS
from vitra_lib.reconstruction.backends.config import ReconstructConfig
from vitra_lib.reconstruction.backends.registry import BACKENDS, Backend, backend, names, parse

__all__ = ["BACKENDS", "HAND_MODELS", "Backend", "ReconstructConfig", "backend", "names", "parse"]
