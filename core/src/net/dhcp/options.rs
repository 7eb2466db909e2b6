//! The options of a message: three fields that are read in order (RFC 2131 §4.1, RFC 3396).

use core::fmt;

use super::error::DhcpError;
use super::option;

/// Where options can lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// Behind the cookie.
    Options,
    /// In the 128 bytes of the boot file name.
    File,
    /// In the 64 bytes of the server name.
    ServerName,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Options => "options",
            Self::File => "file",
            Self::ServerName => "sname",
        })
    }
}

/// The options of a message, in the order in which they count (DH-007).
///
/// Each field was walked once when it was taken in, so it is known to consist of whole options.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Options<'a> {
    fields: [&'a [u8]; 3],
}

impl<'a> Options<'a> {
    /// Takes in the next field, and shows each of its options to `visit`.
    ///
    /// # Errors
    /// When the field does not consist of whole options.
    pub(super) fn take_in(
        &mut self,
        field: Field,
        bytes: &'a [u8],
        mut visit: impl FnMut(u8, &'a [u8]),
    ) -> Result<(), DhcpError> {
        let mut rest = bytes;
        while let Some((code, value, behind)) = split(field, rest)? {
            visit(code, value);
            rest = behind;
        }
        let [options, file, name] = &mut self.fields;
        *match field {
            Field::Options => options,
            Field::File => file,
            Field::ServerName => name,
        } = bytes;
        Ok(())
    }

    /// Every option as it lies there, with its code; pads and ends left out.
    pub fn iter(self) -> impl Iterator<Item = (u8, &'a [u8])> {
        let fields = [Field::Options, Field::File, Field::ServerName];
        fields.into_iter().zip(self.fields).flat_map(|(field, bytes)| {
            let mut rest = bytes;
            core::iter::from_fn(move || {
                // The fields were walked before, so nothing is wrong here.
                let (code, value, behind) = split(field, rest).ok().flatten()?;
                rest = behind;
                Some((code, value))
            })
        })
    }

    /// The value of an option: that of all options with this code together (DH-007).
    #[must_use]
    pub fn get(self, code: u8) -> Option<Value<'a>> {
        let mut found: Option<Value<'a>> = None;
        for (_, part) in self.iter().filter(|(other, _)| *other == code) {
            match &mut found {
                Some(value) => value.len = value.len.saturating_add(part.len()),
                None => found = Some(Value { code, first: part, len: part.len(), options: self }),
            }
        }
        found
    }
}

impl fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// An option: its code, its value, and what is behind it.
type Split<'a> = (u8, &'a [u8], &'a [u8]);

/// The first option of `bytes`. None at the end of
/// the field, whether it says so or just stops there (DH-006).
#[inline]
fn split(field: Field, bytes: &[u8]) -> Result<Option<Split<'_>>, DhcpError> {
    let mut rest = bytes;
    loop {
        // The code is looked at before its length is read: pads and ends have none.
        let (code, behind) = match rest.split_first() {
            None | Some((&option::END, _)) => return Ok(None),
            Some((&option::PAD, behind)) => {
                rest = behind;
                continue;
            }
            Some((&code, behind)) => (code, behind),
        };
        let Some((&len, behind)) = behind.split_first() else {
            return Err(DhcpError::OptionWithoutLength { field, code }); // DC-110
        };
        return match behind.split_at_checked(len.into()) {
            Some((value, behind)) => Ok(Some((code, value, behind))),
            None => Err(DhcpError::OptionPastField { field, code, len, left: behind.len() }),
        };
    }
}

/// The value of an option, which may lie in several pieces. The bytes are what a client sent:
/// they have no encoding, and no terminator (DH-052).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Value<'a> {
    code: u8,
    first: &'a [u8],
    len: usize,
    options: Options<'a>,
}

impl<'a> Value<'a> {
    /// A value of which the first piece was seen.
    pub(super) const fn new(code: u8, first: &'a [u8]) -> Self {
        Self { code, first, len: first.len(), options: Options { fields: [&[]; 3] } }
    }

    /// One more piece was seen.
    pub(super) const fn grow(&mut self, len: usize) {
        self.len = self.len.saturating_add(len);
    }

    /// All of it lies in these options.
    pub(super) const fn within(mut self, options: Options<'a>) -> Self {
        self.options = options;
        self
    }

    /// The code of the option.
    #[must_use]
    #[inline]
    pub const fn code(&self) -> u8 {
        self.code
    }

    /// Bytes of all pieces together.
    #[must_use]
    #[inline]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// It has no bytes.
    #[must_use]
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Its pieces, in order.
    pub fn pieces(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let Self { code, first, len, options } = *self;
        let whole = (first.len() == len).then_some(first);
        let options = if whole.is_some() { Options::default() } else { options };
        let pieces = options.iter().filter(move |(other, _)| *other == code);
        whole.into_iter().chain(pieces.map(|(_, piece)| piece))
    }

    /// Its bytes, in order.
    pub fn bytes(&self) -> impl Iterator<Item = u8> + use<'a> {
        self.pieces().flatten().copied()
    }

    /// All of it, if it has exactly this length.
    #[must_use]
    pub fn array<const N: usize>(&self) -> Option<[u8; N]> {
        let mut array = [0; N];
        if self.len != N {
            return None;
        }
        for (to, from) in array.iter_mut().zip(self.bytes()) {
            *to = from;
        }
        Some(array)
    }
}

/// Escaped, so that it can stand in a log (DH-052).
impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes().try_for_each(|byte| write!(f, "{}", core::ascii::escape_default(byte)))
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{self}\"")
    }
}
