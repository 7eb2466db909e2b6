#!/bin/sh
# Tools that ask one thing each: who has an address, whether it is taken, which routers there are.
needs arping iputils-arping
needs ndisc6 ndisc6
needs rdisc6 ndisc6

up
ip address add "$LEASE4/32" dev "$PORT"
ip route add "$ROUTER4" dev "$PORT"
reach4
# The address is free, and it is told to the others.
arping -q -D -c 1 -w 2 -I "$PORT" "$LEASE4"
arping -q -U -c 1 -w 2 -I "$PORT" "$LEASE4" || true
arping -q -A -c 1 -w 2 -I "$PORT" "$LEASE4" || true
# The address of the gateway is taken.
if arping -q -D -c 1 -w 2 -I "$PORT" "$ROUTER4"; then exit 1; fi
# One byte, an odd number of them, and as much as a packet takes.
for size in 1 57 1472; do ping -q -c 1 -w 5 -s "$size" "$ROUTER4"; done
within 10 has_address 2001:db8::ff:fe00:9
reach6
for size in 1 57 1452; do ping -q -c 1 -w 5 -s "$size" "$ROUTER6%$PORT"; done
ping -q -c 1 -w 5 2001:db8::1
ndisc6 -q -1 "$ROUTER6" "$PORT"
ndisc6 -q -1 2001:db8::1 "$PORT"
rdisc6 -q -1 "$PORT"
# Nobody has these, and nobody says so.
if ndisc6 -q -1 -r 1 -w 300 fe80::2 "$PORT"; then exit 1; fi
if ndisc6 -q -1 -r 1 -w 300 "$LEASE6" "$PORT"; then exit 1; fi
