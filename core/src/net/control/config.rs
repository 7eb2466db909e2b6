//! What a device is like before a driver says anything.

use core::fmt;

use crate::net::Mac;
use crate::rule::Rule;

/// Most pairs of queues.
pub const PAIRS_MAX: u16 = 0x8000;

/// The least `mtu`, in bytes.
pub const MTU_MIN: u16 = 68;

/// A speed that is not known.
pub const SPEED_UNKNOWN: u32 = u32::MAX;

/// The fastest link, in Mbit/s.
pub const SPEED_MAX: u32 = 0x7fff_ffff;

/// Bytes of the shortest key that a device takes which hashes.
pub const KEY_MIN: u8 = 40;

/// Entries of the shortest table that a device takes which distributes frames.
pub const TABLE_MIN: u16 = 128;

/// Every kind of hash: bit numbers 0 to 8.
pub const HASH_TYPES: u32 = 0x1ff;

/// Both directions at once, or one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Duplex {
    /// One after the other: 0x00.
    Half,
    /// Both at once: 0x01.
    Full,
    /// It is not known: 0xff.
    #[default]
    Unknown,
}

impl Duplex {
    /// The byte of the config space.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::Half => 0x00,
            Self::Full => 0x01,
            Self::Unknown => 0xff,
        }
    }
}

/// What a device can hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hashing {
    /// Bytes of the longest key, at least [`KEY_MIN`].
    pub key_max: u8,
    /// Entries of the longest table, at least [`TABLE_MIN`].
    pub table_max: u16,
    /// The kinds of hash, of [`HASH_TYPES`].
    pub types: u32,
}

impl Default for Hashing {
    /// Every kind, with the shortest key and table that a device may have.
    fn default() -> Self {
        Self { key_max: KEY_MIN, table_max: TABLE_MIN, types: HASH_TYPES }
    }
}

/// What a device is like. It is checked when a [`Control`](super::Control) is made of it, and
/// does not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ControlConfig {
    /// The address that the driver gets: of one station.
    pub mac: Mac,
    /// Bytes of the longest packet, at least [`MTU_MIN`], if the device says so.
    pub mtu: Option<u16>,
    /// Pairs of queues, 1 to [`PAIRS_MAX`].
    pub pairs: u16,
    /// Addresses that are kept of each list of a `MAC_TABLE_SET`.
    pub addresses: u16,
    /// Mbit/s, at most [`SPEED_MAX`], or [`SPEED_UNKNOWN`].
    pub speed: u32,
    /// Both directions at once, or not.
    pub duplex: Duplex,
    /// What it can hash, if anything.
    pub hashing: Option<Hashing>,
}

impl ControlConfig {
    /// One pair of queues and 64 addresses in each list; nothing else is known.
    #[must_use]
    pub const fn new(mac: Mac) -> Self {
        Self {
            mac,
            mtu: None,
            pairs: 1,
            addresses: 64,
            speed: SPEED_UNKNOWN,
            duplex: Duplex::Unknown,
            hashing: None,
        }
    }

    /// What is wrong with it.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.mac.is_group() || self.mac.is_zero() {
            return Err(ConfigError::Mac { mac: self.mac });
        }
        if let Some(mtu) = self.mtu
            && mtu < MTU_MIN
        {
            return Err(ConfigError::Mtu { mtu }); // NET-020
        }
        if !(1..=PAIRS_MAX).contains(&self.pairs) {
            return Err(ConfigError::Pairs { pairs: self.pairs }); // NET-021
        }
        if self.speed > SPEED_MAX && self.speed != SPEED_UNKNOWN {
            return Err(ConfigError::Speed { speed: self.speed });
        }
        match self.hashing {
            Some(Hashing { key_max, .. }) if key_max < KEY_MIN => {
                Err(ConfigError::Key { len: key_max })
            }
            Some(Hashing { table_max, .. }) if table_max < TABLE_MIN => {
                Err(ConfigError::Table { len: table_max })
            }
            Some(Hashing { types, .. }) if types & !HASH_TYPES != 0 => {
                Err(ConfigError::HashTypes { types })
            }
            _ => Ok(()),
        }
    }
}

/// Why a configuration is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConfigError {
    /// The address is not one of a station.
    Mac {
        /// That address.
        mac: Mac,
    },
    /// The MTU is too small.
    Mtu {
        /// Its bytes.
        mtu: u16,
    },
    /// There are no queues, or too many.
    Pairs {
        /// Their pairs.
        pairs: u16,
    },
    /// The speed is none.
    Speed {
        /// In Mbit/s.
        speed: u32,
    },
    /// The longest key is too short.
    Key {
        /// Its bytes.
        len: u8,
    },
    /// The longest table is too short.
    Table {
        /// Its entries.
        len: u16,
    },
    /// There is no such kind of hash.
    HashTypes {
        /// All kinds.
        types: u32,
    },
}

impl ConfigError {
    /// The requirement that was broken.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::Mtu { .. } => Rule::net(20),
            Self::Pairs { .. } => Rule::net(21),
            Self::Mac { .. }
            | Self::Speed { .. }
            | Self::Key { .. }
            | Self::Table { .. }
            | Self::HashTypes { .. } => Rule::dc(149),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mac { mac } => write!(f, "no station has the address {mac}"),
            Self::Mtu { mtu } => write!(f, "an MTU of {mtu}, less than {MTU_MIN}"),
            Self::Pairs { pairs } => write!(f, "{pairs} pairs of queues, not 1 to {PAIRS_MAX}"),
            Self::Speed { speed } => write!(f, "a speed of {speed:#x} Mbit/s"),
            Self::Key { len } => write!(f, "keys of {len} bytes, less than {KEY_MIN}"),
            Self::Table { len } => write!(f, "tables of {len} entries, less than {TABLE_MIN}"),
            Self::HashTypes { types } => write!(f, "kinds of hash {types:#x}"),
        }
        .and_then(|()| write!(f, ": {}", self.rule()))
    }
}

impl core::error::Error for ConfigError {}
