#!/bin/sh
# dhclient, as Debian configures it: a lease over IPv4, its renewal and its release; then the same
# over IPv6.
needs dhclient isc-dhcp-client

cat >hook <<'END'
#!/bin/sh
echo "$reason" >>events
case $reason in
BOUND)
  ip address add "$new_ip_address/$new_subnet_mask" dev "$interface"
  ip route add "$new_routers" dev "$interface"
  ip route add default via "$new_routers"
  ;;
BOUND6)
  ip address add "$new_ip6_address/128" dev "$interface"
  ;;
RELEASE | EXPIRE)
  ip -4 address flush dev "$interface"
  ;;
RELEASE6 | EXPIRE6)
  ip address delete "$old_ip6_address/128" dev "$interface"
  ;;
esac
END
chmod +x hook

# Without its file of leases it is as new.
client() {
  touch "leases$1"
  dhclient "$@" -lf "leases$1" -pf "pid$1" -sf ./hook -D LL "$PORT"
}

up
client -4 -d &
within 15 has_address "$LEASE4"
reach4
within 25 grep -q '^RENEW$' events
client -4 -r
within 10 has_address 2001:db8::ff:fe00:9
client -6 -d &
within 15 has_address "$LEASE6"
reach6
within 25 grep -q '^RENEW6$' events
client -6 -r
sleep 1
