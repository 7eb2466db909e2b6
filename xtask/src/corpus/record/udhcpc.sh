#!/bin/sh
# udhcpc: a lease, with a look whether the address is free; its renewal; its release. The kernel
# finds the router over IPv6.
needs udhcpc udhcpc

cat >hook <<'END'
#!/bin/sh
echo "$1" >>events
case $1 in
bound)
  ip address add "$ip/$mask" dev "$interface"
  ip route add "$router" dev "$interface"
  ip route add default via "$router"
  ;;
deconfig)
  ip -4 address flush dev "$interface"
  ;;
esac
END
chmod +x hook

up
udhcpc -f -i "$PORT" -s ./hook -a -O staticroutes -O mtu -x hostname:"$(hostname)" &
within 15 has_address "$LEASE4"
reach4
within 10 has_address 2001:db8::ff:fe00:9
reach6
within 25 grep -q renew events
kill -USR2 $!
within 5 grep -q -c deconfig events
sleep 1
kill $!
