//! What a client sent (RFC 2131 §2, spec §6.4).

use core::net::Ipv4Addr;

use super::error::DhcpError;
use super::options::{Field, Options, Seen, Value, walk};
use super::{COOKIE, MAX_CLIENT_ID, option};
use crate::net::Mac;

/// Bytes in front of the options, the cookie among them.
pub const HEADER_LEN: usize = 240;

const REQUEST: u8 = 1;
const ETHERNET: u8 = 1;
const ETHERNET_LEN: u8 = 6;

/// What a client sent, in the payload of a UDP datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// What the client finds its answer by.
    pub xid: [u8; 4],
    /// [`BROADCAST`](super::BROADCAST), and bits without a meaning.
    pub flags: u16,
    /// The address that the client has, or 0.
    pub ciaddr: Ipv4Addr,
    /// The address of the relay it came through, or 0.
    pub giaddr: Ipv4Addr,
    /// The hardware address: six bytes, and what follows them.
    pub chaddr: [u8; 16],
    /// What it is for: see [`kind`](super::kind).
    pub kind: u8,
    /// Option 50: the address that the client wants.
    pub requested: Option<Ipv4Addr>,
    /// Option 54: the server that it talks to.
    pub server: Option<Ipv4Addr>,
    /// Option 57: bytes of the longest IP datagram that it takes.
    pub max_size: Option<u16>,
    /// Option 55: the codes of what it wants.
    pub parameters: Option<Value<'a>>,
    /// Option 61: its name, of at most [`MAX_CLIENT_ID`] bytes.
    pub client_id: Option<Value<'a>>,
    /// Option 82: what a relay says, or somebody who would like to be one.
    pub relay: Option<Value<'a>>,
    /// Option 80: it would take an ACK at once.
    pub rapid_commit: bool,
    /// All of its options.
    pub options: Options<'a>,
}

impl<'a> Message<'a> {
    /// Reads a message. Nothing is allocated, and nothing is read twice but options that were
    /// split (DH-051).
    ///
    /// # Errors
    /// The rule that it breaks, in the order of DC-110.
    pub fn parse(payload: &'a [u8]) -> Result<Self, DhcpError> {
        let short = DhcpError::Short { len: payload.len() };
        let (fixed, rest) = payload.split_first_chunk::<44>().ok_or(short)?;
        let (sname, rest) = rest.split_first_chunk::<64>().ok_or(short)?;
        let (file, rest) = rest.split_first_chunk::<128>().ok_or(short)?;
        let (cookie, options) = rest.split_first_chunk::<4>().ok_or(short)?;
        if options.is_empty() {
            return Err(short); // DH-002
        }
        let &[op, htype, hlen, _hops, x0, x1, x2, x3, _, _, f0, f1, ref rest @ ..] = fixed;
        if op != REQUEST {
            return Err(DhcpError::NotARequest { op }); // DH-001
        }
        if htype != ETHERNET || hlen != ETHERNET_LEN {
            return Err(DhcpError::Hardware { htype, hlen }); // DH-003
        }
        if *cookie != COOKIE {
            return Err(DhcpError::Cookie { found: *cookie }); // DH-001
        }
        let &[c0, c1, c2, c3, _, _, _, _, _, _, _, _, g0, g1, g2, g3, ref chaddr @ ..] = rest;
        let mut known = Known::default();
        let options = known.read(options, file, sname)?;
        // The message says what it is for where every parser looks (spec §6.4).
        if !known.has_kind {
            return Err(DhcpError::NoKind); // DH-001
        }
        let [kind] = decisive(option::KIND, known.kind, options)?.ok_or(DhcpError::NoKind)?;
        let requested = decisive(option::REQUESTED, known.requested, options)?;
        let server = decisive(option::SERVER, known.server, options)?;
        if let Some(id) = known.client_id
            && id.len() > MAX_CLIENT_ID
        {
            return Err(DhcpError::ClientId { len: id.len() }); // DC-112
        }
        // Of a wrong length, these are as if they were not there (DH-009).
        let max_size = known.max_size.and_then(|seen| seen.array(option::MAX_SIZE, options));
        let rapid_commit = known.rapid_commit.is_some_and(|seen| seen.len() == 0);
        let value = |code, seen: Option<Seen<'a>>| seen.map(|seen| seen.within(code, options));
        Ok(Self {
            xid: [x0, x1, x2, x3],
            flags: u16::from_be_bytes([f0, f1]),
            ciaddr: Ipv4Addr::new(c0, c1, c2, c3),
            giaddr: Ipv4Addr::new(g0, g1, g2, g3),
            chaddr: *chaddr,
            kind,
            requested: requested.map(<[u8; 4]>::into),
            server: server.map(<[u8; 4]>::into),
            max_size: max_size.map(u16::from_be_bytes),
            parameters: value(option::PARAMETERS, known.parameters),
            client_id: value(option::CLIENT_ID, known.client_id),
            relay: value(option::RELAY, known.relay),
            rapid_commit,
            options,
        })
    }

    /// The hardware address.
    #[must_use]
    #[inline]
    pub const fn mac(&self) -> Mac {
        let [a, b, c, d, e, f, ..] = self.chaddr;
        Mac([a, b, c, d, e, f])
    }
}

/// The value of an option that decides what becomes of the message: its length has to be right.
#[inline]
fn decisive<const N: usize>(
    code: u8,
    seen: Option<Seen<'_>>,
    options: Options<'_>,
) -> Result<Option<[u8; N]>, DhcpError> {
    let Some(seen) = seen else { return Ok(None) };
    match seen.array(code, options) {
        Some(array) => Ok(Some(array)),
        None => Err(DhcpError::Length { code, len: seen.len() }), // DH-009
    }
}

/// The fields `file` and `sname`, if there are options in them.
type Names<'a> = (Option<&'a [u8; 128]>, Option<&'a [u8; 64]>);

/// The options that the server looks at.
#[derive(Clone, Copy, Default)]
struct Known<'a> {
    has_kind: bool,
    kind: Option<Seen<'a>>,
    requested: Option<Seen<'a>>,
    server: Option<Seen<'a>>,
    max_size: Option<Seen<'a>>,
    parameters: Option<Seen<'a>>,
    client_id: Option<Seen<'a>>,
    relay: Option<Seen<'a>>,
    rapid_commit: Option<Seen<'a>>,
    overload: Option<Seen<'a>>,
}

impl<'a> Known<'a> {
    /// Walks the three fields, each once; gives those that count.
    fn read(
        &mut self,
        options: &'a [u8],
        file: &'a [u8; 128],
        sname: &'a [u8; 64],
    ) -> Result<Options<'a>, DhcpError> {
        walk(Field::Options, options, |code, value| self.note(code, value))?;
        self.has_kind = self.kind.is_some();
        let all = Options::new(options, None, None);
        match self.overload {
            None => Ok(all),
            Some(overload) => {
                let fields = overload.array(option::OVERLOAD, all);
                let (file, sname) = self.read_names(fields, file, sname)?;
                Ok(Options::new(options, file, sname))
            }
        }
    }

    /// Walks the names that have options instead: hardly any client sends such a message.
    #[cold]
    fn read_names(
        &mut self,
        fields: Option<[u8; 1]>,
        file: &'a [u8; 128],
        sname: &'a [u8; 64],
    ) -> Result<Names<'a>, DhcpError> {
        // Anything else than 1, 2 and 3 says nothing, and neither do the other fields (DH-008).
        let [fields] = fields.unwrap_or_default();
        let file = matches!(fields, 1 | 3).then_some(file);
        let sname = matches!(fields, 2 | 3).then_some(sname);
        if let Some(bytes) = file {
            walk(Field::File, bytes, |code, value| self.note(code, value))?;
        }
        if let Some(bytes) = sname {
            walk(Field::ServerName, bytes, |code, value| self.note(code, value))?;
        }
        Ok((file, sname))
    }

    /// Notes one more option.
    #[inline]
    fn note(&mut self, code: u8, value: &'a [u8]) {
        let known = match code {
            option::KIND => &mut self.kind,
            option::REQUESTED => &mut self.requested,
            option::SERVER => &mut self.server,
            option::MAX_SIZE => &mut self.max_size,
            option::PARAMETERS => &mut self.parameters,
            option::CLIENT_ID => &mut self.client_id,
            option::RELAY => &mut self.relay,
            option::RAPID_COMMIT => &mut self.rapid_commit,
            option::OVERLOAD => &mut self.overload,
            _ => return,
        };
        match known {
            Some(known) => known.grow(value),
            None => *known = Some(Seen::new(value)),
        }
    }
}
