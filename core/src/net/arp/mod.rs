//! ARP (RFC 826, RFC 5227, spec §6.2): who answers for a gateway.
//!
//! [`Responder`] takes a frame and writes at most one. It learns nothing and remembers nothing but
//! when it last defended an address (DC-100), so that what it answers depends on the request alone.

mod error;
mod packet;

use core::net::Ipv4Addr;

use arrayvec::ArrayVec;

use super::Mac;
use super::ethernet::{self, Frame, Tag, ether_type};

pub use error::{ArpError, ConfigError, Silence};
pub use packet::{PACKET_LEN, Packet, operation};

/// Most addresses of a responder, and of its guest.
pub const ADDRESSES_MAX: usize = 8;

/// Milliseconds between two defences: `DEFEND_INTERVAL` of RFC 5227.
pub const DEFEND_INTERVAL_MS: u64 = 10_000;

/// Whom a responder answers for, and how.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Config {
    /// Its Ethernet address.
    pub mac: Mac,
    /// Its IPv4 addresses.
    pub owned: ArrayVec<Ipv4Addr, ADDRESSES_MAX>,
    /// The addresses that are assigned to the guest. Nobody answers for them (AR-005).
    pub guest: ArrayVec<Ipv4Addr, ADDRESSES_MAX>,
    /// Drops requests whose sender is neither an address of the guest nor 0.0.0.0 (AR-011).
    pub is_strict: bool,
    /// Answers for everybody but the guest (spec §6.2), though never a probe.
    pub is_proxy: bool,
    /// Broadcasts replies for link-local addresses (AR-016).
    pub broadcasts: bool,
    /// Defends its addresses (AR-017).
    pub defends: bool,
}

/// What comes of a packet that breaks no rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A reply of so many bytes.
    Reply {
        /// Bytes of the frame.
        len: usize,
    },
    /// Somebody uses an address of the responder: dropped, and answered with an announcement of
    /// so many bytes.
    Defence {
        /// Bytes of the frame.
        len: usize,
    },
    /// Nothing is asked of the responder.
    Silent(Silence),
}

/// Answers for a gateway, on one port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Responder {
    config: Config,
    /// When an address was defended.
    defended_ms: Option<u64>,
}

impl Responder {
    /// A responder that has defended nothing yet.
    ///
    /// # Errors
    /// When no host can have such addresses, or the guest has one of them.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        let mac = config.mac;
        if mac.is_group() || mac.is_zero() {
            return Err(ConfigError::Mac { mac }); // AR-004
        }
        for &address in &config.owned {
            if is_never_answered(address) {
                return Err(ConfigError::Owned { address }); // AR-012
            }
            if config.guest.contains(&address) {
                return Err(ConfigError::Shared { address }); // AR-005
            }
        }
        Ok(Self { config, defended_ms: None })
    }

    /// Whom it answers for.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Answers a frame of type ARP that came at `now_ms`, in milliseconds of any steady clock.
    ///
    /// The checks come in the order of DC-101. What is written into `out` is a whole frame.
    ///
    /// # Errors
    /// The first rule that the packet breaks, or that `out` is too small for the answer: then
    /// nothing is written and nothing is changed.
    #[inline]
    pub fn answer(
        &mut self,
        frame: &Frame<'_>,
        now_ms: u64,
        out: &mut [u8],
    ) -> Result<Answer, ArpError> {
        if !frame.destination.is_group() && frame.destination != self.config.mac {
            return Ok(Answer::Silent(Silence::OtherStation)); // AR-014
        }
        let packet = Packet::parse(frame.payload)?;
        if !matches!(packet.operation, operation::REQUEST | operation::REPLY) {
            return Ok(Answer::Silent(Silence::OtherOperation)); // AR-009
        }
        check_sender(&packet, frame.source)?;
        if self.config.owned.contains(&packet.sender) {
            return self.conflict(packet.sender, frame.tag, now_ms, out); // AR-017
        }
        if packet.operation == operation::REPLY || packet.is_announcement() {
            return Ok(Answer::Silent(Silence::Told)); // AR-006
        }
        if let Some(silence) = self.judge(&packet)? {
            return Ok(Answer::Silent(silence));
        }
        let reply = Packet {
            operation: operation::REPLY,
            sender_mac: self.config.mac,
            sender: packet.target,
            target_mac: packet.sender_mac,
            target: packet.sender,
        };
        let is_broadcast = self.config.broadcasts && reply.sender.is_link_local();
        // AR-003, AR-016
        let destination = if is_broadcast { Mac::BROADCAST } else { packet.sender_mac };
        Ok(Answer::Reply { len: self.write(destination, frame.tag, reply, out)? })
    }

    /// Writes an announcement of an address that the responder has, in a frame with this tag, and
    /// gives its length (AR-018).
    ///
    /// # Errors
    /// When the address is not its own, or the frame does not fit.
    pub fn announce(
        &self,
        address: Ipv4Addr,
        tag: Option<Tag>,
        out: &mut [u8],
    ) -> Result<usize, ArpError> {
        if !self.config.owned.contains(&address) {
            return Err(ArpError::NotOwned { address }); // AR-018
        }
        let announcement = Packet {
            operation: operation::REQUEST,
            sender_mac: self.config.mac,
            sender: address,
            target_mac: Mac::ZERO,
            target: address,
        };
        self.write(Mac::BROADCAST, tag, announcement, out)
    }

    /// Why a request is not answered; nothing when it is.
    #[inline]
    fn judge(&self, request: &Packet) -> Result<Option<Silence>, ArpError> {
        let Config { owned, guest, is_strict, is_proxy, .. } = &self.config;
        let Packet { sender, target, .. } = *request;
        let is_probe = request.is_probe();
        if *is_strict && !is_probe && !guest.contains(&sender) {
            return Err(ArpError::NotLeased { sender }); // AR-011
        }
        Ok(if owned.contains(&target) {
            None // AR-002, AR-008
        } else if is_never_answered(target) {
            Some(Silence::NeverAnswered) // AR-012
        } else if guest.contains(&target) {
            Some(Silence::Guest) // AR-005
        } else if is_probe {
            Some(Silence::NeverAnswered) // AR-012
        } else if *is_proxy {
            None // AR-002
        } else {
            Some(Silence::Stranger)
        })
    }

    /// Somebody uses `address`, which is the responder's (AR-017, DC-102).
    #[cold]
    fn conflict(
        &mut self,
        address: Ipv4Addr,
        tag: Option<Tag>,
        now_ms: u64,
        out: &mut [u8],
    ) -> Result<Answer, ArpError> {
        let is_due = self
            .defended_ms
            .is_none_or(|defended| now_ms.saturating_sub(defended) >= DEFEND_INTERVAL_MS);
        if !self.config.defends || !is_due {
            return Err(ArpError::Conflict { address });
        }
        let len = self.announce(address, tag, out)?;
        self.defended_ms = Some(now_ms);
        Ok(Answer::Defence { len })
    }

    /// Writes a frame, whose source is the sender of the packet (AR-004).
    #[inline]
    fn write(
        &self,
        destination: Mac,
        tag: Option<Tag>,
        packet: Packet,
        out: &mut [u8],
    ) -> Result<usize, ArpError> {
        let header_len = ethernet::header_len(tag);
        let needed = header_len.saturating_add(PACKET_LEN);
        let none = ArpError::NoRoom { needed, room: out.len() };
        let frame = out.get_mut(..needed).ok_or(none)?; // L2-006
        let rest =
            ethernet::write_header(frame, destination, self.config.mac, tag, ether_type::ARP);
        let at = rest.and_then(<[u8]>::first_chunk_mut).ok_or(none)?;
        *at = packet.to_bytes();
        Ok(needed)
    }
}

/// The sender says who it is, and is who sent the frame (AR-010).
#[inline]
fn check_sender(packet: &Packet, source: Mac) -> Result<(), ArpError> {
    let sender = packet.sender_mac;
    if sender == source && !sender.is_zero() && !sender.is_group() {
        return Ok(());
    }
    Err(if sender.is_zero() {
        ArpError::NoSender
    } else if sender.is_group() {
        ArpError::GroupSender { sender }
    } else {
        ArpError::OtherSender { sender, source }
    })
}

/// Nobody answers for such an address: 0.0.0.0, 127/8, 224/4 and 255.255.255.255 (AR-012).
#[inline]
const fn is_never_answered(address: Ipv4Addr) -> bool {
    address.is_unspecified()
        || address.is_loopback()
        || address.is_multicast()
        || address.is_broadcast()
}
