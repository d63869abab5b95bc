"""Video to episodes: resumable stages, a store, and a report that counts whatever was dropped."""

from vitra_lib.pipeline.build import BuildConfig, BuildResult, build, reconstruction_of

__all__ = ["BuildConfig", "BuildResult", "build", "reconstruction_of"]
