"""``tremorscope regions``: proposed regions on a picture, in a table, and as TOML to paste."""

from pathlib import Path

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

from atomic_file import replaced
from failure import Failure
from runtime.camera.video_file import VideoFile
from runtime.clips import write_text
from runtime.replay.region_proposal import Candidate, Proposal, propose_regions

GREEN, GREY = (80, 200, 60), (150, 150, 150)
SHORTEST_SIDE_PX = 720
"""Smaller pictures are enlarged, so that what is written on them can be read."""


def report_regions(video: Path, out: Path, count: int, size_px: int) -> Proposal:
    """Propose regions for a video, draw them into the PNG ``out``, and print them."""
    with VideoFile(video, real_time=False) as source:
        proposal = propose_regions(source.frames(), count, size_px)
    with replaced(out) as scratch:
        written, data = cv2.imencode(".png", drawn(proposal))
        if not written:
            raise Failure(f"{out}: cannot be made; give the name of a PNG file")
        scratch.write_bytes(data.tobytes())
    for one in proposal.proposed:
        typer.echo(f"# {one.region.name}: {_errors(one)}")
    for one in proposal.refused:
        region = one.region
        typer.echo(f"# not at x = {region.x}, y = {region.y}: {one.refused}")
    typer.echo()
    typer.echo(as_toml(proposal))
    typer.echo(f"# drawn in {out}", err=True)
    return proposal


def as_toml(proposal: Proposal) -> str:
    """``[[regions]]`` of a configuration."""
    tables = [
        f'[[regions]]\nname = "{one.name}"\nx = {one.x}\ny = {one.y}\n'
        f"width = {one.width}\nheight = {one.height}\n"
        for one in proposal.regions
    ]
    return "\n".join(tables)


def drawn(proposal: Proposal) -> NDArray[np.uint8]:
    """The picture with the regions' outlines, names and standard errors; what was refused in grey."""
    times = max(1, round(SHORTEST_SIDE_PX / min(proposal.picture.shape[:2])))
    picture = np.repeat(np.repeat(proposal.picture, times, axis=0), times, axis=1)
    for one in proposal.refused:
        _outline(picture, one, times, GREY, [one.refused or ""])
    for one in proposal.proposed:
        lines = [one.region.name, f"{one.x_se_px:.4f} / {one.y_se_px:.4f} px"]
        _outline(picture, one, times, GREEN, lines)
    return picture


def _outline(
    picture: NDArray[np.uint8],
    one: Candidate,
    times: int,
    colour: tuple[int, int, int],
    lines: list[str],
) -> None:
    left, top = one.region.x * times, one.region.y * times
    right, bottom = left + one.region.width * times - 1, top + one.region.height * times - 1
    cv2.rectangle(picture, (left, top), (right, bottom), colour, 2)
    y = top - 8 - 18 * (len(lines) - 1) if top > 24 * len(lines) else bottom + 18
    for number, line in enumerate(lines):
        write_text(picture, line, (left, y + 18 * number), 0.5, colour)


def _errors(one: Candidate) -> str:
    told = f"predicted standard error x {one.x_se_px:.4f}, y {one.y_se_px:.4f} px"
    if one.measured_se_px is None:
        return f"{told}; the video is too short to try it"
    return f"{told}; measured {one.measured_se_px:.4f} px"
