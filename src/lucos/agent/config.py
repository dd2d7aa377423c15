"""The agent's configuration: one TOML file, every field documented here, every error naming its field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from lucos.errors import InputError
from lucos.resources.monitor import MonitorSettings
from lucos.resources.strategies import SchedulerSettings

TRANSPORT_PORT = 7410
MEMBERSHIP_PORT = 7411


class Identity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[agent]: who this agent is and where it keeps things.

    `listen` is the address peers reach (gRPC on `transport_port`, datagrams on `membership_port`).
    `seeds` are `address:membership_port` of any members. `state_dir` survives restarts; images are in
    `state_dir/images/NAME/`. `log` empty means standard error.
    """

    node: str
    listen: str
    site: str = ""
    transport_port: int = TRANSPORT_PORT
    membership_port: int = MEMBERSHIP_PORT
    seeds: tuple[str, ...] = ()
    state_dir: str = "/var/lib/luc"
    socket: str = "/run/luc/agent.sock"
    log: str = ""


class Security(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[security]: PEM files of the LUC's authority and this host, and the membership keyring.

    The keyring holds base64 AES keys, one a line; the first seals, all open.
    """

    ca: str = "/etc/luc/ca.pem"
    certificate: str = "/etc/luc/host.pem"
    key: str = "/etc/luc/host.key"
    keyring: str = "/etc/luc/keyring"


class Host(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[host]: what VMs may use of this host; 0 means all of the machine's."""

    cpus: float = 0.0
    memory_mib: float = 0.0


class HypervisorConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[hypervisor]: libvirt's URI, and the address other hosts' libvirtd reach it at (default: `listen`).

    `accel` is auto (boot a guest once to find out), kvm or tcg. `bandwidth_mibps` caps each migration, 0 not.
    """

    uri: str = "qemu+unix:///system?socket=/run/libvirt/libvirt-sock"
    migration_address: str = ""
    accel: str = "auto"
    bandwidth_mibps: float = 0.0
    migration_timeout_s: float = 60.0


class RegistryConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[registry]: the SQLite file that the agents of one machine share."""

    path: str = "/var/lib/luc/registry.db"


class AgentConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    agent: Identity
    security: Security = Security()
    host: Host = Host()
    hypervisor: HypervisorConfig = HypervisorConfig()
    registry: RegistryConfig = RegistryConfig()
    monitor: MonitorSettings = MonitorSettings()
    scheduler: SchedulerSettings = SchedulerSettings()


def load_config(path: Path) -> AgentConfig:
    """Read and check a configuration file; raises `InputError` with the file and the field at fault."""
    try:
        config = msgspec.toml.decode(path.read_bytes(), type=AgentConfig)
    except FileNotFoundError:
        raise InputError("no such configuration file", file=str(path), hint="luc init writes one") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InputError(str(error), file=str(path)) from None
    except InputError as error:
        raise InputError(error.message, file=str(path), hint=error.hint) from None
    if config.hypervisor.accel not in ("auto", "kvm", "tcg"):
        raise InputError("hypervisor.accel must be auto, kvm or tcg", file=str(path))
    return config


def dump_config(config: AgentConfig) -> str:
    """The configuration as TOML text; `load_config` reads it back to an equal value."""
    lines: list[str] = []
    for section, fields in msgspec.to_builtins(config).items():
        if (
            section in ("monitor", "scheduler")
            and getattr(config, section) == type(getattr(config, section))()
        ):
            # They are long, and their defaults are documented.
            continue
        lines += _table(section, fields)
    return "\n".join(lines)


def _table(name: str, fields: dict[str, Any]) -> list[str]:
    """One table with those inside it."""
    plain = {key: value for key, value in fields.items() if not isinstance(value, dict)}
    lines = [
        f"[{name}]",
        *(f"{key} = {msgspec.json.encode(value).decode()}" for key, value in plain.items()),
        "",
    ]
    for key, value in fields.items():
        if isinstance(value, dict):
            lines += _table(f"{name}.{key}", value)
    return lines
