//! Why a guest cannot go on.

use std::fmt;
use std::io;

use vhost_fuzz_world::driver::{Full, Violation};

/// Why a client cannot go on.
#[derive(Debug)]
pub enum ClientError {
    /// The system, or the time is over.
    Io(io::Error),
    /// The front-end.
    Vhost(vhost::Error),
    /// The front-end's message.
    Message(vhost::vhost_user::Error),
    /// The device did what no driver accepts.
    Violation(Violation),
    /// The device does not offer what was asked for: bits that are missing.
    Missing(u64),
    /// There is no room for what is to be sent.
    Full,
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Vhost(error) => error.fmt(f),
            Self::Message(error) => error.fmt(f),
            Self::Violation(violation) => write!(f, "the device breaks a rule: {violation}"),
            Self::Missing(bits) => write!(f, "the device does not offer {bits:#x}"),
            Self::Full => f.write_str("the queue is full"),
        }
    }
}

impl std::error::Error for ClientError {}

impl From<io::Error> for ClientError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<vhost::Error> for ClientError {
    fn from(error: vhost::Error) -> Self {
        Self::Vhost(error)
    }
}

impl From<vhost::vhost_user::Error> for ClientError {
    fn from(error: vhost::vhost_user::Error) -> Self {
        Self::Message(error)
    }
}

impl From<Violation> for ClientError {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}

impl From<Full> for ClientError {
    fn from(_: Full) -> Self {
        Self::Full
    }
}
