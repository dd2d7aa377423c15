"""Every snippet of Plasma in the documentation compiles, and what it says of errors is what is said."""

from __future__ import annotations

from string import ascii_uppercase

import pytest

from house.documents import Block, blocks
from lucos.placement.constraints import SIGNATURES
from lucos.plasma import PlasmaErrors, Source, compile_module, compile_script, format_script

VMS = ("web1", "web2", "web3", "app1", "app2", "app3", "db1", "db2", *ascii_uppercase)


@pytest.mark.parametrize("block", blocks("plasma"), ids=lambda block: block.place)
def test_snippets(block: Block) -> None:
    assert compile_script(block.text, vms=VMS, ve="shop", signatures=SIGNATURES)
    assert format_script(Source(block.text)).split() == block.text.split()


def test_what_is_wrong() -> None:
    (script,), (said,) = blocks("plasma wrong"), blocks("text plasma-wrong")
    with pytest.raises(PlasmaErrors) as caught:
        compile_script(script.text, vms=VMS, ve="shop", signatures=SIGNATURES, file="shop.luc")
    assert f"{caught.value.message}\n" == said.text


def test_scripts_that_use_each_other() -> None:
    names = ("datacenter", "clients.shop", "admin.main")
    texts = {name: Source(blocks(f"plasma {name}")[0].text) for name in names}

    def load(pattern: str) -> dict[str, Source]:
        start = pattern.removesuffix("*")
        return {name: text for name, text in texts.items() if name.startswith(start)}

    made = compile_module(texts["admin.main"], signatures=SIGNATURES, load=load)
    assert [module.namespace for module in made.imports] == ["datacenter", "clients.shop"]
    ban, capacity = made.constraints
    assert ban.vms[0] == "clients.shop.VM1"
    assert len(capacity.nodes) == 250
