#!/bin/sh
# dhcp6c: a lease over IPv6, its renewal and its release. It would make up an identity.
needs dhcp6c wide-dhcpv6-client

mount -t tmpfs tmpfs /var/lib
mkdir /var/lib/dhcpv6
printf '\012\000\000\003\000\001\002\000\000\000\000\011' >/var/lib/dhcpv6/dhcp6c_duid
cat >conf <<END
interface $PORT {
  send ia-na 9;
  request domain-name-servers;
  script "/run/client/hook";
};
id-assoc na 9 { };
END
cat >hook <<'END'
#!/bin/sh
echo "$REASON" >>events
END
chmod +x hook

up
within 10 has_address fe80::ff:fe00:9
dhcp6c -f -D -c conf -p pid "$PORT" &
within 20 has_address "$LEASE6"
reach6
sleep 20
kill $!
sleep 2
