//! Reference models: what the specification says about an input, said a second time.
//!
//! A model is written from `spec/` alone. It uses plain numbers and slices, may be slow, and is
//! dumber than the code under test, whose package it cannot see. Where both agree on an input
//! the harness believes them; where they do not, a person reads the specification.

#![forbid(unsafe_code)]

pub mod channel;
pub mod frontend;
pub mod inflight;
pub mod memory;
pub mod net;
pub mod ring;
pub mod session;
pub mod vhost_user;

use std::fmt;

/// The requirement that an input breaks, by its number in `spec/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Id {
    /// `VU-nnn` of `spec/vhost-user.md`.
    Vu(u16),
    /// `VQ-nnn` of `spec/virtio.md` §7.1.
    Vq(u16),
    /// `PK-nnn` of `spec/virtio.md` §7.2.
    Pk(u16),
    /// `NET-nnn` of `spec/virtio.md` §7.3.
    Net(u16),
    /// `L2-nnn` of `spec/virtio.md` §7.5.
    L2(u16),
    /// `AR-nnn` of `spec/virtio.md` §7.5.
    Ar(u16),
    /// `DH-nnn` of `spec/virtio.md` §7.6.
    Dh(u16),
    /// `V6-nnn` of `spec/virtio.md` §7.7.
    V6(u16),
    /// `DC-nnn` of `spec/decisions.md`.
    Dc(u16),
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (family, number) = match self {
            Self::Vu(number) => ("VU", number),
            Self::Vq(number) => ("VQ", number),
            Self::Pk(number) => ("PK", number),
            Self::Net(number) => ("NET", number),
            Self::L2(number) => ("L2", number),
            Self::Ar(number) => ("AR", number),
            Self::Dh(number) => ("DH", number),
            Self::V6(number) => ("V6", number),
            Self::Dc(number) => ("DC", number),
        };
        write!(f, "{family}-{number:03}")
    }
}

/// What the specification says about an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<T> {
    /// It is legal, and this is what it means.
    Accept(T),
    /// It breaks this requirement before any other.
    Reject(Id),
}
