//! A server for one port (spec §6.5).

use core::net::Ipv4Addr;

use arrayvec::ArrayVec;

use super::config::{Config, ConfigError, INFINITE, is_host};
use super::error::{DhcpError, Silence};
use super::message::Message;
use super::options::Value;
use super::parameters::Parameters;
use super::reply::{Writer, echo_len};
use super::{
    BROADCAST, CLIENT_PORT, COOKIE, DATAGRAM_HEADERS, MAX_CLIENT_ID, MIN_DATAGRAM, SERVER_PORT,
    kind, option,
};
use crate::net::Mac;

/// A message, and how it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The payload of the UDP datagram.
    pub payload: &'a [u8],
    /// The station that sent the frame.
    pub ethernet_source: Mac,
    /// The address that the datagram came from.
    pub source: Ipv4Addr,
    /// The address that it is for.
    pub destination: Ipv4Addr,
    /// The UDP port that it is for.
    pub port: u16,
}

/// An answer, and where it goes. It comes from [`SERVER_PORT`] and from the address of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Bytes of UDP payload, at the front of the caller's buffer.
    pub len: usize,
    /// OFFER, ACK or NAK: see [`kind`].
    pub kind: u8,
    /// The address that it goes to; never 0.0.0.0 (DH-055).
    pub destination: Ipv4Addr,
    /// The UDP port that it goes to.
    pub port: u16,
    /// The station that it goes to.
    pub mac: Mac,
}

/// What becomes of a legal message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is answered.
    Answer(Answer),
    /// It is not.
    Silent(Silence),
}

/// Who a client is: the name that it sends, else its hardware address (DH-037).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::large_enum_variant, reason = "there are two of them, and nothing is allocated")]
pub enum Client {
    /// The value of option 61, byte for byte.
    Id(ArrayVec<u8, MAX_CLIENT_ID>),
    /// The hardware address.
    Hardware(Mac),
}

impl Client {
    fn of(message: &Message<'_>) -> Self {
        match message.client_id {
            Some(id) => Self::Id(name(id)),
            None => Self::Hardware(message.mac()),
        }
    }

    /// The same in the place of who was there; only as much is moved as the client has.
    fn replace(place: &mut Option<Self>, message: &Message<'_>) {
        match message.client_id {
            Some(id) => *place = Some(Self::Id(name(id))),
            None => *place = Some(Self::Hardware(message.mac())),
        }
    }
}

/// The name of a client. A message with a longer one is not read (DC-112).
fn name(id: Value<'_>) -> ArrayVec<u8, MAX_CLIENT_ID> {
    match id.whole() {
        Some(whole) => whole.try_into().unwrap_or_default(),
        None => id.bytes().take(MAX_CLIENT_ID).collect(),
    }
}

/// The lease of a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Who has it.
    pub client: Client,
    /// When it ends, in milliseconds of the caller's clock; never, if none.
    pub until_ms: Option<u64>,
}

/// The server of a port. Its state does not grow: one lease, one offer (DH-050).
#[derive(Clone, Debug)]
pub struct Server {
    config: Config,
    parameters: Parameters,
    offer: Option<Client>,
    lease: Option<Lease>,
    /// Milliseconds until which a declined address is held back.
    held_until_ms: Option<u64>,
    declines: u64,
}

/// What an answer says besides the options.
#[derive(Clone, Copy)]
struct Reply {
    kind: u8,
    /// What the client says of its own address, as far as it counts.
    ciaddr: Ipv4Addr,
    yiaddr: Ipv4Addr,
    /// For an OFFER or an ACK that gives an address: there is a lease time.
    has_lease: bool,
    is_rapid: bool,
    /// For a person who reads a trace of a NAK.
    text: &'static str,
}

/// What the answer to a message changes.
enum Change {
    Nothing,
    Offer,
    Lease,
}

const NONE: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

impl Server {
    /// A server without offer and lease.
    ///
    /// # Errors
    /// When the configuration makes no sense.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.check()?;
        let parameters = Parameters::of(&config)?;
        let (offer, lease, held_until_ms, declines) = (None, None, None, 0);
        Ok(Self { config, parameters, offer, lease, held_until_ms, declines })
    }

    /// What it hands out.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The lease that runs.
    #[must_use]
    pub fn lease(&self, now_ms: u64) -> Option<&Lease> {
        self.lease.as_ref().filter(|lease| lease.until_ms.is_none_or(|until| now_ms < until))
    }

    /// Whom the address was offered to, if that client has not answered yet.
    #[must_use]
    pub const fn offered_to(&self) -> Option<&Client> {
        self.offer.as_ref()
    }

    /// How often the address was declined: somebody else seems to have it (DH-033).
    #[must_use]
    pub const fn declines(&self) -> u64 {
        self.declines
    }

    /// Takes a message, and writes what is to be said to it to the front of `out`.
    ///
    /// # Errors
    /// When the message is malformed, or nothing that the guest may send. The server is then as
    /// before.
    pub fn handle(
        &mut self,
        request: &Request<'_>,
        now_ms: u64,
        out: &mut [u8],
    ) -> Result<Outcome, DhcpError> {
        if request.port != SERVER_PORT {
            return Ok(Outcome::Silent(Silence::Port { port: request.port })); // DH-056
        }
        // Parsed messages are large: this one is not moved.
        let parsed = Message::parse(request.payload);
        let message = parsed.as_ref().map_err(|error| *error)?;
        let Request { destination, .. } = *request;
        if destination != self.config.server && !destination.is_broadcast() {
            return Ok(Outcome::Silent(Silence::Destination { destination })); // DH-046
        }
        self.check_sender(request, message)?;
        if self.held_until_ms.is_some_and(|until| now_ms >= until) {
            self.held_until_ms = None;
        }
        let decided = match message.kind {
            kind::DISCOVER => self.discover(message),
            kind::REQUEST => self.request(request, message),
            kind::DECLINE => Err(self.decline(message, now_ms)),
            kind::RELEASE => Err(self.release(message)),
            kind::INFORM => inform(message),
            kind => Err(Silence::Kind { kind }), // DH-049
        };
        let (reply, change) = match decided {
            Ok(decided) => decided,
            Err(silence) => return Ok(Outcome::Silent(silence)),
        };
        let len = self.write(message, &reply, out)?;
        match change {
            Change::Nothing => {}
            Change::Offer => Client::replace(&mut self.offer, message),
            Change::Lease => self.commit(message, now_ms),
        }
        let (destination, port, mac) = place(request, message, &reply);
        Ok(Outcome::Answer(Answer { len, kind: reply.kind, destination, port, mac }))
    }

    /// Whether the guest may send such a message at all.
    fn check_sender(&self, request: &Request<'_>, message: &Message<'_>) -> Result<(), DhcpError> {
        let (source, giaddr) = (request.source, message.giaddr);
        let is_relayed = !giaddr.is_unspecified();
        if is_relayed && !self.config.serves_relays {
            return Err(DhcpError::Relayed { relay: giaddr }); // DH-048
        }
        let own = [NONE, self.config.address, believed(message)];
        let is_own = own.contains(&source) || (is_relayed && source == giaddr);
        if !is_own {
            return Err(DhcpError::Source { source }); // DH-047
        }
        let address = message.mac();
        if address.is_group() || address.is_zero() {
            return Err(DhcpError::NoStation { address }); // DC-113
        }
        if let Some(guest) = self.config.guest
            && let Some(&address) =
                [address, request.ethernet_source].iter().find(|address| **address != guest)
        {
            return Err(DhcpError::Stranger { address }); // DC-114
        }
        Ok(())
    }

    /// There is only one address to offer, whatever the client would like (DH-021, DH-023), and
    /// only one guest to offer it to, whoever it says that it is (DH-022, DC-116).
    fn discover(&self, message: &Message<'_>) -> Result<(Reply, Change), Silence> {
        if self.held_until_ms.is_some() {
            return Err(Silence::Held); // DH-034
        }
        let is_rapid = message.rapid_commit && self.config.commits_rapidly; // DH-053
        let (kind, change) =
            if is_rapid { (kind::ACK, Change::Lease) } else { (kind::OFFER, Change::Offer) };
        let yiaddr = self.config.address;
        Ok((Reply { kind, ciaddr: NONE, yiaddr, has_lease: true, is_rapid, text: "" }, change))
    }

    /// The order of spec §6.5 (DH-054).
    fn request(
        &mut self,
        request: &Request<'_>,
        message: &Message<'_>,
    ) -> Result<(Reply, Change), Silence> {
        let other = message.server.filter(|server| *server != self.config.server);
        let ciaddr = message.ciaddr;
        match message.requested {
            // SELECTING
            Some(requested) if message.server.is_some() => match other {
                Some(server) => {
                    self.offer = None;
                    Err(Silence::TookAnother { server }) // DH-024
                }
                None => Ok(self.grant(requested, NONE)), // DH-026
            },
            // RENEWING and REBINDING
            _ if !ciaddr.is_unspecified() => {
                let is_broadcast = request.destination.is_broadcast();
                if let Some(server) = other {
                    Err(Silence::RenewsElsewhere { server }) // DH-029
                } else if is_broadcast
                    && ciaddr != self.config.address
                    && !self.config.is_authoritative
                {
                    Err(Silence::NotOurs { address: ciaddr }) // DH-031
                } else {
                    Ok(self.grant(ciaddr, ciaddr)) // DH-030
                }
            }
            // INIT-REBOOT
            Some(requested) => Ok(self.grant(requested, NONE)), // DH-027
            None => Err(Silence::Nothing),
        }
    }

    /// ACK or NAK, by the address that a client wants.
    fn grant(&self, wanted: Ipv4Addr, ciaddr: Ipv4Addr) -> (Reply, Change) {
        let yiaddr = self.config.address;
        let text = if !self.config.is_in_network(wanted) {
            "wrong network" // DH-028
        } else if wanted != yiaddr {
            "wrong address"
        } else if self.held_until_ms.is_some() {
            "declined" // DH-025
        } else {
            let ack = Reply {
                kind: kind::ACK,
                ciaddr,
                yiaddr,
                has_lease: true,
                is_rapid: false,
                text: "",
            };
            return (ack, Change::Lease);
        };
        // DH-016
        let nak = Reply {
            kind: kind::NAK,
            ciaddr: NONE,
            yiaddr: NONE,
            has_lease: false,
            is_rapid: false,
            text,
        };
        (nak, Change::Nothing)
    }

    fn decline(&mut self, message: &Message<'_>, now_ms: u64) -> Silence {
        let ours = (Some(self.config.address), Some(self.config.server));
        if (message.requested, message.server) != ours {
            return Silence::DeclinedElsewhere; // DC-120
        }
        (self.offer, self.lease) = (None, None);
        self.held_until_ms = Some(now_ms.saturating_add(self.config.hold_ms)); // DH-034
        self.declines = self.declines.saturating_add(1);
        Silence::Declined
    }

    fn release(&mut self, message: &Message<'_>) -> Silence {
        let is_ours = message.server == Some(self.config.server)
            && message.ciaddr == self.config.address
            && self.lease.as_ref().is_some_and(|lease| lease.client == Client::of(message));
        if !is_ours {
            return Silence::NotReleased; // DH-035
        }
        self.lease = None;
        Silence::Released
    }

    fn commit(&mut self, message: &Message<'_>, now_ms: u64) {
        let lease_ms = u64::from(self.config.lease).saturating_mul(1000);
        let is_finite = self.config.lease != INFINITE; // DH-038
        let until_ms = is_finite.then_some(now_ms.saturating_add(lease_ms));
        self.offer = None;
        self.lease = Some(Lease { client: Client::of(message), until_ms });
    }

    /// Writes an answer; returns its length.
    fn write(
        &self,
        message: &Message<'_>,
        reply: &Reply,
        out: &mut [u8],
    ) -> Result<usize, DhcpError> {
        let is_nak = reply.kind == kind::NAK;
        let limit = message.max_size.unwrap_or(0).max(MIN_DATAGRAM).min(self.config.mtu);
        // One byte is for the end.
        let limit = usize::from(limit).saturating_sub(DATAGRAM_HEADERS + 1); // DH-041
        let mut writer = Writer::new(out)?;
        self.write_header(message, reply, &mut writer)?;
        writer.option(option::KIND, [reply.kind])?; // DH-011
        writer.option(option::SERVER, self.config.server.octets())?;
        if reply.has_lease {
            writer.option(option::LEASE, self.config.lease.to_be_bytes())?; // DH-012
        }
        if reply.is_rapid {
            writer.option(option::RAPID_COMMIT, [])?; // DH-053
        }
        if is_nak {
            let len = u8::try_from(reply.text.len()).unwrap_or(u8::MAX);
            writer.put(&[option::TEXT, len])?;
            writer.put(reply.text.as_bytes())?;
        }
        if let Some(id) = message.client_id {
            writer.echo(id)?; // DH-014
        }
        if !is_nak {
            let room = limit.saturating_sub(writer.len());
            self.parameters.write(message, reply.has_lease, room, &mut writer)?;
        }
        if let Some(relay) = message.relay
            && echo_len(relay) <= limit.saturating_sub(writer.len())
        {
            writer.echo(relay)?; // DH-015
        }
        writer.end()
    }

    /// What is in front of the options (DH-010).
    fn write_header(
        &self,
        message: &Message<'_>,
        reply: &Reply,
        writer: &mut Writer<'_>,
    ) -> Result<(), DhcpError> {
        let is_nak = reply.kind == kind::NAK;
        let siaddr = if is_nak { NONE } else { self.config.next_server };
        // A relay hands a NAK to everybody (DH-018).
        let is_relayed_nak = is_nak && !message.giaddr.is_unspecified();
        let flags = message.flags | if is_relayed_nak { BROADCAST } else { 0 };
        let [f0, f1] = flags.to_be_bytes();
        let [ciaddr, yiaddr, siaddr, giaddr] =
            [reply.ciaddr, reply.yiaddr, siaddr, message.giaddr].map(|it| it.octets());
        let words = [[2, 1, 6, 0], message.xid, [0, 0, f0, f1], ciaddr, yiaddr, siaddr, giaddr];
        writer.put(words.as_flattened())?;
        writer.put(&message.chaddr)?;
        writer.skip(64 + 128);
        writer.put(&COOKIE)
    }
}

/// The address that a client says it has, where it may say so: before it has one, whatever it
/// says counts as nothing (DH-055, DC-115).
fn believed(message: &Message<'_>) -> Ipv4Addr {
    let is_selecting =
        message.kind == kind::REQUEST && message.requested.is_some() && message.server.is_some();
    if message.kind == kind::DISCOVER || is_selecting { NONE } else { message.ciaddr }
}

/// Everything but an address, without a look at leases (DH-036).
fn inform(message: &Message<'_>) -> Result<(Reply, Change), Silence> {
    let ciaddr = message.ciaddr;
    if ciaddr.is_unspecified() {
        return Err(Silence::NoAddress);
    }
    if !is_host(ciaddr) {
        return Err(Silence::Unusable { address: ciaddr }); // DC-119
    }
    let ack = Reply {
        kind: kind::ACK,
        ciaddr,
        yiaddr: NONE,
        has_lease: false,
        is_rapid: false,
        text: "",
    };
    Ok((ack, Change::Nothing))
}

/// Where an answer goes: address, port and station (DH-019).
fn place(request: &Request<'_>, message: &Message<'_>, reply: &Reply) -> (Ipv4Addr, u16, Mac) {
    let is_relayed = !message.giaddr.is_unspecified();
    if is_relayed {
        // What comes from a relay goes back the way it came. Only who informs is told directly.
        return match message.kind {
            kind::INFORM => (reply.ciaddr, CLIENT_PORT, request.ethernet_source),
            _ => (message.giaddr, SERVER_PORT, request.ethernet_source),
        };
    }
    if reply.kind == kind::NAK {
        return (Ipv4Addr::BROADCAST, CLIENT_PORT, Mac::BROADCAST); // DH-017
    }
    if !reply.ciaddr.is_unspecified() {
        return (reply.ciaddr, CLIENT_PORT, message.mac());
    }
    if message.flags & BROADCAST != 0 {
        return (Ipv4Addr::BROADCAST, CLIENT_PORT, Mac::BROADCAST); // DH-020
    }
    (reply.yiaddr, CLIENT_PORT, message.mac())
}
