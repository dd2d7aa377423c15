"""Scripts that stand alone and use each other: namespaces, templates, imports, exports."""

from __future__ import annotations

from pathlib import Path

import pytest

from lucos.errors import InputError
from lucos.placement.constraints import SIGNATURES
from lucos.plasma import (
    Declared,
    Load,
    Module,
    PlasmaErrors,
    Source,
    Template,
    compile_module,
    in_folder,
)

DATACENTER = """
namespace datacenter;
@srv-[0x1..0xa, frontend] : xen<boot=60>;
$servers = @srv-[0x1..0xa, frontend];
$racks = $servers % 4;
maxOnline($servers, 9);
export $racks to *;
export $servers to admin.*, ops;
"""
APP = """
namespace clients.app1;
import datacenter;
VM[1..6] : large<clone, boot=10, disk="fast">;
$T[1..3] = VM[1..6] / 3;
for $t in $T[1..3] { spread($t); }
among($T3, $racks);
among($T1, $datacenter.racks);
export $me, $T1 to admin.*;
"""
ADMIN = """
namespace admin.sysadmin;
import datacenter;
import clients.*;
entropy : small;
fence(entropy, @srv-frontend);
fence($clients, $servers - {@srv-frontend});
ban($clients.app1, @srv-2);
spread($T1 + {entropy});
"""
SCRIPTS = {"datacenter": DATACENTER, "clients.app1": APP, "clients.app2": APP.replace("app1", "app2")}


def loader(scripts: dict[str, str]) -> Load:
    def load(pattern: str) -> dict[str, Source]:
        prefix = pattern.removesuffix("*")
        return {
            name: Source(text, f"{name}.plasma")
            for name, text in scripts.items()
            if (name.startswith(prefix) if pattern.endswith("*") else name == pattern)
        }

    return load


def module(text: str, scripts: dict[str, str] | None = None, **options: object) -> Module:
    load = loader(scripts) if scripts is not None else None
    source = Source(text, "main.plasma")
    return compile_module(source, signatures=SIGNATURES, load=load, **options)  # type: ignore[arg-type]


def refused(text: str, scripts: dict[str, str] | None = None, **options: object) -> str:
    with pytest.raises(PlasmaErrors) as caught:
        module(text, scripts, **options)
    return caught.value.message


def test_a_script_that_declares_what_it_speaks_of() -> None:
    made = module(DATACENTER)
    assert made.namespace == "datacenter"
    assert made.nodes["srv-10"] == Declared("xen", {"boot": 60.0})
    assert [str(c) for c in made.constraints] == [
        "maxOnline({srv-1, srv-2, srv-3, srv-4, srv-5, srv-6, srv-7, srv-8, ... 3 more}, 9)"
    ]
    assert made.constraints[0].label == "main.plasma:6"
    assert list(made.exports) == ["$racks", "$servers"]


def test_a_script_in_the_manner_of_btrpsl() -> None:
    made = module("""
    /** Of all there is, something. */
    namespace t;
    VM[1..20] : tiny<migratable, volatile>; VMzip : small;
    {$t1, $t2} = VM[1..4] / 2; {_, $a} = VM[1..6] % 3; {$b} = VM[1..6] / 2;
    $y = "zip"; $n = 5; root(VM[$n, $y, 7, 9..10]);
    $x = -3; $q = 2 * $x^2; $z = (0xff + 5) / 5; $x += 5; $z /= 0x2; $c = !$x; $m = $me != $q;
    if ($q == 18 && $z == 26 && $c == 0 && $x == 2 && $m) { lonely($t1 + $t2); } else { lonely($a); }
    export $t[1..2], $a, $b to *;
    """)
    root, lonely = made.constraints
    assert root.vms == ("t.VM5", "t.VMzip", "t.VM7", "t.VM9", "t.VM10")
    assert lonely.vms == ("t.VM1", "t.VM2", "t.VM3", "t.VM4")
    assert list(made.exports) == ["$t1", "$t2", "$a", "$b"]


def test_imports() -> None:
    made = module(ADMIN, {**SCRIPTS, "clients.app2": SCRIPTS["clients.app2"].replace("$me, $T1", "$me")})
    assert [part.namespace for part in made.imports] == ["datacenter", "clients.app1", "clients.app2"]
    app = made.imports[1]
    assert app.vms["clients.app1.VM6"] == Declared("large", {"clone": True, "boot": 10.0, "disk": "fast"})
    assert [str(c) for c in app.constraints] == [
        "spread({clients.app1.VM1, clients.app1.VM2})",
        "spread({clients.app1.VM3, clients.app1.VM4})",
        "spread({clients.app1.VM5, clients.app1.VM6})",
        "among({clients.app1.VM5, clients.app1.VM6}, "
        "{{srv-1, srv-2, srv-3, srv-4}, {srv-5, srv-6, srv-7, srv-8}, {srv-9, srv-10, srv-frontend}})",
        "among({clients.app1.VM1, clients.app1.VM2}, "
        "{{srv-1, srv-2, srv-3, srv-4}, {srv-5, srv-6, srv-7, srv-8}, {srv-9, srv-10, srv-frontend}})",
    ]
    fence, everyone, ban, spread = made.constraints
    assert fence.vms == ("admin.sysadmin.entropy",)
    assert len(everyone.vms) == 12
    assert "srv-frontend" not in everyone.nodes
    assert ban.vms == tuple(f"clients.app1.VM{n}" for n in range(1, 7))
    assert spread.vms == ("clients.app1.VM1", "clients.app1.VM2", "admin.sysadmin.entropy")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import datacentre;", "no script of namespace datacentre is found; did you mean datacenter?"),
        (
            "namespace ops.x; import datacenter; ban($ALL_VMS, $servers);",
            "$servers of datacenter is not exported to ops.x",
        ),
        ("import clients.app1; spread($clients.app1);", "$me of clients.app1 is not exported to a script"),
        ("namespace admin.x; import clients.*; spread($T1);", "write $clients.app2.T1"),
        ("namespace admin.x; import datacenter; $datacenter.racks = 3;", "cannot be assigned"),
        ("if 1 { import datacenter; }", "imports are only at the top of a script"),
        ("$x = 1; namespace y;", "a namespace is given by the first statement of a script"),
        ("a : small; a : small; spread(a);", "a is declared twice"),
        ("namespace a; spread(clients.app1.VM1);", "no VM named clients.app1.VM1 in namespace a"),
    ],
)
def test_refusals(text: str, said: str) -> None:
    assert said in refused(text, SCRIPTS)


def test_problems_of_all_scripts_are_told_at_their_place() -> None:
    scripts = {"a": "namespace a; $x = {@h1} - ; $y = @h2;\nexport $x, $y to *;", "b": "spread(1);"}
    main = "namespace main;\nimport a; import b; vm : t;\nban(vm, $x + $yy); ban(vm, $y);"
    assert refused(main, scripts) == (
        "a.plasma:1:27 (namespace a): unexpected ';'; "
        "expected '(' or '@' or '{' or a \"text\" or a $variable or a name or a number\n"
        "    1 | namespace a; $x = {@h1} - ; $y = @h2;\n"
        "      |                           ^\n"
        "b.plasma:1:8 (namespace b): spread takes VMs here, not a number\n"
        "    1 | spread(1);\n"
        "      |        ^\n"
        "main.plasma:3:14 (namespace main): undefined variable $yy\n"
        "    3 | ban(vm, $x + $yy); ban(vm, $y);\n"
        "      |              ^^^"
    )


def test_circles_and_depth() -> None:
    scripts = {"a": "import b;", "b": "import c;", "c": "import a;"}
    assert "scripts import each other in a circle: a -> b -> c -> a" in refused("import a;", scripts)
    chain = {f"n{i}": f"import n{i + 1};" for i in range(100)}
    assert "imports deeper than 16" in refused("import n0;", chain)
    assert "should say so" in refused("import a;", {"a": "namespace b;"})


def test_templates() -> None:
    templates = {"small": Template(("clone", "boot")), "xen": Template((), nodes=True)}
    made = module("VM[1..2] : small<boot=0x10>; N1 : xen; ban($me, N1);", templates=templates, nodes=[])
    assert made.vms == {"VM1": Declared("small", {"boot": 16.0}), "VM2": Declared("small", {"boot": 16.0})}
    assert list(made.nodes) == ["N1"]
    for text, said in (
        ("a : smal;", "unknown template smal; did you mean small?"),
        ("a : small<bot=3>;", "this template has no option bot; did you mean boot?"),
        ("a : big;", "unknown template big; templates are small, xen"),
        ("ban($ALL_VMS, N2); a : small; ban(a, N2);", "no node named N2"),
    ):
        assert said in refused(text, templates=templates, nodes=["x"])


def test_known_vms_and_nodes() -> None:
    made = module("spread({vm1, vm2}); ban($ALL_VMS, $ALL_NODES);", vms=["vm1", "vm2"], nodes=["n1"])
    assert [str(c) for c in made.constraints] == ["spread({vm1, vm2})", "ban({vm1, vm2}, {n1})"]
    assert "no VM named vm3; did you mean vm" in refused("spread(vm3);", vms=["vm1", "vm2"])


def test_contradictions_are_those_of_all_scripts() -> None:
    seen: list[int] = []
    module("import datacenter;", SCRIPTS, contradictions=lambda rules: seen.append(len(rules)) or [])
    assert seen == [1]
    with pytest.raises(InputError, match="no way"):
        module("import datacenter;", SCRIPTS, contradictions=lambda _: ["no way"])


def test_scripts_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "clients").mkdir()
    (tmp_path / "clients" / "app1.btrp").write_text(APP)
    (tmp_path / "datacenter.plasma").write_text(DATACENTER)
    main = Source("namespace admin.me;\nimport clients.*;\nspread($clients);")
    made = compile_module(main, signatures=SIGNATURES, load=in_folder(tmp_path))
    assert [part.namespace for part in made.imports] == ["datacenter", "clients.app1"]
    assert made.imports[1].constraints[0].label == f"{tmp_path}/clients/app1.btrp:6"
    (tmp_path / "datacenter.plasma").write_bytes(b"\xff")
    with pytest.raises(InputError, match=r"datacenter.plasma: cannot read: not UTF-8 text"):
        compile_module(main, signatures=SIGNATURES, load=in_folder(tmp_path))
