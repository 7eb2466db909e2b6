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
/// Each field was walked once before it was taken in, so it is known to consist of whole options.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Options<'a> {
    options: &'a [u8],
    file: Option<&'a [u8; 128]>,
    server_name: Option<&'a [u8; 64]>,
}

impl<'a> Options<'a> {
    /// Those of a message whose fields were walked: of the two names only the ones with options.
    pub(super) const fn new(
        options: &'a [u8],
        file: Option<&'a [u8; 128]>,
        server_name: Option<&'a [u8; 64]>,
    ) -> Self {
        Self { options, file, server_name }
    }

    /// Every option as it lies there, with its code; pads and ends left out.
    #[inline]
    pub fn iter(self) -> impl Iterator<Item = (u8, &'a [u8])> {
        let mut rest = self.options;
        let mut later = [self.file.map(|it| &it[..]), self.server_name.map(|it| &it[..])];
        core::iter::from_fn(move || {
            loop {
                // The fields were walked before, so nothing is wrong here.
                if let Ok(Some((code, value, behind))) = split(Field::Options, rest) {
                    rest = behind;
                    return Some((code, value));
                }
                rest = later.iter_mut().find_map(Option::take)?;
            }
        })
    }

    /// The value of an option: that of all options with this code together (DH-007).
    #[must_use]
    pub fn get(self, code: u8) -> Option<Value<'a>> {
        let mut pieces = self.iter().filter(|(other, _)| *other == code).map(|(_, piece)| piece);
        let mut seen = Seen::new(pieces.next()?);
        pieces.for_each(|piece| seen.grow(piece));
        Some(seen.within(code, self))
    }
}

impl fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Shows each option of a field to `visit`.
///
/// # Errors
/// When the field does not consist of whole options.
#[inline]
pub(super) fn walk<'a>(
    field: Field,
    bytes: &'a [u8],
    mut visit: impl FnMut(u8, &'a [u8]),
) -> Result<(), DhcpError> {
    let mut rest = bytes;
    while let Some((code, value, behind)) = split(field, rest)? {
        visit(code, value);
        rest = behind;
    }
    Ok(())
}

/// An option: its code, its value, and what is behind it.
type Split<'a> = (u8, &'a [u8], &'a [u8]);

/// The first option of `bytes`. None at the end of the field, whether it says so or just stops
/// there (DH-006).
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

/// What a walk saw of an option: its first piece, and how long all of them are together.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    first: &'a [u8],
    len: usize,
}

impl<'a> Seen<'a> {
    /// The first piece was seen.
    #[inline]
    pub(super) const fn new(first: &'a [u8]) -> Self {
        Self { first, len: first.len() }
    }

    /// One more piece was seen (DH-007).
    #[inline]
    pub(super) const fn grow(&mut self, piece: &[u8]) {
        self.len = self.len.saturating_add(piece.len());
    }

    /// The value of the option with this code, all of which lies in these options.
    #[inline]
    pub(super) const fn within(self, code: u8, options: Options<'a>) -> Value<'a> {
        Value { code, first: self.first, len: self.len, options }
    }

    /// Bytes of all pieces together.
    #[inline]
    pub(super) const fn len(self) -> usize {
        self.len
    }

    /// All of that value, if it has exactly this length.
    #[inline]
    pub(super) fn array<const N: usize>(self, code: u8, options: Options<'a>) -> Option<[u8; N]> {
        if self.first.len() == self.len {
            self.first.try_into().ok()
        } else {
            self.within(code, options).joined()
        }
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

    /// All of it, if it lies in one piece, as nearly every value does.
    #[must_use]
    #[inline]
    pub const fn whole(&self) -> Option<&'a [u8]> {
        if self.first.len() == self.len { Some(self.first) } else { None }
    }

    /// Its pieces, in order.
    pub fn pieces(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let Self { code, options, .. } = *self;
        let whole = self.whole();
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
    #[inline]
    pub fn array<const N: usize>(&self) -> Option<[u8; N]> {
        match self.whole() {
            Some(whole) => whole.try_into().ok(),
            None => self.joined(),
        }
    }

    /// The same of a value in several pieces.
    #[cold]
    fn joined<const N: usize>(&self) -> Option<[u8; N]> {
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
