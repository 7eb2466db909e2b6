#!/bin/sh
# dibbler-client: a lease over IPv6, its renewal and its release.
needs dibbler-client dibbler-client

mount -t tmpfs tmpfs /etc/dibbler
mount -t tmpfs tmpfs /var/lib/dibbler
mkdir -p /var/log/dibbler
mount -t tmpfs tmpfs /var/log/dibbler
cat >/etc/dibbler/client.conf <<END
duid-type duid-ll
log-level 4
skip-confirm
iface $PORT {
  ia
  option dns-server
}
END

up
within 10 has_address fe80::ff:fe00:9
dibbler-client run &
within 20 has_address "$LEASE6"
reach6
sleep 20
kill $!
sleep 2
