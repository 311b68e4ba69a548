"""Promise of scripts/images: an image is made anew when, and only when, something in it may be another."""

import re

from spack_farm.__main__ import FOLDERS
from tests.labs.checkout import ROOT


def test_an_image_is_named_by_every_file_that_its_dockerfile_copies() -> None:
    """`COPY .` takes what .dockerignore lets through: all of it must be in the name, or be copied by one image alone."""
    script = (ROOT / "scripts/images").read_text()
    own = re.search(r"^own=\((.*)\)$", script, re.MULTILINE)
    sources = dict(re.findall(r"^    ([a-z|*-]+)\) echo (.*) ;;$", script, re.MULTILINE))
    assert own
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert let_through - set(own[1].split()) == {"scripts/get-spack", "images/helper/gitlab-runner-build"}
    assert set(FOLDERS) <= let_through & set(own[1].split()), "a package that no image has"
    rows = {"manager": "manager", "helper": "helper", "services": "services|delegate", "build": "build-*"}
    for image, row in rows.items():
        named = sources[row].replace('"${own[@]}"', own[1]).split()
        lines = re.findall(r"^COPY (?!--from)(.*)$", (ROOT / "images" / image / "Dockerfile").read_text(), re.MULTILINE)
        copied = {path for line in lines for path in line.split()[:-1] if path != "."}
        assert f"images/{image}" in named
        assert [path for path in copied if not any(path == one or path.startswith(f"{one}/") for one in named)] == []
