"""Images VMs boot from: their descriptor, and the mini guest built from Debian's kernel and busybox."""

from lucos.images.image import Image, list_images, load_image
from lucos.images.mini import build_mini

__all__ = ["Image", "build_mini", "list_images", "load_image"]
