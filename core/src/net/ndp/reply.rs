//! Writes the replies of a gateway. Every byte of them is written (L2-006).

use core::net::Ipv6Addr;

use super::config::{Config, Prefix, Router};
use super::{HOP_LIMIT, LINK_LEN, RespondError, option};
use crate::net::Mac;
use crate::net::ethernet::{self, Tag, ether_type};
use crate::net::icmpv6::{self, kind};
use crate::net::ipv6::{self, Pen, protocol};

/// Hops of an echo reply.
const ECHO_HOPS: u8 = 64;

/// Bytes of the options of an advertisement, as far as it has them.
const MTU_LEN: usize = 8;
const PREFIX_LEN: usize = 32;
const DNS_LEN: usize = 8;

/// Where a reply comes from and goes to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) mac: Mac,
    pub(super) tag: Option<Tag>,
    pub(super) source: Ipv6Addr,
    pub(super) destination: Ipv6Addr,
}

/// Flags of an advertisement about a neighbour.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flags {
    pub(super) is_router: bool,
    pub(super) is_solicited: bool,
    pub(super) overrides: bool,
}

impl Flags {
    fn byte(self) -> u8 {
        let Self { is_router, is_solicited, overrides } = self;
        u8::from(is_router) << 7 | u8::from(is_solicited) << 6 | u8::from(overrides) << 5
    }
}

/// The gateway, about to say something.
#[derive(Debug)]
pub(super) struct Reply<'a> {
    pub(super) config: &'a Config,
    pub(super) way: Way,
    pub(super) out: &'a mut [u8],
}

impl Reply<'_> {
    /// An echo with this body.
    pub(super) fn echo(self, body: &[u8]) -> Result<usize, RespondError> {
        let len = icmpv6::HEADER_LEN.saturating_add(body.len());
        self.message(ECHO_HOPS, len, |pen, _| {
            pen.put(&[kind::ECHO_REPLY, 0, 0, 0])?;
            pen.put(body)
        })
    }

    /// Who owns `target`.
    pub(super) fn neighbor(self, target: Ipv6Addr, flags: Flags) -> Result<usize, RespondError> {
        self.message(HOP_LIMIT, 24 + LINK_LEN, |pen, config| {
            pen.put(&[kind::NEIGHBOR_ADVERTISEMENT, 0, 0, 0, flags.byte(), 0, 0, 0])?;
            pen.address(target)?;
            link(pen, option::TARGET_LINK, config.mac) // V6-004
        })
    }

    /// What the router says of itself.
    pub(super) fn router(self, router: &Router) -> Result<usize, RespondError> {
        let mtu = router.mtu.map_or(0, |_| MTU_LEN);
        let prefix = router.prefix.map_or(0, |_| PREFIX_LEN);
        let len = 16 + LINK_LEN + mtu + prefix + dns_len(router);
        self.message(HOP_LIMIT, len, |pen, config| {
            let flags = u8::from(router.managed) << 7 | u8::from(router.other) << 6;
            pen.put(&[kind::ROUTER_ADVERTISEMENT, 0, 0, 0, router.hop_limit, flags])?;
            pen.put(&router.lifetime.to_be_bytes())?; // V6-005
            pen.put(&[0; 8])?;
            link(pen, option::SOURCE_LINK, config.mac)?;
            if let Some(mtu) = router.mtu {
                pen.put(&[option::MTU, 1, 0, 0])?;
                pen.put(&mtu.to_be_bytes())?;
            }
            if let Some(prefix) = router.prefix {
                prefix_option(pen, prefix)?;
            }
            dns(pen, router)
        })
    }

    /// Frame, packet and checksum around a message of `len` bytes.
    fn message(
        self,
        hop_limit: u8,
        len: usize,
        write: impl FnOnce(&mut Pen<'_>, &Config) -> Option<()>,
    ) -> Result<usize, RespondError> {
        let Self { config, way, out } = self;
        let Way { mac, tag, source, destination } = way;
        let needed = ethernet::header_len(tag).saturating_add(ipv6::HEADER_LEN).saturating_add(len);
        let room = RespondError::Room { needed };
        let out = out.get_mut(..needed).ok_or(room)?; // L2-006
        let fill = || {
            let rest = ethernet::write_header(out, mac, config.mac, tag, ether_type::IPV6)?;
            let message =
                ipv6::write_header(rest, source, destination, protocol::ICMPV6, hop_limit, len)?;
            let mut pen = Pen::new(message);
            write(&mut pen, config)?;
            debug_assert!(pen.rest().is_empty(), "every byte is written");
            icmpv6::finish(message, source, destination);
            Some(needed)
        };
        fill().ok_or(room)
    }
}

fn link(pen: &mut Pen<'_>, option: u8, mac: Mac) -> Option<()> {
    pen.put(&[option, 1])?;
    pen.put(&mac.0)
}

fn prefix_option(pen: &mut Pen<'_>, prefix: Prefix) -> Option<()> {
    let flags = u8::from(prefix.on_link) << 7 | u8::from(prefix.autonomous) << 6;
    pen.put(&[option::PREFIX, 4, prefix.len, flags])?;
    pen.put(&prefix.valid.to_be_bytes())?;
    pen.put(&prefix.preferred.to_be_bytes())?;
    pen.put(&[0; 4])?;
    pen.address(prefix.address)
}

/// Bytes of the option of DNS servers; 0 without any.
fn dns_len(router: &Router) -> usize {
    match router.dns.len() {
        0 => 0,
        servers => servers.saturating_mul(16).saturating_add(DNS_LEN),
    }
}

fn dns(pen: &mut Pen<'_>, router: &Router) -> Option<()> {
    let units = dns_len(router) / 8;
    if units == 0 {
        return Some(());
    }
    pen.put(&[option::DNS, u8::try_from(units).ok()?, 0, 0])?;
    pen.put(&router.dns_lifetime.to_be_bytes())?;
    router.dns.iter().try_for_each(|server| pen.address(*server))
}
