"""Prints what the distribution and the extras that are named need, one a line: `python requirements.py EXTRA…`.

So an image's layer of dependencies changes only when they do.
"""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path(__file__).with_name("pyproject.toml").read_text("utf-8"))["project"]
wanted = project["dependencies"] + [line for extra in sys.argv[1:] for line in project["optional-dependencies"][extra]]
sys.stdout.write("\n".join(dict.fromkeys(wanted)) + "\n")
