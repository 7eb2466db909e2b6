#!/bin/sh
# iPXE in a virtual machine without a disk: it gets a lease, finds no file to boot, and gives up.
needs qemu-system-x86_64 qemu-system-x86
roms=/usr/lib/ipxe/qemu
[ -d "$roms" ] || needs "$roms" ipxe-qemu

ip link add bridge0 type bridge mcast_snooping 0
ip tuntap add mode tap machine0
for link in bridge0 "$PORT" machine0; do
  # Only the machine speaks.
  echo 1 >"/proc/sys/net/ipv6/conf/$link/disable_ipv6"
  if [ "$link" != bridge0 ]; then ip link set "$link" master bridge0; fi
  ip link set "$link" up
done

# With a serial line for a screen, it can be seen how far it is.
qemu-system-x86_64 -accel tcg -m 256 -nodefaults -display none -no-reboot \
  -L /usr/share/seabios -L "$roms" -machine graphics=off -serial file:screen \
  -uuid 00000000-0000-0000-0000-000000000009 \
  -netdev tap,id=n0,ifname=machine0,script=no,downscript=no \
  -device virtio-net-pci,netdev=n0,mac=02:00:00:00:00:09,bootindex=1 &
within 60 grep -a -q 'No more network devices' screen
kill $!
