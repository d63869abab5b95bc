"""Video to episodes: resumable stages, a store, and a report that counts whatever was dropped."""

from vitra_lib.pipeline.build import BuildResult, build
from vitra_lib.pipeline.video_stages import BuildConfig, VideoResult, reconstruction_of

__all__ = ["BuildConfig", "BuildResult", "VideoResult", "build", "reconstruction_of"]
