//! Writes the replies of a server. Every byte of them is written (L2-006).

use core::net::Ipv6Addr;

use super::message::{Association, Message};
use super::server::Config;
use super::{CLIENT_PORT, Dhcpv6Error, SERVER_PORT, code, status};
use crate::net::ethernet::{self, Frame, ether_type};
use crate::net::ipv6::{self, Pen, protocol, udp};

/// Hops of a reply.
const HOPS: u8 = 64;

/// Bytes of an option that says how something ended, without words.
const STATUS_LEN: usize = 6;

/// Bytes of an identity association with its option header.
const ASSOCIATION_LEN: usize = 16;

/// Bytes of an address in one.
const ADDRESS_LEN: usize = 28;

/// Bytes of a temporary association.
const TEMPORARY_LEN: usize = 8;

/// What a reply says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Content {
    pub(super) kind: u8,
    pub(super) rapid_commit: bool,
    /// It says for each association what the client gets.
    pub(super) has_leases: bool,
    /// The address can be given.
    pub(super) can_give: bool,
    pub(super) dns: bool,
    pub(super) status: Option<u16>,
}

impl Content {
    pub(super) const fn of(kind: u8) -> Self {
        Self {
            kind,
            rapid_commit: false,
            has_leases: false,
            can_give: false,
            dns: false,
            status: None,
        }
    }
}

/// A server, about to answer a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reply<'a> {
    pub(super) config: &'a Config,
    pub(super) frame: &'a Frame<'a>,
    pub(super) client: Ipv6Addr,
    pub(super) message: &'a Message<'a>,
}

impl Reply<'_> {
    pub(super) fn write(self, content: Content, out: &mut [u8]) -> Result<usize, Dhcpv6Error> {
        let Self { config, frame, client, .. } = self;
        let len = self.len(content).saturating_add(udp::HEADER_LEN);
        let headers = ethernet::header_len(frame.tag).saturating_add(ipv6::HEADER_LEN);
        let needed = headers.saturating_add(len);
        let room = Dhcpv6Error::Room { needed };
        let out = out.get_mut(..needed).ok_or(room)?; // L2-006
        let mut fill = || {
            let rest =
                ethernet::write_header(out, frame.source, config.mac, frame.tag, ether_type::IPV6)?;
            let datagram =
                ipv6::write_header(rest, config.address, client, protocol::UDP, HOPS, len)?;
            let mut pen = Pen::new(datagram.get_mut(udp::HEADER_LEN..)?);
            self.options(&mut pen, content)?;
            debug_assert!(pen.rest().is_empty(), "every byte is written");
            udp::finish(datagram, config.address, client, [SERVER_PORT, CLIENT_PORT]);
            Some(needed)
        };
        fill().ok_or(room)
    }

    /// The association that gets the address: the first that asks for one.
    fn chosen(self) -> Option<[u8; 4]> {
        self.message.associations().find(|it| it.code == code::IA_NA).map(|it| it.id)
    }

    /// Bytes of the message.
    fn len(self, content: Content) -> usize {
        let client = self.message.client.map_or(0, |id| id.len().saturating_add(4));
        let rapid = if content.rapid_commit { 4 } else { 0 };
        let status = content.status.map_or(0, |_| STATUS_LEN);
        let mut leases = 0_usize;
        let chosen = self.chosen().filter(|_| content.can_give);
        if content.has_leases {
            for association in self.message.associations() {
                leases = leases.saturating_add(match association.code {
                    code::IA_NA if Some(association.id) == chosen => ASSOCIATION_LEN + ADDRESS_LEN,
                    code::IA_TA => TEMPORARY_LEN + STATUS_LEN,
                    _ => ASSOCIATION_LEN + STATUS_LEN,
                });
            }
        }
        let dns = match self.config.dns.len() {
            servers if content.dns && servers > 0 => servers.saturating_mul(16).saturating_add(4),
            _ => 0,
        };
        [4, client, 4 + super::SERVER_ID_LEN, rapid, leases, dns, status]
            .into_iter()
            .fold(0, usize::saturating_add)
    }

    fn options(self, pen: &mut Pen<'_>, content: Content) -> Option<()> {
        let Self { config, message, .. } = self;
        pen.put(&[content.kind])?;
        pen.put(&message.transaction)?; // V6-007
        if let Some(id) = message.client {
            option(pen, code::CLIENT_ID, id.len())?;
            pen.put(id)?;
        }
        option(pen, code::SERVER_ID, super::SERVER_ID_LEN)?;
        pen.put(&config.server_id())?;
        if content.rapid_commit {
            option(pen, code::RAPID_COMMIT, 0)?; // V6-008
        }
        if content.has_leases {
            let chosen = self.chosen().filter(|_| content.can_give);
            message.associations().try_for_each(|it| self.association(pen, it, chosen))?;
        }
        if content.dns && !config.dns.is_empty() {
            option(pen, code::DNS, config.dns.len().saturating_mul(16))?;
            config.dns.iter().try_for_each(|server| pen.address(*server))?;
        }
        content.status.map_or(Some(()), |status| end(pen, status))
    }

    fn association(
        self,
        pen: &mut Pen<'_>,
        association: Association<'_>,
        chosen: Option<[u8; 4]>,
    ) -> Option<()> {
        let Association { code, id, .. } = association;
        let Config { lease, preferred, valid, .. } = *self.config;
        if code == code::IA_NA && Some(id) == chosen {
            option(pen, code, ASSOCIATION_LEN - 4 + ADDRESS_LEN)?;
            pen.put(&id)?;
            for time in renewal(preferred) {
                pen.put(&time.to_be_bytes())?;
            }
            option(pen, code::IA_ADDRESS, ADDRESS_LEN - 4)?;
            pen.address(lease)?;
            pen.put(&preferred.to_be_bytes())?;
            return pen.put(&valid.to_be_bytes());
        }
        if code == code::IA_TA {
            option(pen, code, TEMPORARY_LEN - 4 + STATUS_LEN)?;
            pen.put(&id)?;
        } else {
            option(pen, code, ASSOCIATION_LEN - 4 + STATUS_LEN)?;
            pen.put(&id)?;
            pen.put(&[0; 8])?;
        }
        let is_prefix = code == code::IA_PD;
        end(pen, if is_prefix { status::NO_PREFIXES } else { status::NO_ADDRESSES })
    }
}

/// When the lease is renewed, and when anywhere: after a half and four fifths of the preferred
/// time (DC-137); never, if it lasts for ever (RFC 8415 §21.4).
const fn renewal(preferred: u32) -> [u32; 2] {
    match preferred {
        u32::MAX => [u32::MAX; 2],
        // Four fifths are the whole without the fifth, rounded up: this does not overflow.
        _ => [preferred / 2, preferred - preferred.div_ceil(5)],
    }
}

fn option(pen: &mut Pen<'_>, code: u16, len: usize) -> Option<()> {
    pen.put(&code.to_be_bytes())?;
    pen.put(&u16::try_from(len).ok()?.to_be_bytes())
}

/// How something ended, without words.
fn end(pen: &mut Pen<'_>, status: u16) -> Option<()> {
    option(pen, code::STATUS, STATUS_LEN - 4)?;
    pen.put(&status.to_be_bytes())
}
