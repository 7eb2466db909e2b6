//! The transfer of a device state (spec §6.9).

/// Where a transfer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum TransferState {
    /// None, or it was refused.
    None,
    /// `SET_DEVICE_STATE_FD` was sent.
    Asked,
    /// It was accepted: data goes over the channel.
    Running,
    /// All data was transferred.
    Ended,
}

/// A transfer with the front-end's end of its channel.
#[derive(Debug)]
pub(super) enum Transfer<F> {
    None,
    Asked(Option<F>),
    Running(Option<F>),
    Ended,
}

impl<F> Transfer<F> {
    pub(super) const fn state(&self) -> TransferState {
        match self {
            // A channel that is merely kept is no transfer yet.
            Self::None => TransferState::None,
            Self::Asked(_) => TransferState::Asked,
            Self::Running(_) => TransferState::Running,
            Self::Ended => TransferState::Ended,
        }
    }

    pub(super) fn keep(&mut self, fd: F) {
        *self = Self::Asked(Some(fd));
    }

    pub(super) fn asked(&mut self) {
        let own = match core::mem::replace(self, Self::None) {
            Self::Asked(own) => own,
            _ => None,
        };
        *self = Self::Asked(own);
    }

    /// The reply came. VU-163: a returned descriptor replaces the own one, which is closed.
    pub(super) fn answered(&mut self, is_accepted: bool, returned: Option<F>) {
        let own = match core::mem::replace(self, Self::None) {
            Self::Asked(own) => own,
            _ => None,
        };
        if is_accepted {
            *self = Self::Running(returned.or(own));
        }
    }

    pub(super) fn end(&mut self) {
        if matches!(self, Self::Running(_)) {
            *self = Self::Ended;
        }
    }

    pub(super) fn checked(&mut self) {
        *self = Self::None;
    }

    pub(super) const fn channel(&self) -> Option<&F> {
        match self {
            Self::Running(channel) => channel.as_ref(),
            Self::None | Self::Asked(_) | Self::Ended => None,
        }
    }
}
