"""Ray-cast pictures with depth and instance ids: Embree for visibility, numpy for shading, no OpenGL."""

from vitra_lib.tabletop.render.camera import Camera
from vitra_lib.tabletop.render.postprocess import PostConfig, apply_camera_effects
from vitra_lib.tabletop.render.renderer import RenderConfig, Rendered, render
from vitra_lib.tabletop.render.scene import AreaLight, Background, RenderObject, Scene
from vitra_lib.tabletop.render.textures import TEXTURE_FAMILIES, Texture, make_texture

__all__ = [
    "TEXTURE_FAMILIES",
    "AreaLight",
    "Background",
    "Camera",
    "PostConfig",
    "RenderConfig",
    "RenderObject",
    "Rendered",
    "Scene",
    "Texture",
    "apply_camera_effects",
    "make_texture",
    "render",
]
