//! The two flags of a ring and what moves them: the table of spec §6.5.
//!
//! [`TRANSITIONS`] is the only place that says what an event does. The session runs it, a test
//! walks every row from every state, and `cargo xtask figures` draws it.

use core::fmt;

/// The flags of a ring. They are independent of each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct State {
    /// The ring may be processed at all.
    pub started: bool,
    /// Processing has its effects.
    pub enabled: bool,
}

impl State {
    /// Stopped and disabled: how every ring begins (VU-058).
    pub const INITIAL: Self = Self { started: false, enabled: false };

    /// All four, in the order of a binary number with `started` first.
    pub const ALL: [Self; 4] = [
        Self { started: false, enabled: false },
        Self { started: false, enabled: true },
        Self { started: true, enabled: false },
        Self { started: true, enabled: true },
    ];

    /// The state after an event.
    #[must_use]
    #[inline]
    pub const fn after(self, event: Event) -> Self {
        let Transition { started, enabled, .. } = TRANSITIONS[event as usize];
        Self { started: started.apply(self.started), enabled: enabled.apply(self.enabled) }
    }

    /// What a back-end does with the ring.
    #[must_use]
    #[inline]
    pub const fn service(self) -> Service {
        match self {
            Self { started: false, .. } => Service::Idle, // VU-059
            Self { started: true, enabled: false } => Service::Discard, // VU-061
            Self { started: true, enabled: true } => Service::Serve, // VU-064
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let started = if self.started { "started" } else { "stopped" };
        let enabled = if self.enabled { "enabled" } else { "disabled" };
        write!(f, "{started}, {enabled}")
    }
}

/// What a back-end does with a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    /// It does not touch the ring.
    Idle,
    /// It takes what the driver sends and drops it, and gives the driver nothing.
    Discard,
    /// It processes the ring.
    Serve,
}

impl Service {
    /// Whether a network device may put a packet into a receive ring (VU-062).
    #[must_use]
    pub const fn supplies_packets(self) -> bool {
        matches!(self, Self::Serve)
    }

    /// Whether a network device takes packets out of a transmit ring (VU-063).
    #[must_use]
    pub const fn takes_packets(self) -> bool {
        matches!(self, Self::Serve | Self::Discard)
    }

    /// Whether what was taken out of a transmit ring goes on its way (VU-063).
    #[must_use]
    pub const fn forwards_packets(self) -> bool {
        matches!(self, Self::Serve)
    }
}

/// What an event does to one flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// Nothing.
    Keep,
    /// It becomes true.
    Set,
    /// It becomes false.
    Clear,
}

impl Change {
    const fn apply(self, flag: bool) -> bool {
        match self {
            Self::Keep => flag,
            Self::Set => true,
            Self::Clear => false,
        }
    }
}

/// What moves the flags of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// A new connection.
    Connect,
    /// `SET_FEATURES` without bit 30.
    PlainFeatures,
    /// `SET_FEATURES` with bit 30.
    ProtocolFeatures,
    /// `SET_VRING_KICK`, with a descriptor or without.
    SetKick,
    /// `VRING_KICK`, the message.
    KickMessage,
    /// `GET_VRING_BASE` or `GET_VRING_BASE_SKIP_DRAIN`.
    GetBase,
    /// `SET_VRING_ENABLE` with num 1.
    Enable,
    /// `SET_VRING_ENABLE` with num 0.
    Disable,
    /// `RESET_OWNER`.
    ResetOwner,
    /// `RESET_DEVICE`.
    ResetDevice,
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Transition {
    /// What happens.
    pub event: Event,
    /// How people call it.
    pub name: &'static str,
    /// What it does to `started`.
    pub started: Change,
    /// What it does to `enabled`.
    pub enabled: Change,
    /// The requirement in `spec/vhost-user.md`.
    pub rule: u16,
}

macro_rules! transitions {
    ($($event:ident $name:literal, $started:ident, $enabled:ident, $rule:literal;)*) => {
        /// Every event, in the order of [`Event`].
        pub const TRANSITIONS: [Transition; [$($rule),*].len()] = [$(Transition {
            event: Event::$event,
            name: $name,
            started: Change::$started,
            enabled: Change::$enabled,
            rule: $rule,
        }),*];
    };
}

transitions! {
    Connect          "connection",                       Clear, Clear, 58;
    PlainFeatures    "SET_FEATURES without bit 30",      Keep,  Set,   42;
    ProtocolFeatures "SET_FEATURES with bit 30",         Keep,  Keep,  43;
    SetKick          "SET_VRING_KICK",                   Set,   Keep,  65;
    KickMessage      "VRING_KICK",                       Set,   Keep,  219;
    GetBase          "GET_VRING_BASE",                   Clear, Keep,  66;
    Enable           "SET_VRING_ENABLE 1",               Keep,  Set,   109;
    Disable          "SET_VRING_ENABLE 0",               Keep,  Clear, 109;
    ResetOwner       "RESET_OWNER",                      Keep,  Clear, 56;
    ResetDevice      "RESET_DEVICE",                     Clear, Clear, 222;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_the_order_of_the_events() {
        for (at, row) in TRANSITIONS.iter().enumerate() {
            assert_eq!(row.event as usize, at, "{}", row.name);
        }
    }

    #[test]
    fn states_are_in_the_order_of_a_binary_number() {
        for (at, state) in State::ALL.iter().enumerate() {
            assert_eq!(usize::from(state.started) * 2 + usize::from(state.enabled), at);
        }
        assert_eq!(State::default(), State::INITIAL);
    }
}
