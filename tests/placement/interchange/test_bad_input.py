"""Whatever is wrong in a document is one `InputError` that says where; never another exception."""

from __future__ import annotations

import copy
import gzip
import json
import os
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import instances
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lucos.errors import InputError, LucError
from lucos.model import Plan
from lucos.placement.checker import check
from lucos.placement.interchange import load, load_plan, ours, reading
from lucos.placement.problem import Budget
from lucos.placement.solver import solve

Change = Callable[[dict[str, Any]], object]


def model(document: dict[str, Any]) -> Any:
    return document["model"]


def online(document: dict[str, Any]) -> Any:
    return document["model"]["mapping"]["onlineNodes"]


def rule(document: dict[str, Any], **fields: Any) -> None:
    document["constraints"] = [fields]


def view(document: dict[str, Any], number: int, **fields: Any) -> None:
    document["model"]["views"][number].update(fields)


CHANGES: list[tuple[str, Change]] = [
    # VMs and nodes
    (
        r"\$\.model\.mapping\.onlineNodes\.2\.runningVMs\[1\]: VM 10 is already running on node 1",
        lambda d: online(d)["2"]["runningVMs"].append(10),
    ),
    (
        r"\.onlineNodes\.2\.sleepingVMs\[1\]: VM 10 is already running on node 1",
        lambda d: online(d)["2"]["sleepingVMs"].append(10),
    ),
    (r"runningVMs\[0\]: VM 10 is already ready", lambda d: model(d)["mapping"]["readyVMs"].append(10)),
    (r"runningVMs\[2\]: VM 10 is already", lambda d: online(d)["1"]["runningVMs"].append(10)),
    (r"offlineNodes\[1\]: node 2 is declared twice", lambda d: model(d)["mapping"]["offlineNodes"].append(2)),
    (r"onlineNodes\.2\.runningVMs\[1\]: Expected `int`", lambda d: online(d)["2"]["runningVMs"].append("x")),
    (r"onlineNodes.*pausedVMs", lambda d: online(d)["2"].update(pausedVMs=[])),
    (r"mapping\.onlineNodes: key: Expected `int`", lambda d: online(d).update(N9={"runningVMs": []})),
    (r"runningVMs\[1\]: Expected `int` >= 0", lambda d: online(d)["2"]["runningVMs"].append(-4)),
    (r"runningVMs\[1\]", lambda d: online(d)["2"]["runningVMs"].append(10**30)),
    # Attributes
    (
        r"\$\.model\.attributes\.vms\.99: there is no VM 99",
        lambda d: model(d)["attributes"]["vms"].update({"99": {}}),
    ),
    (
        r"\$\.model\.attributes\.vms\.10\.boot: Expected `float` >= 0",
        lambda d: model(d)["attributes"]["vms"]["10"].update(boot=-1),
    ),
    (
        r"\$\.model\.attributes\.nodes\.3\.shutdown: Expected `float`, got `str`",
        lambda d: model(d)["attributes"]["nodes"]["3"].update(shutdown="4"),
    ),
    # Views
    (
        r"\$\.model\.views\[0\]\.vms\.12: Expected `float` >= 0\.0",
        lambda d: view(d, 0, vms={"10": 3, "12": -2}),
    ),
    (r"\$\.model\.views\[0\]\.vms\.77: there is no VM 77", lambda d: view(d, 0, vms={"77": 3})),
    (r"\$\.model\.views\[0\]\.nodes\.1: .*<= ", lambda d: view(d, 0, nodes={"1": 1e300})),
    (r"\$\.model\.views\[0\]: .*defCapacities", lambda d: view(d, 0, defCapacities=3)),
    (
        r"\$\.model\.views\[4\]\.rcId: the resource 'mem' is declared twice",
        lambda d: model(d)["views"].append(model(d)["views"][0]),
    ),
    (r"\$\.model\.views\[1\]\.map: two names", lambda d: view(d, 1, map={"a": 10, "b": 10})),
    (r"\$\.model\.views\[1\]\.map: two names", lambda d: view(d, 1, map={"vm#11": 10})),
    (r"\$\.model\.views\[1\]\.map\.99: there is no vm 99", lambda d: view(d, 1, map={"a": 99})),
    (r"\$\.model\.views\[1\]\.type: 'vms'", lambda d: view(d, 1, type="vms")),
    (r"\$\.model\.views\[1\]\.id: unknown view 'names'", lambda d: view(d, 1, id="names")),
    (
        r"\$\.model\.views\[3\]\.links\[0\]\.switch: there is no switch 9",
        lambda d: model(d)["views"][3]["links"][0].update(switch=9),
    ),
    (
        r"\.links\[3\]\.physicalElement: there is no node 8",
        lambda d: model(d)["views"][3]["links"][3]["physicalElement"].update(id=8),
    ),
    (r"\.routing\.type: unknown routing 'bgp'", lambda d: model(d)["views"][3]["routing"].update(type="bgp")),
    # Constraints
    (r"\$\.constraints\[0\]\.id: unknown constraint 'spred'", lambda d: rule(d, id="spred", vms=[10])),
    (r"\$\.constraints\[0\]\.vms: there is no VM 99", lambda d: rule(d, id="spread", vms=[10, 99])),
    (r"\$\.constraints\[0\]: .*nodez", lambda d: rule(d, id="ban", vm=10, nodez=[1])),
    (r"\$\.constraints\[0\]\.rc: ban takes no rc", lambda d: rule(d, id="ban", vm=10, nodes=[1], rc="mem")),
    (r"\$\.constraints\[0\]: ban needs the field node", lambda d: rule(d, id="ban", vm=10)),
    (
        r"\$\.constraints\[0\]\.parts\[1\]: there is no node 12",
        lambda d: rule(d, id="among", vms=[10], parts=[[1], [12]]),
    ),
    (
        r"\$\.constraints\[0\]\.parts\[0\]\[1\]: Expected `int`",
        lambda d: rule(d, id="among", vms=[10], parts=[[1, "x"]]),
    ),
    (
        r"\$\.constraints\[0\]\.timestamp: '12:00:00' is not",
        lambda d: rule(d, id="Deadline", vm=10, timestamp="12:00:00"),
    ),
    (
        r"\$\.constraints\[0\]\.amount: Expected `float` >= 0",
        lambda d: rule(d, id="preserve", vm=10, rc="mem", amount=-1),
    ),
    (r"preserve.*no.*gpu|gpu", lambda d: rule(d, id="preserve", vm=10, rc="gpu", amount=1)),
    (r"overbook.*ratio 0\.5", lambda d: rule(d, id="overbook", node=1, rc="mem", ratio=0.5)),
    # The rest
    (r"\$\.objective\.id: unknown objective 'fun'", lambda d: d.update(objective={"id": "fun"})),
    (r"unknown field `extra`", lambda d: d.update(extra=1)),
    (r"\$\.model: Expected `object`", lambda d: d.update(model=[])),
    (r"neither a BtrPlace instance", lambda d: d.pop("model")),
    (r"this is a plan", lambda d: (d.clear(), d.update(origin={}, actions=[]))),
]


@pytest.mark.parametrize(("said", "change"), CHANGES, ids=[said for said, _ in CHANGES])
def test_the_place_is_told(said: str, change: Change) -> None:
    document = instances.btrplace()
    change(document)
    with pytest.raises(InputError, match=said):
        load(json.dumps(document).encode())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "the document is empty"),
        (b" \n", "the document is empty"),
        (b"\x1f\x8b", "truncated"),
        (b'{"model": {},\n "constraints": [}', "line 2, column 18: JSON is malformed"),
        (b'{"lucos": 1, "type": "PlacementProblem"}', "missing required field `value`"),
        (b'{"lucos": 2, "type": "PlacementProblem", "value": {}}', r"\$\.lucos: Invalid enum value 2"),
        (b'{"lucos": 1, "type": "Plan", "value": {}}', r"\$\.type: Invalid enum value 'Plan'"),
        (b"[1, 2]", r"\$: Expected `object`, got `array`"),
        (b'{"model": {"mapping": {}, "views": NaN}}', "malformed"),
        (b'{"lucos": 1, "type": "\xff"}', "UTF-8|malformed"),
        (b"\xff\xfe{\x00}\x00", "malformed|UTF-8"),
        (b'{"model": {"mapping": {"readyVMs": [], "readyVMs": []}}}', "'readyVMs' appears twice"),
        (b'{"model":{"mapping":{"onlineNodes":{"1":{},"1":{}}}}}', "'1' appears twice"),
        (b'{"model":{"mapping":{}},"constraints":[{"id":"spread","id":"spread","vms":[]}]}', "'id' appears"),
        (b'{"lucos":1,"type":"PlacementProblem","value":{"nodes":[],"vms":[],"vms":[]}}', "'vms' appears"),
    ],
)
def test_text_that_is_no_document(text: bytes, said: str) -> None:
    with pytest.raises(InputError, match=said):
        load(text)


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'{"model":{"views":[', b'{"lucos":1,"value":'])
def test_deep_nesting_is_refused(opening: bytes) -> None:
    with pytest.raises(InputError, match=r"nested too deeply|malformed|ends before|got `array`"):
        load(opening * 200_000)


def test_ten_megabytes_of_nonsense() -> None:
    with pytest.raises(InputError, match="line 1, column 1: JSON is malformed"):
        load(zlib.compress(b"nonsense") * 500_000)
    with pytest.raises(InputError, match=r"\$: Expected `object`, got `array`"):
        load(b"[" + b"0," * 5_000_000 + b"0]")


@pytest.mark.parametrize("cut", [1, 9, 100, 1000])
def test_truncated_gzip(cut: int) -> None:
    packed = gzip.compress(os.urandom(2000) + json.dumps(instances.btrplace()).encode())
    with pytest.raises(InputError, match="truncated"):
        load(packed[:-cut])


def test_damaged_gzip() -> None:
    packed = bytearray(gzip.compress(json.dumps(instances.btrplace()).encode()))
    packed[len(packed) // 2] ^= 0xFF
    with pytest.raises(InputError, match="damaged"):
        load(bytes(packed))


def test_a_gzip_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "SIZE_MAX", 2**20)
    bomb = gzip.compress(bytes(2**22))
    with pytest.raises(InputError, match="larger than 1 MiB"):
        load(bomb)
    with pytest.raises(InputError, match="larger than 1 MiB"):
        load(gzip.compress(bytes(2**19)) * 3)


def test_files_are_named(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    with pytest.raises(InputError, match=r"a\.json: cannot read: No such file"):
        load(file)
    file.write_bytes(b"{")
    with pytest.raises(InputError, match=r"a\.json: \$: it ends before it is complete"):
        load(file)
    with pytest.raises(InputError, match="cannot read: Is a directory"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("action", "said"),
    [
        ({"id": "forgeVM", "vm": 10}, r"\$\.actions\[0\]: forgeVM"),
        ({"id": "fly", "vm": 10}, r"\$\.actions\[0\]\.id: unknown action 'fly'"),
        ({"id": "migrateVM", "vm": 10, "from": 1}, r"\$\.actions\[0\]\.to: migrateVM needs a node"),
        ({"id": "migrateVM", "vm": 99, "from": 1, "to": 2}, r"\$\.actions\[0\]\.vm: there is no VM 99"),
        ({"id": "migrateVM", "vm": 10, "from": 1, "to": 99}, r"\$\.actions\[0\]\.to: there is no node 99"),
        ({"id": "allocate", "vm": 10, "on": 1}, r"\$\.actions\[0\]: allocate needs rc and amount"),
        ({"id": "allocate", "vm": 10, "on": 1, "rc": "gpu", "amount": 1}, "there is no resource 'gpu'"),
        ({"id": "bootVM", "vm": 14, "on": 1, "end": -1}, r"\$\.actions\[0\]\.end: Expected `float` >= 0"),
        (
            {"id": "bootVM", "vm": 14, "on": 1, "hooks": {"pre": [{"id": "substitutedVM", "vm": 1}]}},
            r"\$\.actions\[0\]\.hooks\.pre\[0\]",
        ),
    ],
)
def test_bad_actions(action: dict[str, Any], said: str) -> None:
    problem = load(json.dumps(instances.btrplace()).encode(), validated=False)
    document = {"origin": {}, "actions": [{"start": 0, "end": 1} | action]}
    with pytest.raises(InputError, match=said):
        load_plan(json.dumps(document).encode(), problem)


def test_plans_of_no_known_format() -> None:
    with pytest.raises(InputError, match="neither a BtrPlace plan"):
        load_plan(b"{}", instances.ours())


# --- Valid documents, changed at random

NUMBERS = st.sampled_from([-1, 0, 0.5, 1, 3, 10, 1e-300, 1e12, 1e18, 1e300, 2**31, 2**63, 10**40])
ODD = NUMBERS | st.sampled_from([None, True, "", "1", "spread", "web", "a", [], {}, [[]], [0], {"1": {}}])


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of everything in a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, inner in items for place in places(inner, (*path, key)))]


def changed(document: Any, draw: st.DataObject) -> Any:
    """The document with one thing replaced, removed, doubled, or swapped with another."""
    path = draw.draw(st.sampled_from(places(document)[1:]))
    holder = document
    for key in path[:-1]:
        holder = holder[key]
    match draw.draw(st.sampled_from(["replace", "remove", "double", "rename"])):
        case "remove":
            del holder[path[-1]]
        case "double" if isinstance(holder, list):
            holder.append(copy.deepcopy(holder[path[-1]]))
        case "rename" if isinstance(holder, dict):
            holder[draw.draw(st.sampled_from(["id", "x", "99", "vms", "nodes"]))] = holder.pop(path[-1])
        case _:
            holder[path[-1]] = copy.deepcopy(draw.draw(ODD))
    return document


def judged(data: bytes) -> None:
    """Reads and checks without any exception but `InputError`, solves without any that is not for users."""
    with suppress(InputError):
        problem = load(data)
        check(problem, Plan())
        with suppress(LucError):
            solution = solve(problem, Budget(work=0.05))
            assert not solution.solved or check(problem, solution.plan) == []


VALID = [
    {**instances.btrplace(), "constraints": instances.btrplace()["constraints"][i::3]} for i in range(3)
] + [json.loads(ours.write_problem(instances.ours()))]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(draw=st.data())
def test_changed_documents_never_crash(draw: st.DataObject) -> None:
    document = json.loads(json.dumps(draw.draw(st.sampled_from(VALID))))
    for _ in range(draw.draw(st.integers(1, 3))):
        document = changed(document, draw)
    judged(json.dumps(document).encode())


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    document=st.sampled_from(VALID),
    at=st.integers(0, 10_000),
    length=st.integers(0, 5),
    inserted=st.binary(max_size=4),
    packed=st.booleans(),
)
def test_changed_bytes_never_crash(
    document: Any, at: int, length: int, inserted: bytes, packed: bool
) -> None:
    text = json.dumps(document).encode()
    data = gzip.compress(text, mtime=0) if packed else text
    at %= len(data)
    data = data[:at] + inserted + data[at + length :]
    with suppress(InputError):
        load(data)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(draw=st.data())
def test_changed_plans_never_crash(draw: st.DataObject) -> None:
    problem = load(json.dumps(instances.btrplace() | {"constraints": []}).encode())
    actions = [
        {
            "id": "migrateVM",
            "vm": 10,
            "from": 1,
            "to": 2,
            "start": 0,
            "end": 8,
            "hooks": {"pre": [], "post": []},
        },
        {"id": "allocate", "vm": 11, "on": 1, "rc": "mem", "amount": 2, "start": 0, "end": 1},
        {"id": "bootNode", "node": 3, "start": 0, "end": 1, "luc": {"number": 4, "dependsOn": [0]}},
    ]
    document = changed({"origin": {}, "actions": actions}, draw)
    with suppress(InputError):
        check(problem, load_plan(json.dumps(document).encode(), problem))
