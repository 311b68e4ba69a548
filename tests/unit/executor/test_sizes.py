"""Sizes: settings < measured builds < the job's variables, within the caps; an earlier kill raises them, capped too."""

import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.errors import RequestError
from executor.settings import Settings, load_settings
from executor.size_keys import size_keys, target_family
from executor.size_table import MeasuredSize
from executor.sizes import PastUse, decide_size, next_memory_limit
from executor.units import format_bytes

GIB = 1 << 30


def settings(oversize: str = "clamp", **kubernetes: Any) -> Settings:
    base = load_settings(None)
    changed = msgspec.structs.replace(base.kubernetes, **kubernetes)
    return msgspec.structs.replace(base, oversize=oversize, kubernetes=changed)


CAPPED = {"memory_request_overwrite_max_allowed": "16Gi", "memory_limit_overwrite_max_allowed": "24Gi"}


def test_without_settings_and_variables_nothing_is_asked() -> None:
    decision = decide_size(settings(), {})
    assert set(msgspec.structs.asdict(decision.size).values()) == {None}
    assert (decision.notes, decision.warnings) == ([], [])


@pytest.mark.parametrize(
    ("asked", "value"),
    [("16G", 16 * 10**9), ("500M", 5 * 10**8), ("1.5Gi", 3 * GIB // 2), ("1e9", 10**9), (" 2Gi ", 2 * GIB)],
)
def test_a_jobs_variable_is_taken_exactly_and_told(asked: str, value: int) -> None:
    decision = decide_size(settings(**CAPPED), {"KUBERNETES_MEMORY_REQUEST": asked})
    assert decision.size.memory_request_bytes == value
    assert decision.notes == [f'"MemoryRequest" overwritten with "{asked.strip()}"']


def test_a_variable_without_a_cap_is_ignored_aloud() -> None:
    decision = decide_size(settings(cpu_request="2"), {"KUBERNETES_CPU_REQUEST": "9"})
    assert decision.size.cpu_request_millicores == 2000
    assert "KUBERNETES_CPU_REQUEST is ignored: kubernetes.cpu_request_overwrite_max_allowed is not set" in decision.notes


def test_clamp_lowers_to_the_cap_and_warns() -> None:
    decision = decide_size(settings(**CAPPED), {"KUBERNETES_MEMORY_REQUEST": "17Gi"})
    assert decision.size.memory_request_bytes == 16 * GIB
    assert decision.warnings == ['"MemoryRequest" 17Gi is higher than allowed and was lowered to 16Gi']


def test_strict_refuses_one_byte_too_much_and_takes_the_cap_itself() -> None:
    strict = settings("strict", **CAPPED)
    assert decide_size(strict, {"KUBERNETES_MEMORY_REQUEST": "16Gi"}).size.memory_request_bytes == 16 * GIB
    with pytest.raises(RequestError, match='"MemoryRequest" requested 17179869185 is higher than limit allowed 16Gi'):
        decide_size(strict, {"KUBERNETES_MEMORY_REQUEST": str(16 * GIB + 1)})


@pytest.mark.parametrize("oversize", ["clamp", "strict"])
@pytest.mark.parametrize("text", ["much", "-1", "1GB", "1 G"])
def test_what_is_no_quantity_is_the_jobs_failure(oversize: str, text: str) -> None:
    with pytest.raises(RequestError, match=r"KUBERNETES_MEMORY_REQUEST: .*correct the job's variable"):
        decide_size(settings(oversize, **CAPPED), {"KUBERNETES_MEMORY_REQUEST": text})


def test_the_helper_has_variables_and_caps_of_its_own() -> None:
    both = settings(helper_memory_request_overwrite_max_allowed="1Gi", **CAPPED)
    wishes = {"KUBERNETES_MEMORY_REQUEST": "8Gi", "KUBERNETES_HELPER_MEMORY_REQUEST": "512Mi"}
    assert decide_size(both, wishes, helper=True).size.memory_request_bytes == GIB // 2
    assert decide_size(both, wishes).size.memory_request_bytes == 8 * GIB


def test_a_limit_follows_from_the_request_with_a_floor_and_below_its_cap() -> None:
    percent = settings(memory_limit_percent=150, **CAPPED)
    asked = {"5M": 256 << 20, "8Gi": 12 * GIB, "16Gi": 24 * GIB, "15.9Gi": 25608742503}
    for request, limit in asked.items():
        size = decide_size(percent, {"KUBERNETES_MEMORY_REQUEST": request}).size
        assert size.memory_limit_bytes == limit
    explicit = {"KUBERNETES_MEMORY_REQUEST": "4Gi", "KUBERNETES_MEMORY_LIMIT": "5Gi"}
    assert decide_size(percent, explicit).size.memory_limit_bytes == 5 * GIB


def test_a_request_above_its_limit_is_lowered_because_the_api_server_refuses_it() -> None:
    decision = decide_size(settings(memory_limit="1Gi", **CAPPED), {"KUBERNETES_MEMORY_REQUEST": "2Gi"})
    assert (decision.size.memory_request_bytes, decision.size.memory_limit_bytes) == (GIB, GIB)
    assert decision.warnings == ["memory request lowered to its limit, 1Gi"]


def test_measured_builds_come_before_settings_and_after_the_job() -> None:
    measured = MeasuredSize(memory_bytes=6 * GIB, cpu_millicores=3000, source="9 builds")
    both = settings(memory_request="1Gi", cpu_request_overwrite_max_allowed="2", **CAPPED)
    size = decide_size(both, {}, past=PastUse(measured=measured)).size
    assert (size.memory_request_bytes, size.cpu_request_millicores) == (6 * GIB, 2000)
    wishes = {"KUBERNETES_MEMORY_REQUEST": "2Gi"}
    assert decide_size(both, wishes, past=PastUse(measured=measured)).size.memory_request_bytes == 2 * GIB
    assert decide_size(both, {}, past=PastUse(measured=measured), helper=True).size.memory_request_bytes is None


def test_an_earlier_kill_raises_limit_and_request_within_the_caps() -> None:
    decision = decide_size(
        settings(memory_limit="8Gi", memory_request="4Gi", **CAPPED), {}, past=PastUse(memory_killed_at_bytes=12 * GIB)
    )
    assert (decision.size.memory_limit_bytes, decision.size.memory_request_bytes) == (18 * GIB, 16 * GIB)
    assert decision.notes == ["memory raised to 18.0 GiB: an earlier attempt of this job was killed at 12.0 GiB"]


def test_a_kill_at_the_cap_raises_nothing() -> None:
    assert next_memory_limit(settings(**CAPPED), 24 * GIB) is None
    assert next_memory_limit(settings(**CAPPED), 23 * GIB) == 24 * GIB
    assert next_memory_limit(settings(), GIB) is None, "without a cap nothing says how far"
    assert (
        decide_size(settings(memory_limit="24Gi", **CAPPED), {}, past=PastUse(memory_killed_at_bytes=24 * GIB)).notes == []
    )


AMOUNTS = st.one_of(st.none(), st.integers(min_value=4_000_000, max_value=1 << 45))


@given(request=AMOUNTS, limit=AMOUNTS, killed=AMOUNTS, measured=AMOUNTS, percent=st.integers(min_value=0, max_value=400))
def test_whatever_is_asked_stays_within_the_caps_and_the_limit_is_never_below_the_request(
    request: int | None, limit: int | None, killed: int | None, measured: int | None, percent: int
) -> None:
    wishes = {"KUBERNETES_MEMORY_REQUEST": request, "KUBERNETES_MEMORY_LIMIT": limit}
    size = decide_size(
        settings(memory_limit_percent=percent, **CAPPED),
        {key: format_bytes(value) for key, value in wishes.items() if value is not None},
        past=PastUse(measured=MeasuredSize(memory_bytes=measured), memory_killed_at_bytes=killed),
    ).size
    assert (size.memory_request_bytes or 0) <= 16 * GIB
    assert (size.memory_limit_bytes or 0) <= 24 * GIB
    if size.memory_request_bytes and size.memory_limit_bytes:
        assert size.memory_request_bytes <= size.memory_limit_bytes


LADDER = MeasuredSize(
    memory_bytes=6 * GIB, memory_limit_bytes=6 * GIB, cpu_millicores=3400, disk_bytes=2 * GIB,
    ladder_memory_bytes=[12 * GIB, 20 * GIB, 22 * GIB], source="23 builds of hdf5@1.14, largest 5.1",
)  # fmt: skip


def test_the_job_log_says_what_comes_from_the_size_table_and_why() -> None:
    decision = decide_size(settings(**CAPPED), {}, past=PastUse(measured=LADDER))
    assert decision.notes == ["memory 6.0 GiB: 23 builds of hdf5@1.14, largest 5.1; CPU 3.4 cores; disk 2.0 GiB"]
    assert decide_size(settings(**CAPPED), {}, past=PastUse(measured=MeasuredSize(build_jobs=4))).notes == []
    unequal = MeasuredSize(memory_bytes=GIB, memory_limit_bytes=2 * GIB)
    assert decide_size(settings(), {}, past=PastUse(measured=unequal)).notes == [
        "memory 1.0 GiB to 2.0 GiB: from the size table"
    ]


@pytest.mark.parametrize(
    ("killed_at", "limit", "request_"),
    [(6, 12, 12), (11, 12, 12), (12, 20, 16), (20, 22, 16), (21, 22, 16), (22, 24, 16), (24, 6, 6)],
)
def test_after_a_kill_the_table_s_ladder_counts_then_the_operator_s_step_then_the_cap(
    killed_at: int, limit: int, request_: int
) -> None:
    past = PastUse(measured=LADDER, memory_killed_at_bytes=killed_at * GIB)
    size = decide_size(settings(**CAPPED), {}, past=past).size
    assert (size.memory_limit_bytes, size.memory_request_bytes) == (limit * GIB, request_ * GIB)


@pytest.mark.parametrize("page", [4096, 65536])
def test_a_kill_at_a_limit_that_the_kernel_has_rounded_to_pages_is_a_step_further(page: int) -> None:
    odd = 12 * GIB + 12_345
    assert next_memory_limit(settings(**CAPPED), odd // page * page, [odd, 20 * GIB]) == 20 * GIB


def test_without_a_cap_the_ladder_says_how_far() -> None:
    assert next_memory_limit(settings(), 6 * GIB, [12 * GIB]) == 12 * GIB
    assert next_memory_limit(settings(), 12 * GIB, [12 * GIB]) is None
    raised = decide_size(settings(), {}, past=PastUse(measured=LADDER, memory_killed_at_bytes=6 * GIB)).size
    assert (raised.memory_limit_bytes, raised.memory_request_bytes) == (12 * GIB, 12 * GIB)


def test_what_a_pipeline_took_from_an_older_table_is_a_hint_that_the_table_beats() -> None:
    asked = {"KUBERNETES_MEMORY_REQUEST": "2Gi", "KUBERNETES_CPU_REQUEST": "1"}
    both = settings(cpu_request_overwrite_max_allowed="8", **CAPPED)
    marked = asked | {"SPACK_FARM_SIZE_SOURCE": "abc"}
    memory_only = PastUse(measured=MeasuredSize(memory_bytes=6 * GIB))
    assert decide_size(both, asked, past=memory_only).size.memory_request_bytes == 2 * GIB
    size = decide_size(both, marked, past=memory_only).size
    assert (size.memory_request_bytes, size.cpu_request_millicores) == (6 * GIB, 1000)
    assert decide_size(both, marked).size.memory_request_bytes == 2 * GIB


def test_the_table_s_limit_never_lowers_what_the_job_itself_requests() -> None:
    size = decide_size(settings(**CAPPED), {"KUBERNETES_MEMORY_REQUEST": "9Gi"}, past=PastUse(measured=LADDER)).size
    assert (size.memory_request_bytes, size.memory_limit_bytes) == (9 * GIB, 9 * GIB)
    low_cap = settings(memory_request_overwrite_max_allowed="64Gi", memory_limit_overwrite_max_allowed="8Gi")
    decision = decide_size(low_cap, {"KUBERNETES_MEMORY_REQUEST": "9Gi"}, past=PastUse(measured=LADDER))
    assert (decision.size.memory_request_bytes, decision.size.memory_limit_bytes) == (8 * GIB, 8 * GIB)
    assert decision.warnings == ["memory request lowered to its limit, 8Gi"]


@pytest.mark.parametrize(
    ("architecture", "family"),
    [
        ("linux-ubuntu22.04-x86_64_v4", "x86_64"), ("linux-rhel8-icelake", "x86_64"), ("x86_64", "x86_64"),
        ("linux-amzn2-graviton", "graviton"), ("linux-debian12-armv8.4a", "aarch64"), ("darwin-sonoma-m4", "aarch64"),
        ("linux-rhel8-power9le", "ppc64le"), ("linux-rhel7-power9", "ppc64"), ("linux-x-i686", "x86"), ("", ""),
    ],
)  # fmt: skip
def test_a_target_belongs_to_a_family(architecture: str, family: str) -> None:
    assert target_family(architecture) == family


@given(st.dictionaries(st.sampled_from([
    "SPACK_JOB_SPEC_PKG_NAME", "SPACK_JOB_SPEC_PKG_VERSION", "SPACK_JOB_SPEC_COMPILER_NAME", "SPACK_BUILD_JOBS",
    "SPACK_JOB_SPEC_COMPILER_VERSION", "SPACK_JOB_SPEC_ARCH", "SPACK_JOB_SPEC_VARIANTS", "SPACK_JOB_SPEC_DAG_HASH",
]), st.text(max_size=40)))  # fmt: skip
def test_whatever_a_job_s_variables_say_its_keys_differ_and_end_with_the_default(variables: dict[str, str]) -> None:
    keys = size_keys(variables)
    assert len(keys) == len(set(keys))
    assert keys[-1:] == (["*"] if variables.get("SPACK_JOB_SPEC_PKG_NAME") else [])


@pytest.mark.parametrize("helper", [False, True])
@pytest.mark.parametrize(
    ("key", "text", "words"),
    [
        ("memory_limit", "512m", "512m is 0.5 bytes; 512M or 512Mi?"),
        ("memory_request", "512m", "512m is 0.5 bytes; 512M or 512Mi?"),
        ("memory_limit", "0", "a limit of 0 is no limit at all"),
        ("cpu_request", "4000", "4000 is 4000 cores; 4000m?"),
        ("cpu_limit", "2Gi", "2Gi is 2147483648 cores; 2?"),
        ("ephemeral_storage_limit", "10", "10 is 10 bytes; 10G or 10Gi?"),
        ("ephemeral_storage_request", "10GB", "not a quantity, such as 500m, 2G or 1.5Gi; 10G or 10Gi?"),
    ],
)
def test_a_size_that_no_container_can_live_with_is_refused_with_what_was_likely_meant(
    key: str, text: str, words: str, *, helper: bool
) -> None:
    name = f"helper_{key}" if helper else key
    with pytest.raises(RequestError, match=re.escape(words)) as raised:
        decide_size(
            settings(**{f"{name}_overwrite_max_allowed": "500G"}), {f"KUBERNETES_{name.upper()}": text}, helper=helper
        )
    assert str(raised.value).startswith(f"KUBERNETES_{name.upper()}: ")


def test_a_cap_that_thousandths_would_keep_is_told_with_the_likely_meaning() -> None:
    decision = decide_size(settings(cpu_request_overwrite_max_allowed="16"), {"KUBERNETES_CPU_REQUEST": "500"})
    assert decision.size.cpu_request_millicores == 16_000
    assert decision.warnings == ['"CPURequest" 500 is higher than allowed and was lowered to 16 (500 is 500 cores; 500m?)']
    decision = decide_size(settings(cpu_request_overwrite_max_allowed="16"), {"KUBERNETES_CPU_REQUEST": "24"})
    assert "24m?" in decision.warnings[0]


@pytest.mark.parametrize(
    ("measured", "words"),
    [
        (
            MeasuredSize(memory_limit_bytes=512, source="s"),
            "MemoryLimit 512 is not used (s). A container",
        ),
        (
            MeasuredSize(cpu_millicores=4_000_000, source="s"),
            "CPURequest 4000000 is not used (s). No node",
        ),
        (MeasuredSize(memory_bytes=10**16, source="s"), "No node has 1 PB"),
        (MeasuredSize(disk_bytes=10, source="s"), "less than 1 MB"),
    ],
)
def test_a_measured_size_that_no_container_can_live_with_is_not_used(measured: MeasuredSize, words: str) -> None:
    decision = decide_size(settings(), {}, past=PastUse(measured=measured))
    assert set(msgspec.structs.asdict(decision.size).values()) == {None}
    assert words in decision.warnings[0]


def test_a_limit_that_follows_from_a_small_request_is_one_in_which_a_shell_can_live() -> None:
    over = settings(memory_request="1M", memory_limit_percent=100, memory_limit_floor="")
    assert decide_size(over, {}).size.memory_limit_bytes == 4_000_000
