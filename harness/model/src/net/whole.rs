//! A gateway as a whole: a frame of the guest in, at most one frame out (§6).
//!
//! Each protocol is judged by its own model; here is only which of them gets a frame.

use super::dhcp::{self, Machine};
use super::ethernet::{self, Frame};
use super::gateway::{self, Said};
use super::{dhcpv6, ipv4, ipv6, ndp};
use crate::Id;

/// What a gateway does. What is `None` is not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// ARP and echoes, and how often it answers at all.
    pub gateway: gateway::Config,
    /// The IPv4 address of the guest.
    pub dhcp: Option<dhcp::Config>,
    /// Neighbours, routers and echoes of IPv6.
    pub ndp: Option<ndp::Gateway>,
    /// The IPv6 address of the guest.
    pub dhcpv6: Option<dhcpv6::Server>,
}

/// A gateway, and what it remembers.
#[derive(Clone, Debug)]
pub struct Whole {
    mac: [u8; 6],
    gateway: gateway::Gateway,
    /// The address of the server, and the server.
    dhcp: Option<([u8; 4], Machine)>,
    ndp: Option<ndp::Gateway>,
    dhcpv6: Option<dhcpv6::Server>,
}

impl Whole {
    /// A gateway that has said nothing yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            mac: config.gateway.mac,
            gateway: gateway::Gateway::new(config.gateway),
            dhcp: config.dhcp.map(|config| (config.server, Machine::new(config))),
            ndp: config.ndp,
            dhcpv6: config.dhcpv6,
        }
    }

    /// What is said to a frame at this millisecond; `None` is nothing. `is_partial`: the device
    /// completes checksums (NET-055).
    ///
    /// # Errors
    /// The first rule that the frame breaks.
    pub fn frame(
        &mut self,
        bytes: &[u8],
        is_partial: bool,
        now: u64,
    ) -> Result<Option<Vec<u8>>, Id> {
        if !self.gateway.has_left(now) {
            return Err(Id::L2(13));
        }
        let reply = self.answer(bytes, is_partial, now)?;
        if reply.is_some() {
            self.gateway.spend();
        }
        Ok(reply)
    }

    fn answer(&mut self, bytes: &[u8], is_partial: bool, now: u64) -> Result<Option<Vec<u8>>, Id> {
        let frame = ethernet::frame(bytes)?;
        let payload = &bytes[frame.payload.0..frame.payload.1];
        match frame.ether_type {
            0x0806 => self.gateway.answer(bytes, is_partial, now).and_then(reply),
            0x0800 => self.ipv4(bytes, &frame, is_partial, now),
            0x86dd => match (ipv6::packet(payload)?, &mut self.ndp, &mut self.dhcpv6) {
                (Some(packet), Some(ndp), _) if packet.protocol == 58 => {
                    ndp.answer(bytes, is_partial, now)
                }
                (Some(packet), _, Some(server)) if packet.protocol == 17 => {
                    server.answer(bytes, is_partial, now)
                }
                _ => Ok(None),
            },
            _ => Ok(None),
        }
    }

    /// A frame for another station is not looked into.
    fn ipv4(
        &mut self,
        bytes: &[u8],
        frame: &Frame,
        is_partial: bool,
        now: u64,
    ) -> Result<Option<Vec<u8>>, Id> {
        if frame.destination[0].is_multiple_of(2) && frame.destination != self.mac {
            return Ok(None);
        }
        let packet = ipv4::packet(&bytes[frame.payload.0..frame.payload.1])?;
        if packet.protocol == 1 {
            return self.gateway.answer(bytes, is_partial, now).and_then(reply);
        }
        if packet.protocol != 17 {
            return Ok(None);
        }
        let (_, port, payload) = ipv4::datagram(&packet, is_partial)?;
        let Some((server, machine)) = &mut self.dhcp else { return Ok(None) };
        let input = dhcp::Input {
            payload: &payload,
            ethernet_source: frame.source,
            source: packet.source,
            destination: packet.destination,
            port,
        };
        let said = machine.take(&input, now)?;
        let dhcp::Said::Reply { bytes, destination, port, mac } = said else { return Ok(None) };
        let mut reply = [mac, self.mac].concat();
        if let Some((protocol, control)) = frame.tag {
            reply.extend(protocol.to_be_bytes());
            reply.extend(control.to_be_bytes());
        }
        reply.extend([8, 0]);
        reply.extend(ipv4::write_datagram((*server, 67), (destination, port), &bytes));
        Ok(Some(reply))
    }
}

fn reply(said: Said) -> Result<Option<Vec<u8>>, Id> {
    match said {
        Said::Reply(bytes) => Ok(Some(bytes)),
        Said::Silent(_) => Ok(None),
        Said::Refused(id) => Err(id),
    }
}
