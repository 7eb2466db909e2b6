//! A `DHCPv6` server with one address (§6.6, V6-006 to V6-009, L2-009 to L2-011, DC-136 to
//! DC-138).

use super::ethernet::{self, number};
use super::ipv6::{self, Address, Packet};
use crate::Id;

/// A server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its Ethernet address.
    pub mac: [u8; 6],
    /// Its address.
    pub address: Address,
    /// The address of the client.
    pub lease: Address,
    /// Seconds.
    pub preferred: u32,
    /// Seconds.
    pub valid: u32,
    /// It replies without an offer before.
    pub rapid_commit: bool,
    /// DNS servers.
    pub dns: Vec<Address>,
    /// When the address was declined, in milliseconds.
    pub declined: Option<u64>,
}

/// Code and value of an option.
type Options = Vec<(u16, Vec<u8>)>;

/// `ff02::1:2`.
const ALL_SERVERS: Address = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2];

/// Takes options apart.
fn options(bytes: &[u8]) -> Result<Options, Id> {
    let mut all = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let code = number(bytes, at).ok_or(Id::V6(9))?;
        let len = usize::from(number(bytes, at + 2).ok_or(Id::V6(9))?);
        let value = bytes.get(at + 4..at + 4 + len).ok_or(Id::V6(9))?;
        all.push((code, value.to_vec()));
        at += 4 + len;
    }
    Ok(all)
}

/// The options of a message, as far as they are legal. The first that is not is the verdict, so
/// each is judged before the next one is looked at.
fn judge(bytes: &[u8]) -> Result<Options, Id> {
    let mut all: Options = Vec::new();
    let mut associations = 0;
    let mut at = 0;
    while at < bytes.len() {
        let code = number(bytes, at).ok_or(Id::V6(9))?;
        let len = usize::from(number(bytes, at + 2).ok_or(Id::V6(9))?);
        let value = bytes.get(at + 4..at + 4 + len).ok_or(Id::V6(9))?;
        match code {
            1 | 2 if !(3..=130).contains(&len) => return Err(Id::Dc(136)),
            1 | 2 if all.iter().any(|(other, _)| *other == code) => return Err(Id::Dc(136)),
            3 | 4 | 25 => {
                inside(code, value)?;
                associations += 1;
                if associations > 8 {
                    return Err(Id::Dc(136));
                }
            }
            6 if len % 2 != 0 => return Err(Id::V6(9)),
            8 if len != 2 => return Err(Id::V6(9)),
            13 if len < 2 => return Err(Id::V6(9)),
            14 if len != 0 => return Err(Id::V6(9)),
            _ => {}
        }
        all.push((code, value.to_vec()));
        at += 4 + len;
    }
    Ok(all)
}

/// Judges what is in an identity association.
fn inside(code: u16, value: &[u8]) -> Result<(), Id> {
    let fixed = if code == 4 { 4 } else { 12 };
    let mut rest = value.get(fixed..).ok_or(Id::V6(9))?;
    while !rest.is_empty() {
        let code = number(rest, 0).ok_or(Id::V6(9))?;
        let len = usize::from(number(rest, 2).ok_or(Id::V6(9))?);
        let value = rest.get(4..4 + len).ok_or(Id::V6(9))?;
        let least = match code {
            5 => 24,
            13 => 2,
            26 => 25,
            _ => 0,
        };
        if len < least {
            return Err(Id::V6(9));
        }
        if code == 26 && value[8] > 128 {
            return Err(Id::Dc(136));
        }
        if code == 5 || code == 26 {
            let mut inner = &value[least..];
            while !inner.is_empty() {
                let code = number(inner, 0).ok_or(Id::V6(9))?;
                let len = usize::from(number(inner, 2).ok_or(Id::V6(9))?);
                if inner.len() < 4 + len || (code == 13 && len < 2) {
                    return Err(Id::V6(9));
                }
                inner = &inner[4 + len..];
            }
        }
        rest = &rest[4 + len..];
    }
    Ok(())
}

/// One option.
fn option(code: u16, value: &[u8]) -> Vec<u8> {
    let len = u16::try_from(value.len()).unwrap_or(u16::MAX);
    [&code.to_be_bytes()[..], &len.to_be_bytes(), value].concat()
}

/// The payload of a datagram.
fn datagram(packet: &Packet, partial: bool) -> Result<&[u8], Id> {
    let bytes = &packet.payload[..];
    let len = usize::from(number(bytes, 4).ok_or(Id::L2(9))?);
    if bytes.len() < 8 || len < 8 || len > bytes.len() {
        return Err(Id::L2(9));
    }
    if !partial && bytes[6..8] == [0, 0] {
        return Err(Id::L2(11));
    }
    let sum = ipv6::checksum(&packet.source, &packet.destination, 17, &bytes[..len]);
    if !partial && sum != 0 {
        return Err(Id::L2(10));
    }
    Ok(&bytes[8..len])
}

impl Server {
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
        let to_station = frame.destination[0] % 2 == 1 || frame.destination == self.mac;
        let is_unicast = packet.destination == self.address;
        if !to_station || !(is_unicast || packet.destination == ALL_SERVERS) {
            return Ok(None);
        }
        if packet.protocol != 17 {
            return Ok(None);
        }
        let payload = datagram(&packet, partial)?;
        if number(&packet.payload, 2) != Some(547) || !ipv6::is_link_local(&packet.source) {
            return Ok(None);
        }
        let Some(message) = self.reply(payload, is_unicast, now)? else { return Ok(None) };
        let len = u16::try_from(message.len() + 8).unwrap_or(u16::MAX);
        let mut udp = [547, 546, len, 0].map(u16::to_be_bytes).concat();
        udp.extend(message);
        let sum = match ipv6::checksum(&self.address, &packet.source, 17, &udp) {
            0 => 0xffff,
            sum => sum,
        };
        udp[6..8].copy_from_slice(&sum.to_be_bytes());
        let mut reply = [frame.source, self.mac].concat();
        if let Some((protocol, control)) = frame.tag {
            reply.extend(protocol.to_be_bytes());
            reply.extend(control.to_be_bytes());
        }
        reply.extend([0x86, 0xdd]);
        reply.extend(ipv6::build(&self.address, &packet.source, 64, 17, &udp));
        Ok(Some(reply))
    }

    /// The identifier of the server.
    #[must_use]
    pub fn id(&self) -> Vec<u8> {
        [&[0, 3, 0, 1][..], &self.mac].concat()
    }

    /// The reply to a message.
    fn reply(&mut self, bytes: &[u8], is_unicast: bool, now: u64) -> Result<Option<Vec<u8>>, Id> {
        if bytes.len() < 4 {
            return Err(Id::Dc(136));
        }
        let kind = bytes[0];
        if kind == 12 || kind == 13 {
            return Ok(None);
        }
        let all = judge(&bytes[4..])?;
        let find = |code| all.iter().find(|(other, _)| *other == code).map(|(_, value)| value);
        let (client, server) = (find(1), find(2));
        let associations: Options =
            all.iter().filter(|(code, _)| [3, 4, 25].contains(code)).cloned().collect();
        // Row by row of the table: client id, server id, and where it was sent.
        let broken = match kind {
            1 | 4 | 6 => client.is_none() || server.is_some() || is_unicast,
            3 | 5 | 8 | 9 => client.is_none() || server.is_none(),
            11 => !associations.is_empty() || is_unicast,
            _ => return Ok(None),
        };
        if broken {
            return Err(Id::V6(6));
        }
        if server.is_some_and(|server| *server != self.id()) {
            return Ok(None);
        }
        let asked = addresses(&associations)?;
        let wants_dns = all.iter().filter(|(code, _)| *code == 6);
        let wants_dns =
            wants_dns.into_iter().any(|(_, value)| value.chunks(2).any(|it| it == [0, 23]));
        let is_rapid = kind == 1 && self.rapid_commit && find(14).is_some();
        let mut reply = vec![if kind == 1 && !is_rapid { 2 } else { 7 }];
        reply.extend(&bytes[1..4]);
        if let Some(client) = client {
            reply.extend(option(1, client));
        }
        reply.extend(option(2, &self.id()));
        if is_unicast {
            reply.extend(option(13, &[0, 5]));
            return Ok(Some(reply));
        }
        if is_rapid {
            reply.extend(option(14, &[]));
        }
        if [1, 3, 5, 6].contains(&kind) {
            reply.extend(self.leases(&associations, now));
        }
        if [1, 3, 5, 6, 11].contains(&kind) && wants_dns && !self.dns.is_empty() {
            reply.extend(option(23, &self.dns.concat()));
        }
        if kind == 4 {
            if asked.is_empty() {
                return Ok(None);
            }
            let on_link = asked.iter().all(|address| *address == self.lease);
            reply.extend(option(13, &[0, if on_link { 0 } else { 4 }]));
        }
        if kind == 8 || kind == 9 {
            reply.extend(option(13, &[0, 0]));
        }
        if kind == 9 && asked.contains(&self.lease) {
            self.declined = Some(now);
        }
        Ok(Some(reply))
    }

    /// What each association gets.
    fn leases(&self, associations: &Options, now: u64) -> Vec<u8> {
        let is_declined = self.declined.is_some_and(|at| now < at + 10_000);
        let chosen =
            associations.iter().find(|(code, _)| *code == 3).map(|(_, it)| it[..4].to_vec());
        let mut bytes = Vec::new();
        for (code, value) in associations {
            let mut inner = value[..4].to_vec();
            if *code == 3 && chosen.as_deref() == Some(&value[..4]) && !is_declined {
                let is_endless = self.preferred == u32::MAX;
                let whole = u64::from(self.preferred);
                let times = if is_endless { [whole; 2] } else { [whole / 2, whole * 4 / 5] };
                for time in times {
                    inner.extend(&time.to_be_bytes()[4..]);
                }
                let mut lease = self.lease.to_vec();
                lease.extend(self.preferred.to_be_bytes());
                lease.extend(self.valid.to_be_bytes());
                inner.extend(option(5, &lease));
            } else {
                if *code != 4 {
                    inner.extend([0; 8]);
                }
                inner.extend(option(13, &[0, if *code == 25 { 6 } else { 2 }]));
            }
            bytes.extend(option(*code, &inner));
        }
        bytes
    }
}

/// Every address in these associations.
fn addresses(associations: &Options) -> Result<Vec<Address>, Id> {
    let mut all = Vec::new();
    for (code, value) in associations {
        for (inner, value) in options(&value[if *code == 4 { 4 } else { 12 }..])? {
            if inner == 5 {
                let mut address = [0; 16];
                address.copy_from_slice(&value[..16]);
                all.push(address);
            }
        }
    }
    Ok(all)
}
