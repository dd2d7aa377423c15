"""One document of each type with every field set, and strategies that make any."""

from __future__ import annotations

from hypothesis import strategies as st

from lucos.model import (
    Boot,
    Configuration,
    Constraint,
    Event,
    Instance,
    Kill,
    Migrate,
    Node,
    Pause,
    Plan,
    PlannedAction,
    Resources,
    Resume,
    Shutdown,
    Suspend,
    Unpause,
    VeState,
    VirtualEnvironment,
    VmSpec,
    VmState,
)

_RULES = (
    Constraint("spread", ("shop.web1", "shop.db")),
    Constraint("fence", ("shop.db",), ("h1", "h2"), continuous=False),
)
_SPEC = VmSpec("shop.db", "shop", "mini", 2, 192, "tick+cpu:20", _RULES)
_NODE = Node("h1", Resources(200.0, 4096.0), "s1", draining=True)
_ON_NODE = (Boot, Shutdown, Kill, Pause, Unpause, Suspend, Resume)
_STEPS = (
    PlannedAction(1, Migrate("shop.db", "h1", "h2"), (), "h1 lacked 40 % CPU"),
    *(PlannedAction(i + 2, kind("shop.web1", "h1"), (i + 1,), "asked") for i, kind in enumerate(_ON_NODE)),
)

EXAMPLES = (
    _SPEC,
    _NODE,
    Configuration(
        {"h1": _NODE},
        {
            "shop.db": Instance(_SPEC, "h1", VmState.RUNNING, Resources(55.5, 192.0)),
            "shop.web1": Instance(VmSpec("shop.web1", "shop", "mini"), None, VmState.READY, Resources()),
        },
    ),
    VirtualEnvironment("shop", (_SPEC,), _RULES, VeState.PAUSED, "spread({web1, db});"),
    Plan(_STEPS),
    Event(
        1730000000.25,
        "h1",
        "violation.start",
        "h1",
        "CPU demand 240 % of 200 %",
        {"partition": ["h1", "h2"], "moves": 1, "duration_s": 0.5, "ok": False, "cause": None, "vm": "é"},
    ),
)

names = st.text(min_size=1, max_size=8)
several = st.lists(names, max_size=3).map(tuple)
numbers = st.floats(allow_nan=False, allow_infinity=False)
resources = st.builds(Resources, numbers, numbers)
rules = st.builds(Constraint, names, several, several, st.booleans())
some_rules = st.lists(rules, max_size=2).map(tuple)
specs = st.builds(VmSpec, names, names, names, st.integers(1, 64), st.integers(1, 2**20), names, some_rules)
nodes = st.builds(Node, names, resources, st.text(max_size=4), st.booleans())
instances = st.builds(Instance, specs, st.none() | names, st.sampled_from(VmState), resources)
actions = st.one_of(
    st.builds(Migrate, names, names, names), *(st.builds(kind, names, names) for kind in _ON_NODE)
)
steps = st.builds(
    PlannedAction, st.integers(0, 999), actions, st.lists(st.integers(0, 999)).map(tuple), st.text()
)
details = (
    st.text() | st.integers(-(2**63), 2**64 - 1) | numbers | st.booleans() | st.none() | st.lists(st.text())
)
any_document = st.one_of(
    specs,
    nodes,
    st.builds(
        Configuration,
        st.dictionaries(names, nodes, max_size=3),
        st.dictionaries(names, instances, max_size=3),
    ),
    st.builds(
        VirtualEnvironment,
        names,
        st.lists(specs, max_size=3).map(tuple),
        some_rules,
        st.sampled_from(VeState),
        st.text(),
    ),
    st.builds(Plan, st.lists(steps, max_size=4).map(tuple)),
    st.builds(Event, numbers, names, names, names, st.text(), st.dictionaries(names, details, max_size=4)),
)
