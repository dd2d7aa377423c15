"""The agent's configuration: what is written is read back, each mistake is told with its file and field."""

from __future__ import annotations

from pathlib import Path

import pytest

from lucos.agent.config import (
    AgentConfig,
    Host,
    HypervisorConfig,
    Identity,
    dump_config,
    load_config,
)
from lucos.errors import InputError

CONFIG = AgentConfig(
    agent=Identity(node="h1", listen="10.77.1.1", site="s 1", seeds=("10.77.1.2:7411", "10.77.2.3:7411")),
    host=Host(cpus=0.5, memory_mib=1024),
    hypervisor=HypervisorConfig(accel="tcg", bandwidth_mibps=32.5),
)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(dump_config(CONFIG))
    assert load_config(path) == CONFIG


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "missing required field `agent`"),
        ("[agent]\nnode = 'h1'\n", "missing required field `listen`"),
        ("[agent]\nnode = 'h1'\nlisten = 7\n", "$.agent.listen"),
        ("[agent]\nnode = 'h1'\nlisten = 'x'\nlissen = 'y'\n", "unknown field `lissen`"),
        ("[agent]\nnode = 'h1'\nlisten = 'x'\n[hypervisor]\naccel = 'xen'\n", "auto, kvm or tcg"),
        ("[agent\n", "line 1"),
    ],
)
def test_mistakes_are_told_with_their_place(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_config(path)
    assert str(path) in caught.value.message
    assert told in caught.value.message


def test_an_absent_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such configuration file"):
        load_config(tmp_path / "agent.toml")
