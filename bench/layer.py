"""The layer's content, measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.report import Figure

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.laboratory import Laboratory


def layer(laboratory: Laboratory) -> Iterator[Figure]:
    """Yield its size, unzipped, and that of its largest parts."""
    parts = {part.name: _mebibytes(part) for part in laboratory.layer.iterdir()}
    largest = sorted(parts.items(), key=lambda part: -part[1])[:12]
    raw: dict[str, float | str] = {name: round(size, 1) for name, size in largest}
    yield Figure(name="layer, unzipped", value=sum(parts.values()), unit="MiB", raw=raw)


def _mebibytes(path: Path) -> float:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files) / 2**20
