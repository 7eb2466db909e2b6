//! Which way a notification goes.

use super::Notifier;

/// One notification, as it is written to a call or an error descriptor: 8 bytes whose value
/// means nothing (VU-015). An eventfd takes the number 1.
pub const NOTIFICATION: [u8; 8] = 1_u64.to_ne_bytes();

/// How a used buffer or a ring error is made known.
#[derive(Debug, PartialEq, Eq)]
pub enum Signal<'a, F> {
    /// Not at all.
    None,
    /// Write [`NOTIFICATION`] to this descriptor.
    Fd(&'a F),
    /// Send `VRING_CALL` or `VRING_ERR` on the back-end channel.
    Message,
}

/// How a ring makes a used buffer (`notifier` is its call) or an error known.
///
/// `is_suspended` tells whether every ring is stopped; `inband` whether `INBAND_NOTIFICATIONS`
/// was negotiated.
#[must_use]
#[inline]
pub const fn signal<F>(
    is_started: bool,
    is_suspended: bool,
    notifier: &Notifier<F>,
    inband: bool,
) -> Signal<'_, F> {
    if !is_started || is_suspended {
        return Signal::None; // VU-074
    }
    match notifier {
        // VU-103, VU-106; also where messages could be sent (VU-266, DC-066).
        Notifier::Fd(fd) => Signal::Fd(fd),
        // VU-104: nobody wants to hear, not by a message either.
        Notifier::Flag => Signal::None,
        Notifier::None if inband => Signal::Message,
        Notifier::None => Signal::None,
    }
}
