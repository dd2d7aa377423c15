"""The agent's configuration: what is written is read back, each mistake is told with its file and field."""

from __future__ import annotations

from pathlib import Path

import msgspec
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
from lucos.resources.dvms import DvmsSettings
from lucos.resources.monitor import MonitorSettings
from lucos.resources.prediction import PredictionSettings
from lucos.resources.repair import RepairPolicy
from lucos.resources.strategies import STRATEGIES, SchedulerSettings

CONFIG = AgentConfig(
    agent=Identity(node="h1", listen="10.77.1.1", site="s 1", seeds=("10.77.1.2:7411", "10.77.2.3:7411")),
    host=Host(cpus=0.5, memory_mib=1024),
    hypervisor=HypervisorConfig(accel="tcg", bandwidth_mibps=32.5),
)
OTHER = msgspec.structs.replace(
    CONFIG,
    monitor=MonitorSettings(underload=0.2, prediction=PredictionSettings(kind="average", span_s=60.0)),
    scheduler=SchedulerSettings("dvms", dvms=DvmsSettings(variant="locality", repair=RepairPolicy(0.9))),
)


@pytest.mark.parametrize("config", [CONFIG, OTHER], ids=["plain", "nested"])
def test_what_is_written_is_read_back(tmp_path: Path, config: AgentConfig) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(dump_config(config))
    assert load_config(path) == config


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_one_line_chooses_the_scheduler(tmp_path: Path, strategy: str) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(f"{dump_config(CONFIG)}\n[scheduler]\nstrategy = '{strategy}'\n")
    assert load_config(path).scheduler.strategy == strategy


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "missing required field `agent`"),
        ("[agent]\nnode = 'h1'\n", "missing required field `listen`"),
        ("[agent]\nnode = 'h1'\nlisten = 7\n", "$.agent.listen"),
        ("[agent]\nnode = 'h1'\nlisten = 'x'\nlissen = 'y'\n", "unknown field `lissen`"),
        ("[agent]\nnode = 'h1'\nlisten = 'x'\n[hypervisor]\naccel = 'xen'\n", "auto, kvm or tcg"),
        ("[agent]\nnode = 'h1'\nlisten = 'x'\n[scheduler]\nstrategy = 'drs'\n", "'drs' is unknown"),
        ("[agent]\nnode = 'h1'\nlisten = 'x'\n[scheduler.dvms]\nvariant = 'star'\n", "'star' is unknown"),
        ("[agent]\nnode = 'h1'\nlisten = 'x'\n[monitor]\nunderlod = 1\n", "unknown field `underlod`"),
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
