#!/bin/sh
# What the script of every client begins with. It is the first process of its own namespaces; what
# it mounts is seen by nobody else. $PORT is the interface, and $0 the name of the client.
set -eu
PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH

mount -t proc proc /proc
mount -t sysfs -o ro sysfs /sys
mount -t tmpfs tmpfs /run
mkdir /run/client
cd /run/client

ROUTER4=169.254.0.1
ROUTER6=fe80::1
# shellcheck disable=SC2034 # the scripts of the clients use them
LEASE4=192.0.2.10
# shellcheck disable=SC2034
LEASE6=2001:db8::9

# needs PROGRAM PACKAGE
needs() {
  command -v "$1" >/dev/null || {
    echo "$0: there is no $1; it is in the package $2" >&2
    exit 127
  }
}

# within SECONDS COMMAND...: tries a command until it succeeds, or for so long.
within() {
  tries=$(($1 * 5))
  shift
  until "$@" >/dev/null 2>&1; do
    tries=$((tries - 1))
    if [ "$tries" -le 0 ]; then
      echo "$0: in vain: $*" >&2
      exit 1
    fi
    sleep 0.2
  done
}

has_address() {
  ip address show dev "$PORT" -tentative 2>/dev/null | grep -q -F " $1/"
}

# The station of the client is the same in every recording, and so is its link-local address.
up() {
  ip link set lo up
  ip link set "$PORT" address 02:00:00:00:00:09
  ip link set "$PORT" up
}

# The gateway is asked for its station, and for echoes.
reach4() {
  needs arping iputils-arping
  needs ping iputils-ping
  arping -q -c 1 -w 5 -I "$PORT" "$ROUTER4"
  ping -q -c 2 -i 0.3 -w 5 "$ROUTER4"
}

reach6() {
  needs ping iputils-ping
  ping -q -c 2 -i 0.3 -w 5 "$ROUTER6%$PORT"
}
