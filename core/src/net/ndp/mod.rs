//! Neighbour discovery (RFC 4861; spec §6.6): what a guest asks about the link, and what a
//! gateway answers.

mod config;
mod error;
mod reply;
mod responder;

use core::net::Ipv6Addr;

pub use config::{ADDRESSES_MAX, Config, ConfigError, DNS_MAX, GUEST_MAX, LIFETIME_MAX, MTU_MIN};
pub use config::{Prefix, Router};
pub use error::{NdpError, RespondError};
pub use responder::{MULTICAST_INTERVAL, Responder};

use super::Mac;
use super::icmpv6::{HEADER_LEN, Message, is_neighbor_discovery, kind};
use super::ipv6::{self, Packet};

/// The hop limit of every message: no router has passed it on.
pub const HOP_LIMIT: u8 = 255;

/// Types of options.
pub mod option {
    /// Link-layer address of the sender.
    pub const SOURCE_LINK: u8 = 1;
    /// Link-layer address of the target.
    pub const TARGET_LINK: u8 = 2;
    /// A prefix.
    pub const PREFIX: u8 = 3;
    /// The largest packet of the link.
    pub const MTU: u8 = 5;
    /// DNS servers (RFC 8106).
    pub const DNS: u8 = 25;
}

/// Bytes of an option with an Ethernet address; lengths count in units of 8 bytes.
const LINK_LEN: usize = 8;

/// A message about the link that is legal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discovery {
    /// Who is a router?
    RouterSolicitation,
    /// Who has this address?
    NeighborSolicitation {
        /// That address; no group.
        target: Ipv6Addr,
    },
    /// An advertisement or a redirect. Nobody here learns from it.
    Other,
}

impl Discovery {
    /// Reads a message of neighbour discovery; `None` when it is another one. What is judged
    /// first is in the order of DC-132. `sender` is the Ethernet source of the frame.
    ///
    /// # Errors
    /// The rule that it breaks. Nobody answers such a message.
    pub fn parse(
        packet: &Packet<'_>,
        message: &Message<'_>,
        sender: Mac,
    ) -> Result<Option<Self>, NdpError> {
        let Message { kind, code, body } = *message;
        if !is_neighbor_discovery(kind) {
            return Ok(None);
        }
        if packet.hop_limit != HOP_LIMIT {
            return Err(NdpError::HopLimit { hop_limit: packet.hop_limit }); // V6-001
        }
        if code != 0 {
            return Err(NdpError::Code { kind, code }); // V6-001
        }
        let short = NdpError::Short { kind, len: body.len().saturating_add(HEADER_LEN) };
        let (fixed, options) =
            body.split_at_checked(least_len(kind).saturating_sub(HEADER_LEN)).ok_or(short)?;
        let source_link = read_options(kind, options, sender)?;
        let target = || fixed.get(4..).and_then(<[u8]>::first_chunk).copied().ok_or(short);
        match kind {
            kind::ROUTER_SOLICITATION => {
                unspecified_has_no_link(packet, source_link)?;
                Ok(Some(Self::RouterSolicitation))
            }
            kind::ROUTER_ADVERTISEMENT if !packet.source.is_unicast_link_local() => {
                Err(NdpError::RouterSource { source: packet.source }) // V6-005
            }
            kind::NEIGHBOR_SOLICITATION => {
                let target = unicast(target()?.into())?;
                unspecified_has_no_link(packet, source_link)?;
                let destination = packet.destination;
                if packet.source.is_unspecified() && !ipv6::is_solicited_node(destination) {
                    return Err(NdpError::DadDestination { destination }); // V6-001
                }
                Ok(Some(Self::NeighborSolicitation { target }))
            }
            kind::NEIGHBOR_ADVERTISEMENT => {
                unicast(target()?.into())?;
                let is_solicited = fixed.first().is_some_and(|flags| flags & 0x40 != 0);
                if is_solicited && packet.destination.is_multicast() {
                    return Err(NdpError::SolicitedGroup); // V6-001
                }
                Ok(Some(Self::Other))
            }
            _ => Ok(Some(Self::Other)),
        }
    }
}

/// Least bytes of a message, its header included.
const fn least_len(kind: u8) -> usize {
    match kind {
        kind::ROUTER_SOLICITATION => 8,
        kind::ROUTER_ADVERTISEMENT => 16,
        kind::NEIGHBOR_SOLICITATION | kind::NEIGHBOR_ADVERTISEMENT => 24,
        _ => 40,
    }
}

fn unicast(target: Ipv6Addr) -> Result<Ipv6Addr, NdpError> {
    if target.is_multicast() {
        return Err(NdpError::GroupTarget { target }); // V6-001
    }
    Ok(target)
}

/// Who has no address yet has no link-layer address to tell either.
fn unspecified_has_no_link(packet: &Packet<'_>, has_link: bool) -> Result<(), NdpError> {
    if packet.source.is_unspecified() && has_link {
        return Err(NdpError::UnspecifiedLink); // V6-001
    }
    Ok(())
}

/// Judges the options of a message one after another; says whether one tells the link-layer
/// address of the sender.
fn read_options(kind: u8, mut options: &[u8], sender: Mac) -> Result<bool, NdpError> {
    let mut has_link = false;
    // Each option has 8 bytes or more, so a packet bounds this loop.
    while let Some((&option, rest)) = options.split_first() {
        let units = *rest.first().ok_or(NdpError::OptionCut { option })?; // V6-009
        if units == 0 {
            return Err(NdpError::EmptyOption { option }); // V6-001
        }
        let (whole, behind) = options
            .split_at_checked(usize::from(units).saturating_mul(8))
            .ok_or(NdpError::OptionCut { option })?; // V6-009
        let asks = matches!(kind, kind::ROUTER_SOLICITATION | kind::NEIGHBOR_SOLICITATION);
        if option == option::SOURCE_LINK && asks {
            let &[_, _, ref mac @ ..] =
                <&[u8; LINK_LEN]>::try_from(whole).map_err(|_| NdpError::LinkLen { units })?; // DC-133
            if Mac(*mac) != sender {
                return Err(NdpError::LinkAddress { address: Mac(*mac) }); // DC-133
            }
            has_link = true;
        }
        options = behind;
    }
    Ok(has_link)
}

#[cfg(test)]
mod tests;
