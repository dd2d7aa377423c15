"""A VM as libvirt's domain XML, with its VmSpec in the metadata: the hypervisor's record is the truth."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

from lucos.errors import InputError
from lucos.images import Image
from lucos.model import VmSpec, from_json, to_json

METADATA_URI = "urn:lucos:vm:1"
METADATA_KEY = "lucos"
GUEST_PORT = "org.lucos.guest.0"
# Translated code of one guest. QEMU's default under emulation is a gigabyte for each.
_TB_CACHE_MIB = 32

# How often guests report their memory.
BALLOON_PERIOD_S = 10

_DOMAIN = """\
<domain type={type}>
  <name>{name}</name>
  <metadata>{metadata}</metadata>
  <memory unit='MiB'>{memory_mib}</memory>
  <vcpu>{cpu}</vcpu>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
    <kernel>{kernel}</kernel>
    <initrd>{initrd}</initrd>
    <cmdline>{cmdline}</cmdline>
  </os>
  <features><acpi/>{features}</features>
  <clock offset='utc'><timer name='hpet' present='no'/></clock>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <controller type='usb' model='none'/>
    <controller type='virtio-serial' index='0'/>
    <serial type='pty'><log file={console_log} append='on'/></serial>
    <channel type='unix'><source mode='bind'/><target type='virtio' name='{port}'/></channel>
    <memballoon model='virtio'><stats period='{balloon_s}'/></memballoon>
  </devices>
</domain>
"""


def domain_xml(spec: VmSpec, image: Image, accel: str, console_log: Path) -> str:
    """The domain that boots `spec` from `image`; `accel` is kvm or tcg."""
    tcg = accel != "kvm"
    return _DOMAIN.format(
        type=quoteattr("qemu" if tcg else "kvm"),
        name=escape(spec.id),
        metadata=metadata_xml(spec).replace("<vm>", f"<vm xmlns='{METADATA_URI}'>"),
        memory_mib=spec.memory_mib,
        cpu=spec.cpu,
        kernel=escape(str(image.kernel)),
        initrd=escape(str(image.initrd)),
        cmdline=escape(f"{image.cmdline} luc.name={spec.id} luc.workload={spec.workload}"),
        features=f"<tcg><tb-cache unit='MiB'>{_TB_CACHE_MIB}</tb-cache></tcg>" if tcg else "",
        console_log=quoteattr(str(console_log)),
        port=GUEST_PORT,
        balloon_s=BALLOON_PERIOD_S,
    )


def metadata_xml(spec: VmSpec) -> str:
    """The element that carries the spec in the domain's metadata; libvirt itself adds the namespace."""
    return f"<vm>{escape(to_json(spec).decode())}</vm>"


def spec_of_metadata(element: str) -> VmSpec:
    """The spec of a metadata element as libvirt returns it; raises `InputError` when it is not ours."""
    return from_json((ElementTree.fromstring(element).text or "").encode(), VmSpec)


def spec_of_domain(xml: str) -> VmSpec | None:
    """The spec of a whole domain description; None for a domain that is not one of ours."""
    element = ElementTree.fromstring(xml).find(f"metadata/{{{METADATA_URI}}}vm")
    return None if element is None else from_json((element.text or "").encode(), VmSpec)


def guest_socket(xml: str) -> str:
    """Path of the running domain's guest port, as libvirtd sees it."""
    for channel in ElementTree.fromstring(xml).iterfind("devices/channel"):
        target, source = channel.find("target"), channel.find("source")
        if target is not None and target.get("name") == GUEST_PORT and source is not None:
            return source.get("path", "")
    raise InputError(f"the domain has no port {GUEST_PORT}")


def serial_pty(xml: str) -> str:
    """Path of the running domain's serial line."""
    source = ElementTree.fromstring(xml).find("devices/serial[@type='pty']/source")
    if source is None or not source.get("path"):
        raise InputError("the domain has no serial line")
    return source.get("path", "")
