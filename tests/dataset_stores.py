"""Small stores and an official folder for the tests of the loader."""

from pathlib import Path

from episodes_makers import make_captions, make_reconstruction, make_video

from vitra_lib.episodes import EpisodeStore, build_episodes, official_bytes


def make_store(root: Path, frames: int = 60, seed: int = 0, video_name: str = "clip") -> EpisodeStore:
    """A store of one video whose frames differ in their grey level, with four episodes."""
    video = make_video(root.parent / f"{root.name}-{video_name}.mp4", frames)
    reconstruction = make_reconstruction(frames, seed, f"{video_name}.mp4")
    episodes = build_episodes(reconstruction, make_captions(), dataset_prefix="Own")[0]
    with EpisodeStore.create(root) as writer:
        writer.add_video(video_name, [video], "Own")
        for episode in episodes:
            writer.append(episode)
        return writer.finalize()


def make_official(root: Path, store: EpisodeStore, frames: int = 60, clip_len: int | None = None) -> Path:
    """The episodes of a store as official files, with the source video whole or in parts."""
    annotations, videos = root / "own" / "episodic_annotations", root / "own" / "videos"
    annotations.mkdir(parents=True)
    videos.mkdir()
    for episode in store:
        (annotations / f"{episode.name}.npy").write_bytes(official_bytes(episode))
    if clip_len is None:
        make_video(videos / "clip.mp4", frames)
    return root
