//! Words for frames.

use super::Entry;
use crate::gateway::{GATEWAY_MAC, GATEWAYS, GUEST_MAC, LEASES};

const ADDRESSES: [(&str, [u8; 4]); 12] = [
    ("gateway", GATEWAYS[0]),
    ("second_gateway", GATEWAYS[1]),
    ("lease", LEASES[0]),
    ("second_lease", LEASES[1]),
    ("nobody", [0; 4]),
    ("broadcast", [255; 4]),
    ("loopback", [127, 0, 0, 1]),
    ("group", [224, 0, 0, 1]),
    ("last_group", [239, 255, 255, 255]),
    ("class_e", [240, 0, 0, 1]),
    ("link_local", [169, 254, 77, 7]),
    ("stranger", [198, 51, 100, 7]),
];

/// Words of the target `arp`.
pub(super) fn gateway() -> impl Iterator<Item = Entry> {
    let word = |name: &str, bytes: &[u8]| (name.to_owned(), bytes.to_vec());
    let addresses =
        ADDRESSES.into_iter().map(|(name, address)| (format!("address_{name}"), address.to_vec()));
    // op, sha, spa, tha and tpa of a packet of the guest.
    let asked = ADDRESSES.into_iter().flat_map(|(from, spa)| {
        ADDRESSES.into_iter().take(6).map(move |(to, tpa)| {
            let packet = [&[0, 1][..], &GUEST_MAC, &spa, &[0; 6], &tpa].concat();
            (format!("request_{from}_{to}"), packet)
        })
    });
    let header = |destination: [u8; 6], last: &[u8]| [&destination[..], &GUEST_MAC, last].concat();
    let form = [8, 6, 0, 1, 8, 0, 6, 4];
    addresses.chain(asked).chain([
        word("mac_gateway", &GATEWAY_MAC),
        word("mac_guest", &GUEST_MAC),
        word("mac_broadcast", &[0xff; 6]),
        word("mac_group", &[1, 0, 0x5e, 0, 0, 1]),
        word("arp_broadcast", &header([0xff; 6], &form)),
        word("arp_unicast", &header(GATEWAY_MAC, &form)),
        word("ipv4_unicast", &header(GATEWAY_MAC, &[8, 0, 0x45, 0])),
        word("type_arp", &[8, 6]),
        word("type_ipv4", &[8, 0]),
        word("tag", &[0x81, 0, 0x20, 5]),
        word("service_tag", &[0x88, 0xa8, 0, 9]),
        word("op_reply", &[0, 2]),
        word("op_reverse", &[0, 3]),
        word("icmp", &[0x40, 1]),
        word("udp", &[0x40, 17]),
        word("echo_request", &[8, 0]),
        word("port_echo", &[0, 7]),
        word("port_dhcp", &[0, 68, 0, 67]),
        word("more_fragments", &[0x20, 0]),
        word("dont_fragment", &[0x40, 0]),
        word("late_record", &[42, 0x40]),
        word("partial_record", &[42, 0x80]),
    ])
}
