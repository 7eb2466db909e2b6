//! The vhost-user protocol: messages on a unix stream socket, with file descriptors attached.
//!
//! A [`Framer`] cuts whole messages out of a stream of bytes and descriptors; a [`Message`] is
//! one of them decoded. [`ROWS`](request::FRONTEND) list every request with the shape of its
//! payload, its descriptors and its reply, and everything else follows those rows.
//!
//! All integers are in the machine's own byte order (VU-002): both ends run on one host.

mod decode;
mod display;
mod error;
pub mod features;
mod framer;
pub mod gate;
mod header;
mod message;
pub mod payload;
pub mod request;

pub use error::{DecodeError, EncodeError, FrameError, HeaderError};
pub use framer::{Frame, Framer, Segment};
pub use header::{Flags, HEADER_LEN, Header};
pub use message::{Layout, Message};
pub use payload::Payload;
pub use request::{BackendRequest, FrontendRequest, Row};

/// Most descriptors that one message may carry: a memory table of 8 regions (DC-004).
pub const MAX_FDS: usize = 8;

/// Most regions in one memory table (spec §2 P-MEMTABLE, VU-129).
pub const MAX_REGIONS: u32 = 8;

/// Payload limit that admits every message of the specification; the largest is the
/// `GET_SHMEM_CONFIG` reply with 2056 bytes (spec §1.4, DC-001).
pub const DEFAULT_PAYLOAD_LIMIT: u32 = 4096;

/// Which socket a message travels on. The two have separate id spaces (spec §1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// The front-end sends requests and the back-end replies.
    Main,
    /// The back-end sends requests and the front-end replies (`SET_BACKEND_REQ_FD`).
    Backend,
}

/// Whether a message asks or answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Flags bit 2 is clear.
    Request,
    /// Flags bit 2 is set.
    Reply,
}

/// What the receiver expects next on a socket: together they fix how bytes are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kind {
    /// The socket.
    pub channel: Channel,
    /// Request or reply.
    pub direction: Direction,
}

impl Kind {
    /// A front-end's request on the main channel.
    pub const FRONTEND_REQUEST: Self =
        Self { channel: Channel::Main, direction: Direction::Request };
    /// A back-end's reply on the main channel.
    pub const BACKEND_REPLY: Self = Self { channel: Channel::Main, direction: Direction::Reply };
    /// A back-end's request on the back-end channel.
    pub const BACKEND_REQUEST: Self =
        Self { channel: Channel::Backend, direction: Direction::Request };
    /// A front-end's reply on the back-end channel.
    pub const FRONTEND_REPLY: Self =
        Self { channel: Channel::Backend, direction: Direction::Reply };
    /// All four.
    pub const ALL: [Self; 4] =
        [Self::FRONTEND_REQUEST, Self::BACKEND_REPLY, Self::BACKEND_REQUEST, Self::FRONTEND_REPLY];
}
