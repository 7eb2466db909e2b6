//! What a front-end gave for the kicks, the calls or the errors of a ring.

/// The kick, call or error descriptor of a ring.
#[derive(Debug, PartialEq, Eq)]
pub enum Notifier<F> {
    /// Nothing was given yet.
    None,
    /// Bit 8 was set: the ring is polled (kick, VU-100), or nobody wants to hear (call, VU-104).
    Flag,
    /// The descriptor given last.
    Fd(F),
}

impl<F> Notifier<F> {
    /// The descriptor, if there is one.
    #[must_use]
    #[inline]
    pub const fn fd(&self) -> Option<&F> {
        match self {
            Self::Fd(fd) => Some(fd),
            Self::None | Self::Flag => None,
        }
    }
}

impl<F> From<Option<F>> for Notifier<F> {
    /// From the descriptor of a message: none means that bit 8 was set.
    #[inline]
    fn from(fd: Option<F>) -> Self {
        fd.map_or(Self::Flag, Self::Fd)
    }
}
