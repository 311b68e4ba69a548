"""Answers of the generator as the command line reads them."""

import json

import pytest

from pipelines import spack_python
from pipelines.errors import PipelineError


@pytest.mark.parametrize("code", [1, 2, 3, 4, 70])
def test_the_answer_of_a_generator_that_failed_raises_an_error_of_the_same_exit_code(code: int) -> None:
    with pytest.raises(PipelineError, match="no luck") as caught:
        spack_python.read_answer(json.dumps({"version": 1, "error": "no luck", "code": code}).encode())
    assert caught.value.code == code
