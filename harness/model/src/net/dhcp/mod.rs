//! DHCP over IPv4 (§6.4, §6.5), for a port with one address.

mod message;
mod reply;

pub use message::{Message, read};
pub use reply::parameters;

use crate::Id;

/// An address of IPv4.
pub type Address = [u8; 4];

/// Nobody.
pub const NONE: Address = [0; 4];

/// Everybody.
pub const ALL: Address = [255; 4];

/// What a port hands out. What is empty is not configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Of the guest.
    pub address: Address,
    /// Its network, in bits.
    pub prefix: u32,
    /// Of the server.
    pub server: Address,
    /// Values of options that are handed out, by code, in the order in which those come that
    /// nobody asked for. Option 249 is a copy of 121. Lease and timers are not here.
    pub values: Vec<(u8, Vec<u8>)>,
    /// `siaddr`.
    pub next_server: Address,
    /// Of the link.
    pub mtu: usize,
    /// In seconds; all ones for ever.
    pub lease: u32,
    /// The only station that is served.
    pub guest: Option<[u8; 6]>,
    /// Knows best.
    pub is_authoritative: bool,
    /// Serves relays.
    pub serves_relays: bool,
    /// RFC 4039.
    pub commits_rapidly: bool,
    /// For which a declined address is held back.
    pub hold_ms: u64,
}

/// A message and how it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input<'a> {
    /// UDP payload.
    pub payload: &'a [u8],
    /// Of the frame.
    pub ethernet_source: [u8; 6],
    /// Of the datagram.
    pub source: Address,
    /// Of the datagram.
    pub destination: Address,
    /// UDP destination.
    pub port: u16,
}

/// What a server says to a legal message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Nothing, by this rule.
    Nothing(Id),
    /// This.
    Reply {
        /// UDP payload.
        bytes: Vec<u8>,
        /// Whom it is for.
        destination: Address,
        /// UDP port.
        port: u16,
        /// Station.
        mac: [u8; 6],
    },
}

/// The server of a port.
#[derive(Clone, Debug)]
pub struct Machine {
    config: Config,
    /// Who was offered the address.
    offer: Option<Vec<u8>>,
    /// Who has it, until when.
    lease: Option<(Vec<u8>, Option<u64>)>,
    held_until: Option<u64>,
    declines: u64,
}

/// What a reply is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    kind: u8,
    ciaddr: Address,
    yiaddr: Address,
    has_lease: bool,
    is_rapid: bool,
    text: &'static str,
}

impl Machine {
    /// Nothing offered, nothing leased.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config, offer: None, lease: None, held_until: None, declines: 0 }
    }

    /// Who was offered the address: 61 and the client identifier, or 1 and the hardware address.
    #[must_use]
    pub fn offered_to(&self) -> Option<&[u8]> {
        self.offer.as_deref()
    }

    /// Who has the lease, in the same words, and when it ends.
    #[must_use]
    pub fn lease(&self, now: u64) -> Option<(&[u8], Option<u64>)> {
        let (client, until) = self.lease.as_ref()?;
        match until {
            Some(until) if now >= *until => None,
            _ => Some((client, *until)),
        }
    }

    /// How often it was declined.
    #[must_use]
    pub fn declines(&self) -> u64 {
        self.declines
    }

    /// Takes a message at a time in milliseconds.
    ///
    /// # Errors
    /// The first rule that it breaks (DC-110).
    pub fn take(&mut self, input: &Input<'_>, now: u64) -> Result<Said, Id> {
        if input.port != 67 {
            return Ok(Said::Nothing(Id::Dh(56)));
        }
        let message = read(input.payload)?;
        if input.destination != ALL && input.destination != self.config.server {
            return Ok(Said::Nothing(Id::Dh(46)));
        }
        self.judge_sender(input, &message)?;
        let is_held = self.held_until.is_some_and(|until| now < until);
        let reply = match message.kind {
            1 if is_held => Err(Id::Dh(34)),
            1 if message.has(80, 0) && self.config.commits_rapidly => Ok(self.ack(NONE, true)),
            1 => Ok(Reply { kind: 2, ..self.ack(NONE, false) }),
            3 => self.request(input, &message, is_held),
            4 => Err(self.decline(&message, now)),
            7 => Err(self.release(&message)),
            8 if message.ciaddr == NONE => Err(Id::Dh(36)),
            8 if !is_host(message.ciaddr) => Err(Id::Dc(119)),
            8 => Ok(Reply { yiaddr: NONE, has_lease: false, ..self.ack(message.ciaddr, false) }),
            _ => Err(Id::Dh(49)),
        };
        let reply = match reply {
            Ok(reply) => reply,
            Err(id) => return Ok(Said::Nothing(id)),
        };
        match (reply.kind, message.kind) {
            (2, _) => self.offer = Some(message.client()),
            (5, 1 | 3) => {
                self.offer = None;
                let seconds = u64::from(self.config.lease);
                let is_endless = self.config.lease == 0xffff_ffff;
                let until = if is_endless { None } else { Some(now + 1000 * seconds) };
                self.lease = Some((message.client(), until));
            }
            _ => {}
        }
        let bytes = reply::bytes(&self.config, &message, &reply);
        let (destination, port, mac) = destination(input, &message, &reply);
        Ok(Said::Reply { bytes, destination, port, mac })
    }

    fn ack(&self, ciaddr: Address, is_rapid: bool) -> Reply {
        let yiaddr = self.config.address;
        Reply { kind: 5, ciaddr, yiaddr, has_lease: true, is_rapid, text: "" }
    }

    fn judge_sender(&self, input: &Input<'_>, message: &Message) -> Result<(), Id> {
        let is_relayed = message.giaddr != NONE;
        if is_relayed && !self.config.serves_relays {
            return Err(Id::Dh(48));
        }
        let is_selecting =
            message.kind == 3 && message.requested.is_some() && message.server.is_some();
        let ciaddr = if message.kind == 1 || is_selecting { NONE } else { message.ciaddr };
        let is_known = input.source == NONE
            || input.source == self.config.address
            || input.source == ciaddr
            || (is_relayed && input.source == message.giaddr);
        if !is_known {
            return Err(Id::Dh(47));
        }
        let mac = message.mac();
        if mac == [0; 6] || mac[0] % 2 == 1 {
            return Err(Id::Dc(113));
        }
        match self.config.guest {
            Some(guest) if mac != guest || input.ethernet_source != guest => Err(Id::Dc(114)),
            _ => Ok(()),
        }
    }

    /// The sixteen combinations of DH-054.
    fn request(
        &mut self,
        input: &Input<'_>,
        message: &Message,
        is_held: bool,
    ) -> Result<Reply, Id> {
        let is_foreign = message.server.is_some_and(|server| server != self.config.server);
        let has_address = message.ciaddr != NONE;
        match (message.requested, message.server, has_address) {
            (Some(_), Some(_), _) if is_foreign => {
                self.offer = None;
                Err(Id::Dh(24))
            }
            (Some(wanted), Some(_), _) => Ok(self.judge_address(wanted, NONE, is_held)),
            (_, _, true) if is_foreign => Err(Id::Dh(29)),
            (_, _, true) => {
                let is_mine = message.ciaddr == self.config.address;
                if input.destination == ALL && !is_mine && !self.config.is_authoritative {
                    return Err(Id::Dh(31));
                }
                Ok(self.judge_address(message.ciaddr, message.ciaddr, is_held))
            }
            (Some(wanted), None, false) => Ok(self.judge_address(wanted, NONE, is_held)),
            (None, _, false) => Err(Id::Dh(54)),
        }
    }

    fn judge_address(&self, wanted: Address, ciaddr: Address, is_held: bool) -> Reply {
        let nak = |text| Reply {
            kind: 6,
            ciaddr: NONE,
            yiaddr: NONE,
            has_lease: false,
            is_rapid: false,
            text,
        };
        let network = |address: Address| {
            let bits = u64::from(u32::from_be_bytes(address));
            bits >> (32 - self.config.prefix)
        };
        if network(wanted) != network(self.config.address) {
            nak("wrong network")
        } else if wanted != self.config.address {
            nak("wrong address")
        } else if is_held {
            nak("declined")
        } else {
            self.ack(ciaddr, false)
        }
    }

    fn decline(&mut self, message: &Message, now: u64) -> Id {
        if message.requested == Some(self.config.address)
            && message.server == Some(self.config.server)
        {
            self.offer = None;
            self.lease = None;
            self.held_until = Some(now + self.config.hold_ms);
            self.declines += 1;
        }
        Id::Dh(33)
    }

    fn release(&mut self, message: &Message) -> Id {
        if message.server == Some(self.config.server)
            && message.ciaddr == self.config.address
            && self.lease.as_ref().is_some_and(|(client, _)| *client == message.client())
        {
            self.lease = None;
        }
        Id::Dh(35)
    }
}

/// First bytes 0, 127, and 224 and above are not those of a host.
fn is_host(address: Address) -> bool {
    address[0] != 0 && address[0] != 127 && address[0] < 224
}

/// The table of destinations in §6.5; INFORM is told directly (DH-036).
fn destination(input: &Input<'_>, message: &Message, reply: &Reply) -> (Address, u16, [u8; 6]) {
    let is_relayed = message.giaddr != NONE;
    let near = if is_relayed { input.ethernet_source } else { message.mac() };
    if message.kind == 8 {
        return (message.ciaddr, 68, near);
    }
    if is_relayed {
        return (message.giaddr, 67, near);
    }
    if reply.kind == 6 {
        return (ALL, 68, [255; 6]);
    }
    if reply.ciaddr != NONE {
        return (reply.ciaddr, 68, near);
    }
    if message.flags >= 0x8000 {
        return (ALL, 68, [255; 6]);
    }
    (reply.yiaddr, 68, near)
}

#[cfg(test)]
mod tests;
