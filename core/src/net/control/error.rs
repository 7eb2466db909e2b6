//! Why a command is refused.

use core::fmt;

use crate::net::Mac;
use crate::ring::AccessError;
use crate::rule::Rule;

/// Why a command is answered by ERR. It had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ControlError {
    /// It ends before its data.
    Short {
        /// Bytes that the next field needs.
        need: u64,
        /// Bytes that there are.
        have: u64,
    },
    /// There is no such command.
    Unknown {
        /// Its class.
        class: u8,
        /// Its number.
        command: u8,
    },
    /// The feature that it belongs to was not negotiated.
    NotNegotiated {
        /// Its class.
        class: u8,
        /// Its number.
        command: u8,
    },
    /// A mode is neither on nor off.
    Mode {
        /// The value.
        value: u8,
    },
    /// A list has more addresses than there are bytes for.
    Table {
        /// Those addresses.
        count: u32,
        /// Bytes that there are.
        have: u64,
    },
    /// A driver cannot have that address.
    Address {
        /// That address.
        mac: Mac,
    },
    /// There is no such VLAN.
    Vlan {
        /// Its number.
        vlan: u16,
    },
    /// There are not so many pairs of queues.
    Pairs {
        /// Those pairs.
        pairs: u16,
        /// The pairs that there are.
        max: u16,
    },
    /// Something is to be switched on that was not negotiated.
    Offloads {
        /// All that is to be on.
        bits: u64,
    },
    /// That is no enabled queue for frames.
    Queue {
        /// Its index.
        queue: u16,
    },
    /// A kind of hash is not supported.
    HashTypes {
        /// All kinds that are asked for.
        types: u32,
        /// Those that there are.
        supported: u32,
    },
    /// A table has a size that is no power of two, or too large.
    TableSize {
        /// Its size less 1.
        mask: u16,
        /// Entries that there may be.
        max: usize,
    },
    /// Frames are to go to a queue that is not there, or not enabled.
    Steer {
        /// The pair that it belongs to.
        pair: u16,
    },
    /// The driver cannot send with so many pairs of queues.
    Transmit {
        /// Those pairs.
        pairs: u16,
        /// The pairs that there are.
        max: u16,
    },
    /// A key is too long.
    Key {
        /// Its bytes.
        len: u8,
        /// Bytes that there may be.
        max: u8,
    },
    /// A kind of tunnel is not supported.
    TunnelTypes {
        /// All kinds that are asked for.
        types: u32,
    },
    /// The result does not fit.
    NoRoom {
        /// Bytes of the result.
        need: u64,
        /// Bytes that there are behind the ack.
        have: u64,
    },
}

impl ControlError {
    /// The requirement that was broken.
    #[must_use]
    pub const fn rule(self) -> Rule {
        match self {
            Self::Short { .. } => Rule::net(38),
            Self::Unknown { .. } | Self::NotNegotiated { .. } => Rule::net(39),
            Self::Mode { .. } | Self::Address { .. } | Self::Vlan { .. } => Rule::dc(142),
            Self::Table { .. } => Rule::net(43),
            Self::Pairs { .. } => Rule::net(47),
            Self::Offloads { .. } => Rule::net(52),
            Self::Queue { .. } => Rule::net(50),
            Self::TableSize { .. } | Self::Steer { .. } => Rule::net(48),
            Self::HashTypes { .. }
            | Self::Transmit { .. }
            | Self::Key { .. }
            | Self::TunnelTypes { .. } => Rule::dc(146),
            Self::NoRoom { .. } => Rule::dc(145),
        }
    }
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { need, have } => {
                write!(f, "a field of {need} bytes, and {have} are left")
            }
            Self::Unknown { class, command } => write!(f, "no command {class}.{command}"),
            Self::NotNegotiated { class, command } => {
                write!(f, "the command {class}.{command} was not negotiated")
            }
            Self::Mode { value } => write!(f, "{value} is neither on nor off"),
            Self::Table { count, have } => write!(f, "{count} addresses in {have} bytes"),
            Self::Address { mac } => write!(f, "no station has the address {mac}"),
            Self::Vlan { vlan } => write!(f, "there is no VLAN {vlan}"),
            Self::Pairs { pairs, max } => write!(f, "{pairs} pairs of queues, not 1 to {max}"),
            Self::Offloads { bits } => write!(f, "not all of {bits:#x} was negotiated"),
            Self::Queue { queue } => write!(f, "queue {queue} is not enabled, or not for frames"),
            Self::HashTypes { types, supported } => {
                write!(f, "kinds of hash {types:#x}, and {supported:#x} are supported")
            }
            Self::TableSize { mask, max } => {
                write!(f, "a table with the mask {mask:#x}, and {max} entries fit")
            }
            Self::Steer { pair } => write!(f, "frames cannot go to the pair {pair}"),
            Self::Transmit { pairs, max } => {
                write!(f, "{pairs} pairs of queues to send with, not 1 to {max}")
            }
            Self::Key { len, max } => write!(f, "a key of {len} bytes, more than {max}"),
            Self::TunnelTypes { types } => write!(f, "no tunnel of {types:#x} is supported"),
            Self::NoRoom { need, have } => write!(f, "{need} bytes of result in {have}"),
        }
        .and_then(|()| write!(f, ": {}", self.rule()))
    }
}

impl core::error::Error for ControlError {}

/// Why a command is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// It is answered by ERR.
    Refused(ControlError),
    /// It cannot be answered now.
    Access(AccessError),
}

impl From<ControlError> for Stop {
    fn from(error: ControlError) -> Self {
        Self::Refused(error)
    }
}

impl From<AccessError> for Stop {
    fn from(error: AccessError) -> Self {
        Self::Access(error)
    }
}
