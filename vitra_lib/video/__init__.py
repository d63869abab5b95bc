"""Video in and out through PyAV: probe, frame-accurate reading, writing, transcoding for random access, drawing."""

from vitra_lib.video.container import MAX_FRAME_PIXELS
from vitra_lib.video.reader import Frame, VideoInfo, VideoReader, probe
from vitra_lib.video.transcode import transcode
from vitra_lib.video.writer import VideoWriter

__all__ = ["MAX_FRAME_PIXELS", "Frame", "VideoInfo", "VideoReader", "VideoWriter", "probe", "transcode"]
