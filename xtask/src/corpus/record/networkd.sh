#!/bin/sh
# systemd-networkd: a router over IPv6, leases over both, their renewal and their release. Without
# a running udev it takes interfaces as they are.
networkd=/lib/systemd/systemd-networkd
needs "$networkd" systemd

echo 00000000000000000000000000000009 >machine-id
mount --bind machine-id /etc/machine-id
mkdir -p /run/systemd/network /run/systemd/netif/links /run/systemd/netif/leases \
  /run/systemd/netif/lldp
cat >/run/systemd/network/10-port.network <<END
[Match]
Name=$PORT

[Network]
DHCP=yes
IPv6AcceptRA=yes
LinkLocalAddressing=ipv6

[DHCPv4]
ClientIdentifier=mac
SendRelease=yes

[DHCPv6]
DUIDType=link-layer
IAID=9

[IPv6AcceptRA]
DHCPv6Client=always
END

up
"$networkd" &
within 20 has_address "$LEASE4"
reach4
within 20 has_address "$LEASE6"
reach6
sleep 20
kill $!
wait $! || true
sleep 1
