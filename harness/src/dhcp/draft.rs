//! Messages in the making, for seeds, tests and properties.

use std::net::Ipv4Addr;

use vhost_fuzz_core::net::Mac;
use vhost_fuzz_core::net::dhcp::{BROADCAST, Request, kind, option};

use super::{ADDRESS, GUEST, Setup};
use crate::target::dhcp::Record;

/// A message, and how it comes. Without a change it is a broadcast of a guest without an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Seconds since the message before.
    pub seconds: u16,
    /// The station that sends the frame.
    pub ethernet_source: Mac,
    /// IP source.
    pub source: Ipv4Addr,
    /// IP destination.
    pub destination: Ipv4Addr,
    /// UDP destination port.
    pub port: u16,
    /// UDP payload.
    pub payload: Vec<u8>,
}

impl Draft {
    /// A message of a type, and nothing else.
    #[must_use]
    pub fn new(kind: u8) -> Self {
        Self::plain().option(option::KIND, &[kind])
    }

    /// A message without options.
    #[must_use]
    pub fn plain() -> Self {
        let mut payload = vec![1, 1, 6, 0, 0xca, 0xfe, 0xba, 0xbe];
        payload.resize(240, 0);
        payload[28..34].copy_from_slice(&GUEST.0);
        payload[236..].copy_from_slice(&[0x63, 0x82, 0x53, 0x63]);
        Self {
            seconds: 0,
            ethernet_source: GUEST,
            source: Ipv4Addr::UNSPECIFIED,
            destination: Ipv4Addr::BROADCAST,
            port: 67,
            payload,
        }
    }

    /// INIT: who serves here?
    #[must_use]
    pub fn discover() -> Self {
        Self::new(kind::DISCOVER)
    }

    /// SELECTING: the address, of the server of this port.
    #[must_use]
    pub fn selecting(setup: Setup) -> Self {
        Self::new(kind::REQUEST).requested(ADDRESS).server(setup.server())
    }

    /// INIT-REBOOT: the address once more.
    #[must_use]
    pub fn rebooting() -> Self {
        Self::new(kind::REQUEST).requested(ADDRESS)
    }

    /// RENEWING: from the address, to the server.
    #[must_use]
    pub fn renewing(setup: Setup) -> Self {
        let plain = Self::new(kind::REQUEST).ciaddr(ADDRESS).from(ADDRESS);
        Self { destination: setup.server(), ..plain }
    }

    /// REBINDING: from the address, to everybody.
    #[must_use]
    pub fn rebinding() -> Self {
        Self::new(kind::REQUEST).ciaddr(ADDRESS).from(ADDRESS)
    }

    /// Somebody else has the address.
    #[must_use]
    pub fn decline(setup: Setup) -> Self {
        Self::new(kind::DECLINE).requested(ADDRESS).server(setup.server())
    }

    /// The address is given back.
    #[must_use]
    pub fn release(setup: Setup) -> Self {
        let plain = Self::new(kind::RELEASE).ciaddr(ADDRESS).from(ADDRESS).server(setup.server());
        Self { destination: setup.server(), ..plain }
    }

    /// Everything but an address, for a client that has one.
    #[must_use]
    pub fn inform(address: Ipv4Addr) -> Self {
        Self::new(kind::INFORM).ciaddr(address).from(address)
    }

    /// One more option.
    ///
    /// # Panics
    /// When the value has more than 255 bytes.
    #[must_use]
    pub fn option(mut self, code: u8, value: &[u8]) -> Self {
        self.payload.push(code);
        self.payload.push(value.len().try_into().expect("a value of one option"));
        self.payload.extend(value);
        self
    }

    /// Bytes behind the options, as they are.
    #[must_use]
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.payload.extend(bytes);
        self
    }

    /// The end of the options.
    #[must_use]
    pub fn end(self) -> Self {
        self.raw(&[option::END])
    }

    /// Bytes somewhere in the payload.
    ///
    /// # Panics
    /// When the payload ends before them.
    #[must_use]
    pub fn at(mut self, offset: usize, bytes: &[u8]) -> Self {
        self.payload[offset..offset + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// The address that the client has.
    #[must_use]
    pub fn ciaddr(self, address: Ipv4Addr) -> Self {
        self.at(12, &address.octets())
    }

    /// The relay that it came through.
    #[must_use]
    pub fn giaddr(self, address: Ipv4Addr) -> Self {
        self.at(24, &address.octets())
    }

    /// The hardware address.
    #[must_use]
    pub fn chaddr(self, mac: Mac) -> Self {
        self.at(28, &mac.0)
    }

    /// The client takes broadcasts only.
    #[must_use]
    pub fn broadcast(self) -> Self {
        self.at(10, &BROADCAST.to_be_bytes())
    }

    /// IP source.
    #[must_use]
    pub const fn from(mut self, source: Ipv4Addr) -> Self {
        self.source = source;
        self
    }

    /// IP destination.
    #[must_use]
    pub const fn to(mut self, destination: Ipv4Addr) -> Self {
        self.destination = destination;
        self
    }

    /// Option 50.
    #[must_use]
    pub fn requested(self, address: Ipv4Addr) -> Self {
        self.option(option::REQUESTED, &address.octets())
    }

    /// Option 54.
    #[must_use]
    pub fn server(self, address: Ipv4Addr) -> Self {
        self.option(option::SERVER, &address.octets())
    }

    /// So many seconds after the message before.
    #[must_use]
    pub const fn after(mut self, seconds: u16) -> Self {
        self.seconds = seconds;
        self
    }

    /// As a record of an input.
    #[must_use]
    pub fn record(&self) -> Record<'_> {
        let Self { seconds, ethernet_source, source, destination, port, ref payload } = *self;
        Record { seconds, ethernet_source, source, destination, port, payload }
    }

    /// For a server.
    #[must_use]
    pub fn request(&self) -> Request<'_> {
        self.record().request()
    }
}

/// The bytes of an input: a set-up and messages.
#[must_use]
pub fn input(setup: Setup, drafts: &[Draft]) -> Vec<u8> {
    let mut bytes = setup.0.to_vec();
    bytes.extend(drafts.iter().flat_map(|draft| draft.record().encode()));
    bytes
}
