//! P-CRYPTO: a crypto session (spec §2).

use crate::vhost_user::DecodeError;
use crate::wire::{Reader, Short, Sink};

/// P-CRYPTO: the parameters of a crypto session (1072 bytes).
///
/// The layout holds two C structures over each other; which one applies follows from the
/// operation code. It also holds two raw pointers of the sender, which mean nothing here.
///
/// | Offset | Size | Symmetric | Asymmetric |
/// |---|---|---|---|
/// | 0 | 8 | operation code | same |
/// | 8 | 24 | u32 x 6: cipher algorithm, key length, hash algorithm, hash result length, authentication key length, additional data length | u32 x 3: algorithm, key type, key length; padding; pointer |
/// | 32 | 4 | u8 x 4: operation, direction, hash mode, chain order | u32 padding algorithm |
/// | 36 | 4 | padding | u32 hash algorithm |
/// | 40 | 16 | two pointers | key, 1024 bytes at 40-1063 |
/// | 56 | 64 | cipher key | |
/// | 120 | 512 | authentication key | |
/// | 1064 | 8 | session id, signed | same |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CryptoSession<'a> {
    bytes: &'a [u8; SIZE],
}

/// Bytes on the wire, as an array length.
const SIZE: usize = CryptoSession::LEN as usize;

impl<'a> CryptoSession<'a> {
    /// Bytes on the wire on a 64-bit host.
    pub const LEN: u32 = 1072;
    /// Room for a symmetric cipher key, in bytes.
    pub const CIPHER_KEY_LIMIT: u32 = 64;
    /// Room for an authentication key, in bytes.
    pub const AUTH_KEY_LIMIT: u32 = 512;
    /// Room for an asymmetric key, in bytes.
    pub const ASYMMETRIC_KEY_LIMIT: u32 = 1024;
    /// The operation code that creates an asymmetric session (virtio-crypto service 4,
    /// operation 4). Every other code names a symmetric one.
    pub const CREATE_ASYMMETRIC: u32 = 0x0404;

    /// A session over its encoded bytes.
    #[must_use]
    pub const fn new(bytes: &'a [u8; SIZE]) -> Self {
        Self { bytes }
    }

    /// The operation code: the low half of the first 8 bytes, because one implementation fills
    /// only a u32 and leaves the rest as padding.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the upper half is padding for some")]
    pub fn operation(&self) -> u32 {
        let [first, ..] = self.bytes.as_chunks::<8>().0 else { return 0 };
        u64::from_ne_bytes(*first) as u32
    }

    /// Whether the operation code asks for the asymmetric form.
    #[must_use]
    pub fn is_asymmetric(&self) -> bool {
        self.operation() == Self::CREATE_ASYMMETRIC
    }

    /// Session id at offset 1064: not negative on success (VU-248).
    #[must_use]
    pub fn session_id(&self) -> i64 {
        let [.., last] = self.bytes.as_chunks::<8>().0 else { return -1 };
        i64::from_ne_bytes(*last)
    }

    /// The symmetric cipher key, as long as the message says.
    ///
    /// # Errors
    /// [`DecodeError::CipherKeyLength`] when it says more than there is room for (DC-008).
    pub fn cipher_key(&self) -> Result<&'a [u8], DecodeError> {
        let len = self.word(12);
        self.slice(56, len, Self::CIPHER_KEY_LIMIT)
            .ok_or(DecodeError::CipherKeyLength { len, limit: Self::CIPHER_KEY_LIMIT })
    }

    /// The symmetric authentication key, as long as the message says.
    ///
    /// # Errors
    /// [`DecodeError::AuthKeyLength`] when it says more than there is room for (DC-008).
    pub fn auth_key(&self) -> Result<&'a [u8], DecodeError> {
        let len = self.word(24);
        self.slice(120, len, Self::AUTH_KEY_LIMIT)
            .ok_or(DecodeError::AuthKeyLength { len, limit: Self::AUTH_KEY_LIMIT })
    }

    /// The asymmetric key, as long as the message says.
    ///
    /// # Errors
    /// [`DecodeError::AsymmetricKeyLength`] when it says more than there is room for (DC-008).
    pub fn asymmetric_key(&self) -> Result<&'a [u8], DecodeError> {
        let len = self.word(16);
        self.slice(40, len, Self::ASYMMETRIC_KEY_LIMIT)
            .ok_or(DecodeError::AsymmetricKeyLength { len, limit: Self::ASYMMETRIC_KEY_LIMIT })
    }

    /// Checks the key lengths of the form that the operation code names.
    ///
    /// # Errors
    /// The first key that does not fit in its field.
    pub(crate) fn check_keys(&self) -> Result<(), DecodeError> {
        if self.is_asymmetric() {
            self.asymmetric_key().map(drop)
        } else {
            self.cipher_key()?;
            self.auth_key().map(drop)
        }
    }

    /// All bytes, as they are on the wire.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8; SIZE] {
        self.bytes
    }

    #[inline]
    pub(crate) fn read(r: &mut Reader<'a>) -> Result<Self, Short> {
        r.array_ref().map(|bytes| Self { bytes })
    }

    pub(crate) fn write(&self, sink: &mut impl Sink) {
        sink.put(self.bytes);
    }

    fn word(&self, at: usize) -> u32 {
        let (words, _) = self.bytes.as_chunks::<4>();
        words.get(at / 4).map_or(0, |bytes| u32::from_ne_bytes(*bytes))
    }

    fn slice(&self, at: usize, len: u32, limit: u32) -> Option<&'a [u8]> {
        let len = usize::try_from(len).ok().filter(|_| len <= limit)?;
        self.bytes.get(at..)?.get(..len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(patches: &[(usize, u32)]) -> [u8; 1072] {
        let mut bytes = [0xa5; 1072];
        for (at, value) in [(0, 2), (12, 16), (24, 20), (16, 1024)].iter().chain(patches) {
            bytes[*at..at + 4].copy_from_slice(&value.to_ne_bytes());
        }
        bytes
    }

    #[test]
    fn keys_are_as_long_as_announced() {
        let bytes = session(&[]);
        let session = CryptoSession::new(&bytes);
        assert_eq!(session.operation(), 2);
        assert!(!session.is_asymmetric());
        assert_eq!(session.cipher_key().map(<[u8]>::len), Ok(16));
        assert_eq!(session.auth_key().map(<[u8]>::len), Ok(20));
        assert_eq!(session.asymmetric_key().map(<[u8]>::len), Ok(1024));
    }

    #[test]
    fn a_key_longer_than_its_field_is_refused() {
        let bytes = session(&[(12, 65), (24, 513), (16, 1025)]);
        let session = CryptoSession::new(&bytes);
        assert_eq!(session.cipher_key(), Err(DecodeError::CipherKeyLength { len: 65, limit: 64 }));
        assert_eq!(session.auth_key(), Err(DecodeError::AuthKeyLength { len: 513, limit: 512 }));
        assert_eq!(
            session.asymmetric_key(),
            Err(DecodeError::AsymmetricKeyLength { len: 1025, limit: 1024 })
        );
    }

    #[test]
    fn the_operation_code_chooses_the_form() {
        let bytes = session(&[(0, 0x0404), (12, 65)]);
        assert_eq!(CryptoSession::new(&bytes).check_keys(), Ok(()));
    }
}
