#!/bin/sh
# dhcpcd: a router over IPv6, leases over both, their renewal and their release. It would tell the
# versions of kernel and processor, and make up an identity.
needs dhcpcd dhcpcd-base

mount -t tmpfs tmpfs /var/lib/dhcpcd 2>/dev/null || mkdir -p /var/lib/dhcpcd
cat >conf <<'END'
duid ll
hostname
vendorclassid dhcpcd-9.4.1:Linux
vendclass 40712 "dhcpcd-9.4.1:Linux"
slaac hwaddr
option classless_static_routes
option interface_mtu
option rapid_commit
nohook resolv.conf
ia_na
END

up
dhcpcd -d -B -f /run/client/conf -c /bin/true "$PORT" &
within 20 has_address "$LEASE4"
reach4
within 20 has_address "$LEASE6"
reach6
sleep 20
dhcpcd -f /run/client/conf -k "$PORT"
sleep 1
