"""Commands that make a host part of a LUC: init, agent."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lucos.cli.options import examples

app = typer.Typer()

DIRECTORY = Path("/etc/luc")


@app.command(epilog=examples("luc agent --config /etc/luc/agent.toml"))
def agent(
    config: Annotated[Path, typer.Option(help="The configuration that luc init wrote.")] = DIRECTORY
    / "agent.toml",
) -> None:
    """Run this host's agent until it is told to stop (SIGTERM)."""
    from lucos.agent.config import load_config
    from lucos.agent.main import run

    run(load_config(config))


@app.command(
    epilog=examples(
        "luc init --node h1 --listen 192.0.2.1",
        "luc init --node h2 --listen 192.0.2.2 --seed 192.0.2.1:7411   # with h1's ca.* and keyring copied",
    )
)
def init(
    node: Annotated[str, typer.Option(help="This host's name in the LUC.")],
    listen: Annotated[str, typer.Option(help="The IP address peers reach this host at.")],
    site: Annotated[str, typer.Option(help="Where this host is.")] = "",
    seed: Annotated[
        list[str] | None, typer.Option(help="ADDRESS:PORT of a member to join; may be repeated.")
    ] = None,
    directory: Annotated[Path, typer.Option(help="Where keys and configuration go.")] = DIRECTORY,
) -> None:
    """Write this host's keys and configuration.

    The first host of a LUC gets a new authority and keyring. For each other host, copy ca.pem, ca.key and
    keyring from the first one into its directory and run this there.
    """
    from lucos.agent import config, security
    from lucos.errors import AlreadyExists, EnvironmentMissing

    target = directory / "agent.toml"
    if target.exists():
        raise AlreadyExists(f"{target} exists", hint="remove it to set this host up anew")
    try:
        if not (directory / "ca.key").exists():
            security.create_authority(directory)
        certificate, key = security.issue_certificate(directory, node, [listen])
        keyring = directory / "keyring"
        if not keyring.exists():
            security.create_keyring(keyring)
        text = config.dump_config(
            config.AgentConfig(
                agent=config.Identity(node=node, listen=listen, site=site, seeds=tuple(seed or ())),
                security=config.Security(
                    ca=str(directory / "ca.pem"),
                    certificate=str(certificate),
                    key=str(key),
                    keyring=str(keyring),
                ),
            )
        )
        target.write_text(text)
    except OSError as error:
        raise EnvironmentMissing(
            f"cannot write {error.filename}: {error.strerror}", hint="run as root, or choose --directory"
        ) from None
    print(f"wrote {target}; start the agent with: luc agent --config {target}")
