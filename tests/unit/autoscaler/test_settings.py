"""Settings become a policy, or one message names what is wrong; periods of warm floors; labels and taints."""

import datetime as dt
from pathlib import Path

import pytest

from autoscaler import cron
from autoscaler.deciding.matching import Constraints, constraints_of, selects, untolerated
from autoscaler.errors import SettingsError
from autoscaler.settings import allocatable, parse_settings, read_settings
from autoscaler.snapshot import Requirement, Taint, Toleration
from tests.labs.checkout import ROOT

TYPE = 'types = [{ name = "m", cpu = "16", memory = "64Gi", price_per_hour = 0.768 }]'
POOL = f'[[pools]]\nname = "linux"\n{TYPE}\n'


def test_the_example_is_read_and_sizes_are_as_a_node_of_eks_has_them() -> None:
    policy = read_settings(ROOT / "examples/autoscaler/settings.toml").policy
    found = {kind.name: kind.allocatable for kind in policy.pools[0].types}
    assert found["m.4xlarge"].cpu_millicores == 15_890
    assert found["m.4xlarge"] == allocatable(16_000, 64 << 30)
    assert policy.warm[0].idle_count == 1
    assert policy.caps.most_nodes == 60


def test_what_is_given_of_a_type_is_taken() -> None:
    text = POOL.replace(
        "price_per_hour", 'allocatable_cpu = "15", allocatable_memory = "60Gi", daemons_cpu = "200m", price_per_hour'
    )
    kind = parse_settings(text).policy.pools[0].types[0]
    assert (kind.allocatable.cpu_millicores, kind.allocatable.memory_bytes, kind.daemons.cpu_millicores) == (
        15_000,
        60 << 30,
        200,
    )


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("polices = 1", "unknown key polices (did you mean policy?)"),
        ("policy = 'fast'", "policy"),
        ("mode = 'auto'", "mode"),
        ("tick_seconds = 0", "tick_seconds is not above 0"),
        ("[", "Invalid"),
        (POOL + POOL, "two pools have the name 'linux'"),
        ('[[pools]]\nname = "x"\ntypes = []', "pools.x has no types"),
        (POOL.replace('"16"', '"a lot"'), "pools.linux.types.m.cpu: 'a lot' is not a quantity"),
        (POOL.replace("0.768", "-1.0"), "price_per_hour is negative"),
        (POOL.replace("0.768", "nan"), "pools.linux.types.m.price_per_hour is not a finite number"),
        (POOL.replace("0.768", "inf"), "price_per_hour is not a finite number"),
        (POOL.replace('"16"', '"0"'), "types.m has no room for pods"),
        (POOL.replace('"64Gi"', '"256Mi"'), "types.m has no room for pods"),
        (POOL + 'zones = ["a", "b", "a"]', "has the zone a twice"),
        (POOL.replace('"linux"', '"Linux / Bau"'), "pools: 'Linux / Bau' is no name that a node's label can have"),
        (POOL.replace('"linux"', '""'), "pools: '' is no name"),
        (POOL.replace('"m"', f'"{"m" * 64}"'), "is no name that a node's label can have"),
        ("stale_seconds = inf", "stale_seconds is not a finite number"),
        ("[caps]\nmost_nodes = -1", "caps.most_nodes is negative"),
        ("[look_ahead]\nend_factor = -0.5", "look_ahead.end_factor is negative"),
        (POOL + "[[warm]]\npool = 'linux'\nscale_factor = nan", "warm.0.scale_factor is not a finite number"),
        (POOL.replace("[{", "[{ name = 'm', cpu = '1', memory = '1Gi', price_per_hour = 1.0 }, {"), "has the type m twice"),
        (POOL + "zones = []", "has no zones"),
        (POOL + "least_nodes = 9\nmost_nodes = 2", "least_nodes is above most_nodes"),
        (POOL + "zone = 'a'", "unknown key pools.linux.zone (did you mean pools.linux.zones?)"),
        (POOL + "most-nodes = 3\nleast_node = 1", "pools.linux.most_nodes?); unknown key pools.linux.least_node (did"),
        (POOL + "[pools.slot]\nmem = '1Gi'", "unknown key pools.linux.slot.mem (did you mean pools.linux.slot.memory?)"),
        (
            POOL.replace("price_per_hour", "price"),
            "pools.linux.types.m.price (did you mean pools.linux.types.m.price_per_hour?)",
        ),
        ("confirm_seconds = 20", "unknown key confirm_seconds (did you mean scale_in.confirm_seconds?)"),
        (POOL + "[[warm]]\npool = 'linu'", "there is no pool 'linu' (did you mean linux?)"),
        (POOL + "[[warm]]\npool = 'nope'", "there is no pool 'nope'"),
        (POOL + "[[warm]]\npool = 'linux'\ncron = '* *'", "has 2 fields, not 5"),
        ("[scale_in]\nconfirm_seconds = 5", "confirm_seconds is below 15"),
        ("[scale_in]\nidle_seconds = 0", "idle_seconds is not above 0"),
        ("[scale_in]\ncordon_seconds = 20", "leaves no time for the second look"),
        ("a = " + "[" * 5000, "nested too deeply"),
        ("inputs = ['pods', 'podz']", "inputs: there is no 'podz' (did you mean pods?); there are pods, nodes"),
        (POOL.replace("price_per_hour", "most_pods = 0, price_per_hour"), "types.m has no room for pods"),
        (POOL.replace("price_per_hour", 'daemons_cpu = "16", price_per_hour'), "types.m has no room for pods"),
        (POOL.replace("price_per_hour", 'daemons_memory = "64Gi", price_per_hour'), "types.m has no room for pods"),
        (POOL + 'taints = [{ key = "a", effect = "NoShedule" }]', "'NoShedule' is no effect; there are NoSchedule"),
        (
            POOL + 'options = { node_clas = "a" }',
            "the hand nodeclaim has no option 'node_clas' (did you mean node_class?); it has capacity_type",
        ),
        (
            POOL + 'hand = "asg"\noptions = { "group.n" = "a" }',
            "the hand asg has no option 'group.n' (did you mean group.m?); it has group, group.m",
        ),
        (POOL + 'hand = "kwok"\noptions = { group = "a" }', "the hand kwok has no option 'group'; it has none"),
    ],
)
def test_wrong_settings_are_rejected_with_their_key(text: str, fault: str) -> None:
    with pytest.raises(SettingsError, match="settings: ") as caught:
        parse_settings(text)
    assert fault in str(caught.value)


def test_settings_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="can't be read"):
        read_settings(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="it is not text in UTF-8"):
        read_settings(tmp_path / "bytes.toml")
    with pytest.raises(SettingsError, match="/dev/zero can't be read: more than 16 MiB"):
        read_settings(Path("/dev/zero"))


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "windows.toml").write_bytes(b"\xef\xbb\xbfpolicy = 'pack'\r\n")
    assert read_settings(tmp_path / "windows.toml").policy.name == "pack"


def test_the_options_of_every_hand_are_known() -> None:
    zoned = POOL + 'zones = ["a"]\n'
    for given in (
        'hand = "asg"\noptions = { "group.m" = "g", region = "r" }',
        'hand = "asg"\noptions = { "group.m.a" = "g" }',
        'hand = "nodeclaim"\noptions = { node_class = "c", node_class_kind = "k", node_class_group = "g" }',
    ):
        assert parse_settings(zoned + given).policy.pools[0].options


MONDAY = dt.datetime(2026, 11, 30, 8, 30, tzinfo=dt.UTC).timestamp()


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("* * * * *", True),
        ("30 8 30 11 1", True),
        ("*/15 7-18 * * 1-5", True),
        ("5/25 * * * *", True),
        ("31 * * * *", False),
        ("* * * * 6,7", False),
        ("* * 30 * 6", True),
        ("* * 29 * 6", False),
        ("* * */7 * 1", False),
        ("60 * * * *", False),
        ("x * * * *", False),
        ("*/0 * * * *", False),
        ("5-1 * * * *", False),
        ("", False),
    ],
)
def test_a_period_holds(text: str, holds: bool) -> None:  # noqa: FBT001
    assert cron.holds(text, MONDAY) is holds


def test_sunday_is_0_and_7_and_no_instant_is_too_odd() -> None:
    sunday = MONDAY - 86_400
    assert cron.holds("* * * * 0", sunday)
    assert cron.holds("* * * * 7", sunday)
    assert not cron.holds("* * * * *", float("inf"))


LABELS = {"arch": "amd64", "cores": "16", "zone": "a"}


@pytest.mark.parametrize(
    ("operator", "values", "key", "holds"),
    [
        ("In", ("amd64", "arm64"), "arch", True),
        ("In", ("arm64",), "arch", False),
        ("In", ("x",), "none", False),
        ("NotIn", ("arm64",), "arch", True),
        ("NotIn", ("x",), "none", True),
        ("Exists", (), "arch", True),
        ("Exists", (), "none", False),
        ("DoesNotExist", (), "none", True),
        ("Gt", ("8",), "cores", True),
        ("Lt", ("8",), "cores", False),
        ("Gt", ("eight",), "cores", False),
        ("Gt", (), "cores", False),
        ("Lt", ("8",), "none", False),
        ("Near", ("8",), "cores", False),
    ],
)
def test_expressions_of_an_affinity(operator: str, values: tuple[str, ...], key: str, holds: bool) -> None:  # noqa: FBT001
    wanted = Constraints(affinity=((Requirement(key=key, operator=operator, values=values),),))
    assert selects(wanted, LABELS) is holds


def test_one_list_of_an_affinity_is_enough_and_a_selector_must_hold_too() -> None:
    no, yes = Requirement(key="x", operator="Exists"), Requirement(key="arch", operator="Exists")
    assert selects(constraints_of({"zone": "a"}, ((no,), (yes,)), ()), LABELS)
    assert not selects(constraints_of({"zone": "b"}, ((yes,),), ()), LABELS)


@pytest.mark.parametrize(
    ("toleration", "tolerated"),
    [
        (Toleration(operator="Exists"), True),
        (Toleration(key="jobs", operator="Exists"), True),
        (Toleration(key="jobs", value="true"), True),
        (Toleration(key="jobs", value="true", effect="NoExecute"), False),
        (Toleration(key="jobs", value="no"), False),
        (Toleration(key="", value="true"), False),
        (Toleration(key="other", operator="Exists"), False),
    ],
)
def test_tolerations(toleration: Toleration, tolerated: bool) -> None:  # noqa: FBT001
    wanted = Constraints(tolerations=(toleration,))
    assert (untolerated(wanted, (Taint(key="jobs", value="true"),)) is None) is tolerated
    assert untolerated(wanted, (Taint(key="soft", effect="PreferNoSchedule"),)) is None
