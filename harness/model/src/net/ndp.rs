//! Neighbour discovery and the echo of a gateway (§6.6, V6-001 to V6-005, DC-131 to DC-135).

use super::ethernet;
use super::ipv6::{self, ALL_NODES, ALL_ROUTERS, Address, Packet};
use crate::Id;

/// A gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// Its Ethernet address.
    pub mac: [u8; 6],
    /// Its addresses; it sends from the first.
    pub addresses: Vec<Address>,
    /// Addresses of the guest.
    pub guest: Vec<Address>,
    /// It answers for others.
    pub proxy: bool,
    /// What it advertises.
    pub router: Option<Router>,
    /// When it last advertised itself to all nodes, in milliseconds.
    pub advertised: Option<u64>,
}

/// What an advertisement says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Router {
    /// Hops of guests.
    pub hops: u8,
    /// M (0x80) and O (0x40).
    pub flags: u8,
    /// Seconds.
    pub lifetime: u16,
    /// Bytes.
    pub mtu: Option<u32>,
    /// Length, flags, valid, preferred, prefix.
    pub prefix: Option<(u8, u8, u32, u32, Address)>,
    /// Servers, and for how many seconds.
    pub dns: (Vec<Address>, u32),
}

/// What goes out.
struct Answer {
    source: Address,
    destination: Address,
    hops: u8,
    message: Vec<u8>,
}

impl Gateway {
    /// The reply to a frame; `None` when there is none.
    ///
    /// # Errors
    /// The first rule that the frame breaks.
    pub fn answer(&mut self, bytes: &[u8], partial: bool, now: u64) -> Result<Option<Vec<u8>>, Id> {
        let frame = ethernet::frame(bytes)?;
        if frame.ether_type != 0x86dd {
            return Ok(None);
        }
        let Some(packet) = ipv6::packet(&bytes[frame.payload.0..frame.payload.1])? else {
            return Ok(None);
        };
        if frame.destination[0] % 2 == 0 && frame.destination != self.mac {
            return Ok(None);
        }
        if packet.protocol != 58 {
            return Ok(None);
        }
        judge(&packet, partial, &frame.source)?;
        let answer = match packet.payload[0] {
            128 => self.echo(&packet),
            133 => self.solicited_router(&packet, now),
            135 => self.solicited_neighbor(&packet),
            _ => None,
        };
        Ok(answer.map(|answer| {
            let Answer { source, destination, hops, mut message } = answer;
            let sum = ipv6::checksum(&source, &destination, 58, &message);
            message[2..4].copy_from_slice(&sum.to_be_bytes());
            let to_all = destination == ALL_NODES;
            let mut reply =
                if to_all { vec![0x33, 0x33, 0, 0, 0, 1] } else { frame.source.to_vec() };
            reply.extend(self.mac);
            if let Some((protocol, control)) = frame.tag {
                reply.extend(protocol.to_be_bytes());
                reply.extend(control.to_be_bytes());
            }
            reply.extend([0x86, 0xdd]);
            reply.extend(ipv6::build(&source, &destination, hops, 58, &message));
            reply
        }))
    }

    fn echo(&self, packet: &Packet) -> Option<Answer> {
        if packet.payload[1] != 0 || ipv6::is_nobody(&packet.source) {
            return None;
        }
        let asked = packet.destination;
        let in_group = asked == ALL_NODES
            || (asked == ALL_ROUTERS && self.router.is_some())
            || self.addresses.iter().any(|own| ipv6::group_of(own) == asked);
        if !in_group && !self.addresses.contains(&asked) {
            return None;
        }
        let mut message = packet.payload.clone();
        message[..4].copy_from_slice(&[129, 0, 0, 0]);
        let source = if in_group { self.addresses[0] } else { asked };
        Some(Answer { source, destination: packet.source, hops: 64, message })
    }

    fn solicited_neighbor(&self, packet: &Packet) -> Option<Answer> {
        let mut target = [0; 16];
        target.copy_from_slice(&packet.payload[8..24]);
        let is_probe = ipv6::is_nobody(&packet.source);
        let is_own = self.addresses.contains(&target);
        let is_guests = self.guest.contains(&target);
        let is_somebody = !ipv6::is_nobody(&target) && !ipv6::is_loopback(&target);
        if !is_own && (!self.proxy || is_probe || is_guests || !is_somebody) {
            return None;
        }
        let asked = packet.destination;
        if ![target, ipv6::group_of(&target), ALL_NODES].contains(&asked)
            && !self.addresses.contains(&asked)
        {
            return None;
        }
        let is_router = self.router.as_ref().is_some_and(|router| router.lifetime > 0);
        let mut flags = 0;
        if is_router {
            flags += 0x80;
        }
        if !is_probe {
            flags += 0x40;
        }
        if is_own {
            flags += 0x20;
        }
        let mut message = vec![136, 0, 0, 0, flags, 0, 0, 0];
        message.extend(target);
        message.extend([2, 1]);
        message.extend(self.mac);
        Some(Answer {
            source: if is_own { target } else { self.addresses[0] },
            destination: if is_probe { ALL_NODES } else { packet.source },
            hops: 255,
            message,
        })
    }

    fn solicited_router(&mut self, packet: &Packet, now: u64) -> Option<Answer> {
        let router = self.router.as_ref()?;
        let asked = packet.destination;
        if asked != ALL_ROUTERS && asked != ALL_NODES && !self.addresses.contains(&asked) {
            return None;
        }
        let to_all = ipv6::is_nobody(&packet.source);
        if to_all {
            if self.advertised.is_some_and(|at| now < at + 3000) {
                return None;
            }
            self.advertised = Some(now);
        }
        let mut message = vec![134, 0, 0, 0, router.hops, router.flags];
        message.extend(router.lifetime.to_be_bytes());
        message.extend([0; 8]);
        message.extend([1, 1]);
        message.extend(self.mac);
        if let Some(mtu) = router.mtu {
            message.extend([5, 1, 0, 0]);
            message.extend(mtu.to_be_bytes());
        }
        if let Some((len, flags, valid, preferred, prefix)) = router.prefix {
            message.extend([3, 4, len, flags]);
            message.extend(valid.to_be_bytes());
            message.extend(preferred.to_be_bytes());
            message.extend([0; 4]);
            message.extend(prefix);
        }
        let (servers, lifetime) = &router.dns;
        if !servers.is_empty() {
            let units = u8::try_from(1 + 2 * servers.len()).unwrap_or(u8::MAX);
            message.extend([25, units, 0, 0]);
            message.extend(lifetime.to_be_bytes());
            message.extend(servers.concat());
        }
        let destination = if to_all { ALL_NODES } else { packet.source };
        Some(Answer { source: self.addresses[0], destination, hops: 255, message })
    }
}

/// Whether a message is legal, in the order of DC-132.
fn judge(packet: &Packet, partial: bool, sender: &[u8; 6]) -> Result<(), Id> {
    let message = &packet.payload;
    if message.len() < 4 {
        return Err(Id::Dc(131));
    }
    let kind = message[0];
    let is_discovery = (133..=137).contains(&kind);
    if !partial && ipv6::checksum(&packet.source, &packet.destination, 58, message) != 0 {
        return Err(if is_discovery { Id::V6(1) } else { Id::Dc(131) });
    }
    if kind == 128 && message[1] == 0 && message.len() < 8 {
        return Err(Id::Dc(131));
    }
    if !is_discovery {
        return Ok(());
    }
    let least = [8, 16, 24, 24, 40][usize::from(kind - 133)];
    if packet.hops != 255 || message[1] != 0 || message.len() < least {
        return Err(Id::V6(1));
    }
    let asks = kind == 133 || kind == 135;
    let mut tells_link = false;
    let mut at = least;
    while at < message.len() {
        let Some(units) = message.get(at + 1) else { return Err(Id::V6(9)) };
        if *units == 0 {
            return Err(Id::V6(1));
        }
        let end = at + 8 * usize::from(*units);
        if end > message.len() {
            return Err(Id::V6(9));
        }
        if message[at] == 1 && asks {
            if message[at + 2..end] != *sender {
                return Err(Id::Dc(133));
            }
            tells_link = true;
        }
        at = end;
    }
    let from_nobody = ipv6::is_nobody(&packet.source);
    let is_group = packet.destination[0] == 0xff;
    let broken = match kind {
        133 => from_nobody && tells_link,
        134 if !ipv6::is_link_local(&packet.source) => return Err(Id::V6(5)),
        135 => {
            let in_group = packet.destination == ipv6::group_of(&packet.destination);
            message[8] == 0xff || (from_nobody && (tells_link || !in_group))
        }
        136 => message[8] == 0xff || (message[4] & 0x40 != 0 && is_group),
        _ => false,
    };
    if broken { Err(Id::V6(1)) } else { Ok(()) }
}
