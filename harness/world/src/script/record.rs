//! The records of a script and their bodies.

use std::borrow::Cow;

use vhost_fuzz_core::vhost_user::{Channel, Direction, Kind};

/// What stands behind a descriptor. Any number is a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FdKind(pub u8);

impl FdKind {
    /// An eventfd.
    pub const EVENTFD: Self = Self(0);
    /// A memfd.
    pub const MEMFD: Self = Self(1);
    /// One end of a socket pair.
    pub const SOCKET: Self = Self(2);
    /// One end of a pipe.
    pub const PIPE: Self = Self(3);
    /// A userfaultfd.
    pub const USERFAULTFD: Self = Self(4);
    /// Something that nobody expects there, such as a directory.
    pub const OTHER: Self = Self(5);
}

/// Who acts on a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Actor {
    /// The driver in the guest.
    Driver,
    /// The device in the back-end.
    Device,
}

/// One thing that happens. Integers are little-endian.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// Kind 1: bytes on a socket, whole messages or pieces. Body: byte 0 has bit 0 for the
    /// back-end channel and bit 1 for the direction of replies; the bytes follow.
    Message {
        /// Channel and direction.
        kind: Kind,
        /// The bytes.
        bytes: Cow<'a, [u8]>,
    },
    /// Kind 2: a descriptor that is attached to the first byte of the next
    /// [`Message`](Self::Message). Body: kind (1), seals (1), size (8).
    Fd {
        /// What it is.
        kind: FdKind,
        /// Seals of a memfd, as the low bits of `F_ADD_SEALS`.
        seals: u8,
        /// Bytes of the file.
        size: u64,
    },
    /// Kind 3: what was sent before and what is sent after are received apart.
    Border,
    /// Kind 4: the control data of the next message is cut by the kernel.
    ControlTruncated,
    /// Kind 5: the peer closes the socket.
    Close,
    /// Kind 6: the peer closes the socket and connects again.
    Reconnect,
    /// Kind 7: somebody writes to guest memory. Body: address (8), bytes.
    GuestWrite {
        /// Guest physical address.
        address: u64,
        /// What is written.
        bytes: Cow<'a, [u8]>,
    },
    /// Kinds 8 and 9: the driver or the device acts on a ring. Body: operation (1), arguments.
    Action {
        /// Who.
        actor: Actor,
        /// What, by the numbers of the target.
        operation: u8,
        /// With what.
        arguments: Cow<'a, [u8]>,
    },
    /// Kind 10: how the next effect ends. Body: 1 for success (1), value (8).
    EffectResult {
        /// Whether it succeeds.
        is_ok: bool,
        /// Its result, or its error number.
        value: u64,
    },
}

impl<'a> Record<'a> {
    /// The record of a kind and a body, if there is one.
    pub(super) fn read(kind: u8, body: &'a [u8]) -> Option<Self> {
        Some(match kind {
            1 => {
                let (&wire, bytes) = body.split_first()?;
                Self::Message { kind: kind_from(wire), bytes: bytes.into() }
            }
            2 => {
                let &[kind, seals, ref size @ ..] = body.first_chunk::<10>()?;
                Self::Fd { kind: FdKind(kind), seals, size: u64::from_le_bytes(*size) }
            }
            3 => Self::Border,
            4 => Self::ControlTruncated,
            5 => Self::Close,
            6 => Self::Reconnect,
            7 => {
                let (address, bytes) = body.split_first_chunk()?;
                Self::GuestWrite { address: u64::from_le_bytes(*address), bytes: bytes.into() }
            }
            8 | 9 => {
                let (&operation, arguments) = body.split_first()?;
                let actor = if kind == 8 { Actor::Driver } else { Actor::Device };
                Self::Action { actor, operation, arguments: arguments.into() }
            }
            10 => {
                let (&[is_ok], value) = body.split_first_chunk()?;
                let value = u64::from_le_bytes(*value.first_chunk()?);
                Self::EffectResult { is_ok: is_ok == 1, value }
            }
            _ => return None,
        })
    }

    /// Writes the body; returns the kind.
    pub(super) fn write(&self, body: &mut Vec<u8>) -> u8 {
        match self {
            Self::Message { kind, bytes } => {
                body.push(kind_to(*kind));
                body.extend(&**bytes);
                1
            }
            Self::Fd { kind, seals, size } => {
                body.extend([kind.0, *seals]);
                body.extend(size.to_le_bytes());
                2
            }
            Self::Border => 3,
            Self::ControlTruncated => 4,
            Self::Close => 5,
            Self::Reconnect => 6,
            Self::GuestWrite { address, bytes } => {
                body.extend(address.to_le_bytes());
                body.extend(&**bytes);
                7
            }
            Self::Action { actor, operation, arguments } => {
                body.push(*operation);
                body.extend(&**arguments);
                match actor {
                    Actor::Driver => 8,
                    Actor::Device => 9,
                }
            }
            Self::EffectResult { is_ok, value } => {
                body.push(u8::from(*is_ok));
                body.extend(value.to_le_bytes());
                10
            }
        }
    }
}

fn kind_from(wire: u8) -> Kind {
    Kind {
        channel: if wire & 1 == 0 { Channel::Main } else { Channel::Backend },
        direction: if wire & 2 == 0 { Direction::Request } else { Direction::Reply },
    }
}

fn kind_to(kind: Kind) -> u8 {
    u8::from(kind.channel == Channel::Backend) | u8::from(kind.direction == Direction::Reply) << 1
}
