"""The parent pipeline of a matrix: for each cell a job that generates in the cell's image, and a child pipeline. Pure.

A cell that Spack rejects gets a child pipeline whose only job fails with Spack's words; other cells go on.
"""

from collections.abc import Sequence
from typing import Any

from pipelines.inside.gitlab import limits, yaml_text
from pipelines.inside.gitlab.pipeline import DO_NOTHING, RETRY
from pipelines.stacks import Cell, Matrix


def parent(matrix: Matrix, cells: Sequence[Cell], path: str) -> dict[str, Any]:
    """Return the pipeline of all cells; `path` is the matrix' file, relative to the project."""
    document: dict[str, Any] = {
        "stages": ["generate", "build"],
        "workflow": {"rules": [{"when": "always"}]},
    }
    default = [
        f"spack-farm pipelines generate {path} --cell {{cell}} --on-failure pipeline --generate-job 'generate {{cell}}'"
    ]
    for cell in cells:
        place: dict[str, Any] = {"image": cell.image} if cell.image else {}
        place |= {"tags": list(cell.tags)} if cell.tags else {}
        folder, scratch = f"pipeline/{cell.name}", f"jobs_scratch_dir/{cell.name}"
        document[f"generate {cell.name}"] = place | {
            "stage": "generate",
            "needs": [],
            "variables": {"SPACK_CI_STACK_NAME": cell.name},
            "script": [line.replace("{cell}", cell.name) for line in matrix.script or default],
            "artifacts": {"paths": [folder, scratch]},
            "retry": dict(RETRY),
            "interruptible": True,
        }
        # GitLab reads the child from an archive that has nothing but YAML
        document[f"yaml {cell.name}"] = place | {
            "stage": "generate",
            "needs": [f"generate {cell.name}"],
            "variables": dict(DO_NOTHING),
            "script": [f"ls {folder}"],
            "artifacts": {"paths": [f"{folder}/pipeline.yml"]},
            "retry": dict(RETRY),
            "interruptible": True,
        }
        document[cell.name] = {
            "stage": "build",
            "needs": [f"yaml {cell.name}"],
            "variables": {"PARENT_PIPELINE_ID": "$CI_PIPELINE_ID", "SPACK_CI_STACK_NAME": cell.name},
            "trigger": {
                "include": [{"artifact": f"{folder}/pipeline.yml", "job": f"yaml {cell.name}"}],
                "strategy": "depend",
                "forward": {"pipeline_variables": True},
            },
        }
    return document


def text(document: dict[str, Any], bounds: limits.Limits) -> tuple[str, list[str]]:
    """Return the pipeline as YAML, and what GitLab would reject in it."""
    return yaml_text.document(document), limits.faults({"pipeline.yml": document}, bounds)
