//! One ring as the session knows it.

mod state;

pub use state::{Change, Event, Service, State, TRANSITIONS, Transition};

use crate::channel::Notifier;
use crate::vhost_user::payload::VringAddr;

/// What a front-end said about one ring.
#[derive(Debug)]
pub struct Ring<F> {
    pub(super) state: State,
    pub(super) size: u16,
    pub(super) addr: Option<VringAddr>,
    pub(super) base: u32,
    pub(super) endian: Option<Endian>,
    pub(super) kick: Notifier<F>,
    pub(super) call: Notifier<F>,
    pub(super) err: Notifier<F>,
}

/// Byte order of a legacy ring (`SET_VRING_ENDIAN`, VU-113).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endian {
    /// num 0.
    Little,
    /// num 1.
    Big,
}

impl<F> Ring<F> {
    pub(super) const fn new() -> Self {
        Self {
            state: State::INITIAL,
            size: 0,
            addr: None,
            base: 0,
            endian: None,
            kick: Notifier::None,
            call: Notifier::None,
            err: Notifier::None,
        }
    }

    /// Both flags.
    #[must_use]
    #[inline]
    pub const fn state(&self) -> State {
        self.state
    }

    /// Entries (`SET_VRING_NUM`); 0 before it came.
    #[must_use]
    pub const fn size(&self) -> u16 {
        self.size
    }

    /// Addresses as they came last (`SET_VRING_ADDR`).
    #[must_use]
    pub const fn addr(&self) -> Option<&VringAddr> {
        self.addr.as_ref()
    }

    /// Where processing begins or ended (P-BASE), as it came last from either side.
    #[must_use]
    pub const fn base(&self) -> u32 {
        self.base
    }

    /// Byte order, if `SET_VRING_ENDIAN` chose one.
    #[must_use]
    pub const fn endian(&self) -> Option<Endian> {
        self.endian
    }

    /// Where kicks come from.
    #[must_use]
    pub const fn kick(&self) -> &Notifier<F> {
        &self.kick
    }

    /// Where used buffers are signalled: the descriptor given last (VU-103).
    #[must_use]
    pub const fn call(&self) -> &Notifier<F> {
        &self.call
    }

    /// Where errors are signalled.
    #[must_use]
    pub const fn err(&self) -> &Notifier<F> {
        &self.err
    }

    pub(super) const fn happen(&mut self, event: Event) {
        self.state = self.state.after(event);
    }

    /// Back to the initial state. Call and error descriptors stay: front-ends give them once,
    /// before they reset the device (DC-019).
    pub(super) fn reset(&mut self) {
        self.happen(Event::ResetDevice);
        self.size = 0;
        self.addr = None;
        self.base = 0;
        self.endian = None;
        self.kick = Notifier::None;
    }
}
