# Makes the new mount, UTS and network namespaces it runs in a host, then holds them open.
# Arguments: the host's name, the folder of its own files, what it sees as /run, the images and registry it shares.
set -eu
name=$1 own=$2 run=$3 images=$4 registry=$5

echo "$name" >/proc/sys/kernel/hostname
for place in etc/hosts etc/libvirt etc/luc var/cache/libvirt var/lib/libvirt var/log/libvirt; do
    mount --bind "$own/$place" "/$place"
done
mount -o bind,ro "$images" "$own/var/lib/luc/images"
mount --bind "$registry" "$own/var/lib/luc/registry"
mount --rbind "$own/var/lib/luc" /var/lib/luc

# A fresh /sys shows this host's links, and no cgroups: libvirtd must leave guests in the cgroup it is in.
umount --recursive --lazy /sys
mount -t sysfs sysfs /sys
if [ -e /proc/sys/net/ipv6/conf/all/disable_ipv6 ]; then
    echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6
fi
ip link set lo up

# Last, for it hides the lab's own folders. It also hides the machine's D-Bus, so no machined takes the guests.
mount --bind "$run" /run
exec sleep infinity >/dev/null 2>&1
