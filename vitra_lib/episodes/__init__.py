"""Episodes: their type, how they are built, the store (LeRobot v3.0 on disk) and the official VITRA-1M layout."""

from vitra_lib.episodes.build import EpisodeConfig, build_episodes
from vitra_lib.episodes.episode import Episode, EpisodeCaption, EpisodeHand
from vitra_lib.episodes.footage import Footage, FootageConfig, prepare_footage
from vitra_lib.episodes.state_action import state, step_actions
from vitra_lib.episodes.store import EpisodeStore
from vitra_lib.episodes.vitra_1m import from_official, official_bytes, read_official, to_official
from vitra_lib.episodes.vitra_1m_export import ExportConfig, export_vitra_1m
from vitra_lib.episodes.vitra_1m_import import ImportConfig, find_annotations, import_vitra_1m
from vitra_lib.episodes.vitra_1m_index import EpisodeIndex, open_vitra_1m
from vitra_lib.episodes.writer import EpisodeWriter

__all__ = [
    "Episode",
    "EpisodeCaption",
    "EpisodeConfig",
    "EpisodeHand",
    "EpisodeIndex",
    "EpisodeStore",
    "EpisodeWriter",
    "ExportConfig",
    "Footage",
    "FootageConfig",
    "ImportConfig",
    "build_episodes",
    "export_vitra_1m",
    "find_annotations",
    "from_official",
    "import_vitra_1m",
    "official_bytes",
    "open_vitra_1m",
    "prepare_footage",
    "read_official",
    "state",
    "step_actions",
    "to_official",
]
