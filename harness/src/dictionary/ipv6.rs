//! Words of the targets about IPv6: addresses, headers, messages and options.

use std::net::Ipv6Addr;

use vhost_fuzz_core::net::ipv6::{ALL_NODES, ALL_ROUTERS, solicited_node};

use super::Entry;
use crate::ipv6::dhcpv6;
use crate::ipv6::draft::link_option;
use crate::ipv6::ndp::{GATEWAY, GUEST, GUEST_SECOND, OTHER, SECOND};
use crate::ipv6::{GATEWAY_MAC, GUEST_MAC};

/// Addresses, Ethernet and IPv6.
pub(super) fn addresses() -> impl Iterator<Item = Entry> {
    let all = [
        ("gateway", GATEWAY),
        ("second", SECOND),
        ("guest", GUEST),
        ("guest_second", GUEST_SECOND),
        ("other", OTHER),
        ("nobody", Ipv6Addr::UNSPECIFIED),
        ("loopback", Ipv6Addr::LOCALHOST),
        ("all_nodes", ALL_NODES),
        ("all_routers", ALL_ROUTERS),
        ("group", solicited_node(GATEWAY)),
        ("guest_group", solicited_node(GUEST)),
    ];
    let macs = [("gateway", GATEWAY_MAC), ("guest", GUEST_MAC)];
    let macs = macs.map(|(name, mac)| (format!("mac_{name}"), mac.0.to_vec()));
    all.into_iter().map(|(name, it)| (format!("address_{name}"), it.octets().to_vec())).chain(macs)
}

/// Extension headers, and what can follow them.
pub(super) fn headers() -> impl Iterator<Item = Entry> {
    let extensions = [0_u8, 43, 44, 60].into_iter().flat_map(|next| {
        [0_u8, 1, 4]
            .map(|units| (format!("extension_{next}_{units}"), vec![next, units, 1, 4, 0, 0, 0, 0]))
    });
    let tags = [0x8100_u16, 0x88a8]
        .map(|it| (format!("tag_{it:x}"), [it, 5, 0x86dd].map(u16::to_be_bytes).concat()));
    let fixed = [0_u8, 17, 43, 44, 58, 59, 60]
        .map(|next| (format!("header_{next}"), vec![0x60, 0, 0, 0, 0, 32, next, 255]));
    extensions.chain(tags).chain(fixed)
}

/// Types of messages and options of neighbour discovery.
pub(super) fn discovery() -> impl Iterator<Item = Entry> {
    let kinds = (128..=137).map(|kind: u8| (format!("message_{kind}"), vec![kind, 0, 0, 0]));
    let options = [0_u8, 3, 5, 14, 25, 253].into_iter().flat_map(|option| {
        [0_u8, 1, 4].map(|units| {
            (format!("option_{option}_{units}"), vec![option, units, 0, 0, 0, 0, 0, 0])
        })
    });
    let links = [1, 2].into_iter().flat_map(|option| {
        [("guest", GUEST_MAC), ("gateway", GATEWAY_MAC)]
            .map(|(name, mac)| (format!("link_{option}_{name}"), link_option(option, mac)))
    });
    kinds.chain(options).chain(links)
}

/// Types of messages and options of `DHCPv6`.
pub(super) fn dhcp() -> impl Iterator<Item = Entry> {
    let kinds = (1..=13).map(|kind: u8| (format!("dhcp_{kind}"), vec![kind, 0x12, 0x34, 0x56]));
    let codes = [1, 2, 3, 4, 5, 6, 8, 9, 13, 14, 18, 23, 24, 25, 26, 39, 82, 0xffff];
    let codes = codes.into_iter().flat_map(|code: u16| {
        [0_u16, 2, 12, 24].map(|len| {
            (format!("dhcp_option_{code}_{len}"), [code, len].map(u16::to_be_bytes).concat())
        })
    });
    let whole = [
        ("client", dhcpv6::client()),
        ("server", dhcpv6::server()),
        ("address", dhcpv6::address(dhcpv6::LEASE)),
        ("association", dhcpv6::association(7, &[])),
        ("association_with_address", dhcpv6::association(7, &[dhcpv6::LEASE])),
    ];
    let whole = whole.map(|(name, bytes)| (format!("dhcp_whole_{name}"), bytes));
    kinds.chain(codes).chain(whole)
}
