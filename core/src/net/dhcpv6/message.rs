//! A bounded view of a message: options are walked where they lie, to a fixed depth.

use core::net::Ipv6Addr;

use super::{Dhcpv6Error, code, kind};

/// Bytes of type and transaction id.
const HEADER_LEN: usize = 4;

/// Bytes of an option before its value.
const OPTION_LEN: usize = 4;

/// Most identity associations of a message that is answered (DC-136).
pub const ASSOCIATIONS_MAX: usize = 8;

/// A message of a client whose options are legal, whatever it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Its type, of [`kind`] or any other.
    pub kind: u8,
    /// Its transaction id.
    pub transaction: [u8; 3],
    /// Who the client is, if it says so.
    pub client: Option<&'a [u8]>,
    /// Whom it talks to, if it says so.
    pub server: Option<&'a [u8]>,
    /// It takes a reply without being offered one before.
    pub rapid_commit: bool,
    /// It wants DNS servers.
    pub wants_dns: bool,
    /// Identity associations.
    pub associations: usize,
    options: &'a [u8],
}

/// An option that asks for addresses or prefixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Association<'a> {
    /// Its code: [`IA_NA`](code::IA_NA), [`IA_TA`](code::IA_TA) or [`IA_PD`](code::IA_PD).
    pub code: u16,
    /// Its identifier.
    pub id: [u8; 4],
    options: &'a [u8],
}

impl<'a> Message<'a> {
    /// Reads a message: options one after another, and those inside of them.
    ///
    /// # Errors
    /// The rule that it breaks. Nobody answers such a message.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Dhcpv6Error> {
        let short = Dhcpv6Error::Short { len: bytes.len() };
        let (&[kind, a, b, c], options) = bytes.split_first_chunk::<HEADER_LEN>().ok_or(short)?;
        let mut message = Self {
            kind,
            transaction: [a, b, c],
            client: None,
            server: None,
            rapid_commit: false,
            wants_dns: false,
            associations: 0,
            options,
        };
        if kind == kind::RELAY_FORWARD || kind == kind::RELAY_REPLY {
            return Ok(message); // its options begin elsewhere, and nobody reads them (DC-136)
        }
        for option in Options(options) {
            message.add(option?)?;
        }
        Ok(message)
    }

    fn add(&mut self, (code, value): (u16, &'a [u8])) -> Result<(), Dhcpv6Error> {
        let len = Dhcpv6Error::OptionLen { code, len: value.len() };
        let twice = Dhcpv6Error::Twice { code };
        match code {
            code::CLIENT_ID | code::SERVER_ID => {
                if !(3..=130).contains(&value.len()) {
                    return Err(len); // DC-136
                }
                let place =
                    if code == code::CLIENT_ID { &mut self.client } else { &mut self.server };
                if place.replace(value).is_some() {
                    return Err(twice); // DC-136
                }
            }
            code::RAPID_COMMIT if !value.is_empty() => return Err(len), // V6-009
            code::RAPID_COMMIT => self.rapid_commit = true,
            code::ELAPSED_TIME if value.len() != 2 => return Err(len), // V6-009
            code::OPTION_REQUEST => {
                let (codes, rest) = value.as_chunks();
                if !rest.is_empty() {
                    return Err(len); // V6-009
                }
                self.wants_dns |= codes.iter().any(|it| u16::from_be_bytes(*it) == code::DNS);
            }
            code::STATUS if value.len() < 2 => return Err(len), // V6-009
            code::IA_NA | code::IA_TA | code::IA_PD => {
                Association::parse(code, value).ok_or(len)?.check()?;
                self.associations = self.associations.saturating_add(1);
                if self.associations > ASSOCIATIONS_MAX {
                    return Err(Dhcpv6Error::Associations); // DC-136
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// What it asks for, in its order; at most [`ASSOCIATIONS_MAX`].
    pub fn associations(&self) -> impl Iterator<Item = Association<'a>> + use<'a> {
        Options(self.options)
            .filter_map(Result::ok)
            .filter_map(|(code, value)| Association::parse(code, value))
    }
}

impl<'a> Association<'a> {
    fn parse(code: u16, value: &'a [u8]) -> Option<Self> {
        let fixed = match code {
            code::IA_NA | code::IA_PD => 12,
            code::IA_TA => 4,
            _ => return None,
        };
        let (fixed, options) = value.split_at_checked(fixed)?; // V6-009
        Some(Self { code, id: *fixed.first_chunk()?, options })
    }

    /// Looks at the options inside, and at those inside of these. Nothing is deeper.
    fn check(&self) -> Result<(), Dhcpv6Error> {
        for option in Options(self.options) {
            let (code, value) = option?;
            let least = match code {
                code::IA_ADDRESS => 24,
                code::IA_PREFIX => 25,
                code::STATUS => 2,
                _ => continue,
            };
            let len = Dhcpv6Error::OptionLen { code, len: value.len() };
            let (fixed, inner) = value.split_at_checked(least).ok_or(len)?; // V6-009
            if code == code::STATUS {
                continue;
            }
            if code == code::IA_PREFIX && fixed.get(8).is_some_and(|len| *len > 128) {
                return Err(Dhcpv6Error::PrefixLen); // DC-136
            }
            for option in Options(inner) {
                let (code, value) = option?;
                if code == code::STATUS && value.len() < 2 {
                    return Err(Dhcpv6Error::OptionLen { code, len: value.len() }); // V6-009
                }
            }
        }
        Ok(())
    }

    /// The addresses that it has or wants.
    pub fn addresses(self) -> impl Iterator<Item = Ipv6Addr> + use<'a> {
        Options(self.options)
            .filter_map(Result::ok)
            .filter(|(code, _)| *code == code::IA_ADDRESS)
            .filter_map(|(_, value)| value.first_chunk::<16>().map(|it| Ipv6Addr::from(*it)))
    }
}

/// Options, each bounded by what is around it; a cut one is the last.
struct Options<'a>(&'a [u8]);

impl<'a> Iterator for Options<'a> {
    type Item = Result<(u16, &'a [u8]), Dhcpv6Error>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let split = || {
            let (&[c0, c1, l0, l1], rest) = self.0.split_first_chunk::<OPTION_LEN>()?;
            let len = usize::from(u16::from_be_bytes([l0, l1]));
            let (value, rest) = rest.split_at_checked(len)?;
            Some((u16::from_be_bytes([c0, c1]), value, rest))
        };
        let found = split();
        self.0 = found.map_or(&[], |(_, _, rest)| rest);
        Some(found.map(|(code, value, _)| (code, value)).ok_or(Dhcpv6Error::OptionCut)) // V6-009
    }
}
