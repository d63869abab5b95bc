"""The helper library: from raw video to hands, actions, captions and episodes."""

__version__ = "0.1.0"
