//! Answers what a guest asks about the link, and echoes.

use core::net::Ipv6Addr;

use super::config::{Config, ConfigError};
use super::reply::{Flags, Reply, Way};
use super::{Discovery, RespondError};
use crate::net::checksum::Transport;
use crate::net::ethernet::Frame;
use crate::net::icmpv6::Message;
use crate::net::ipv6::{self, ALL_NODES, ALL_ROUTERS, Packet, protocol};

/// Milliseconds between two advertisements to all nodes (RFC 4861 §10, DC-135).
pub const MULTICAST_INTERVAL: u64 = 3000;

/// A gateway that answers for its addresses.
///
/// It learns nothing: what it answers depends on the message and its configuration only, and the
/// replies go back to the station that asked.
#[derive(Clone, Debug)]
pub struct Responder {
    config: Config,
    /// When it last advertised itself to all nodes, in milliseconds.
    advertised: Option<u64>,
}

impl Responder {
    /// A gateway that was silent so far.
    ///
    /// # Errors
    /// There can be no such gateway.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self { config, advertised: None })
    }

    /// What it is.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Answers a packet that came in `frame`, at the time `now`, in milliseconds of any clock
    /// that does not go back. Writes the reply, a whole frame, to the front of `out`, and gives
    /// its bytes; `None` when there is nothing to say.
    ///
    /// # Errors
    /// The rule that the packet breaks, or the reply does not fit.
    pub fn answer(
        &mut self,
        frame: &Frame<'_>,
        packet: &Packet<'_>,
        transport: Transport,
        now: u64,
        out: &mut [u8],
    ) -> Result<Option<usize>, RespondError> {
        let is_ours = frame.destination.is_group() || frame.destination == self.config.mac;
        if !is_ours || packet.protocol != protocol::ICMPV6 {
            return Ok(None); // DC-133
        }
        let message = Message::parse(packet, transport)?;
        match Discovery::parse(packet, &message, frame.source)? {
            Some(Discovery::NeighborSolicitation { target }) => {
                self.neighbor(frame, packet, target, out)
            }
            Some(Discovery::RouterSolicitation) => self.router(frame, packet, now, out),
            Some(Discovery::Other) => Ok(None),
            None => match message.echo_request()? {
                Some(body) => self.echo(frame, packet, body, out),
                None => Ok(None),
            },
        }
    }

    fn neighbor(
        &self,
        frame: &Frame<'_>,
        packet: &Packet<'_>,
        target: Ipv6Addr,
        out: &mut [u8],
    ) -> Result<Option<usize>, RespondError> {
        let Config { addresses, guest, proxy, router, .. } = &self.config;
        let is_own = addresses.contains(&target);
        let is_probe = packet.source.is_unspecified();
        // V6-002: nobody else answers for an address of the guest; and who looks for duplicates
        // is told about the gateway's own addresses only (DC-134).
        let is_proxied = *proxy && !is_probe && !guest.contains(&target) && is_one(target);
        if !is_own && !is_proxied {
            return Ok(None);
        }
        let destination = packet.destination;
        let reaches = destination == target
            || destination == ipv6::solicited_node(target)
            || destination == ALL_NODES
            || addresses.contains(&destination);
        if !reaches {
            return Ok(None);
        }
        let is_solicited = !is_probe;
        let overrides = is_own;
        let is_router = router.as_ref().is_some_and(|router| router.lifetime > 0);
        let source = if is_own { Some(target) } else { addresses.first().copied() };
        let Some(source) = source else { return Ok(None) };
        // V6-003, V6-004
        let destination = if is_probe { ALL_NODES } else { packet.source };
        self.reply(frame, source, destination, out)
            .neighbor(target, Flags { is_router, is_solicited, overrides })
            .map(Some)
    }

    fn router(
        &mut self,
        frame: &Frame<'_>,
        packet: &Packet<'_>,
        now: u64,
        out: &mut [u8],
    ) -> Result<Option<usize>, RespondError> {
        let (Some(router), Some(source)) = (&self.config.router, self.config.addresses.first())
        else {
            return Ok(None);
        };
        let asked = packet.destination;
        if asked != ALL_ROUTERS && asked != ALL_NODES && !self.config.owns(asked) {
            return Ok(None);
        }
        let to_all = packet.source.is_unspecified();
        let too_soon = |at: u64| now.saturating_sub(at) < MULTICAST_INTERVAL;
        if to_all && self.advertised.is_some_and(too_soon) {
            return Ok(None); // DC-135
        }
        let destination = if to_all { ALL_NODES } else { packet.source };
        let len = self.reply(frame, *source, destination, out).router(router)?;
        if to_all {
            self.advertised = Some(now);
        }
        Ok(Some(len))
    }

    fn echo(
        &self,
        frame: &Frame<'_>,
        packet: &Packet<'_>,
        body: &[u8],
        out: &mut [u8],
    ) -> Result<Option<usize>, RespondError> {
        let Config { addresses, router, .. } = &self.config;
        let asked = packet.destination;
        let is_member = asked == ALL_NODES
            || (asked == ALL_ROUTERS && router.is_some())
            || addresses.iter().any(|own| ipv6::solicited_node(*own) == asked);
        let source =
            if is_member { addresses.first() } else { addresses.iter().find(|own| **own == asked) };
        match source {
            Some(source) if !packet.source.is_unspecified() => {
                self.reply(frame, *source, packet.source, out).echo(body).map(Some) // DC-131
            }
            _ => Ok(None),
        }
    }

    /// A reply to whoever sent `frame`. What goes to all nodes goes to their group.
    fn reply<'a>(
        &'a self,
        frame: &Frame<'_>,
        source: Ipv6Addr,
        destination: Ipv6Addr,
        out: &'a mut [u8],
    ) -> Reply<'a> {
        let mac =
            if destination == ALL_NODES { ipv6::group_mac(destination) } else { frame.source };
        Reply { config: &self.config, way: Way { mac, tag: frame.tag, source, destination }, out }
    }
}

/// It is an address that one station can have.
fn is_one(address: Ipv6Addr) -> bool {
    !address.is_unspecified() && !address.is_loopback()
}
