//! What a front-end cannot do itself when its back-end asks for something, and what came of it.

use super::request_error::RequestError;
use crate::frontend::ShmemRange;

/// What a front-end wants after a request of the back-end channel, or after the result of an
/// effect.
#[derive(Debug)]
#[must_use]
pub enum FrontendStep<'a, F> {
    /// Nothing is due; the next request may come.
    Silent,
    /// Send this reply, whole and with one call; then the next request may come.
    Reply(FrontendReply<'a, F>),
    /// Do this and answer with [`Frontend::on_done`](super::Frontend::on_done).
    Need(FrontendEffect<F>),
    /// Close the back-end channel. The main channel lives on.
    Close(RequestError),
}

/// A reply on the back-end channel.
#[derive(Debug, PartialEq, Eq)]
pub struct FrontendReply<'a, F> {
    /// Header and payload.
    pub bytes: &'a [u8],
    /// A descriptor to attach to the first byte.
    pub fd: Option<F>,
    /// Why the request was refused, if it was.
    pub refusal: Option<RequestError>,
}

/// Something that the caller has to do. Handles in it belong to the caller.
#[derive(Debug, PartialEq, Eq)]
pub enum FrontendEffect<F> {
    /// Translate an I/O virtual address and send the update on the main channel; then say
    /// [`FrontendDone::Nothing`]. Where the address has no translation, say so without an update
    /// (VU-214).
    Translate {
        /// The address.
        iova: u64,
        /// Bit 0 read, bit 1 write.
        permissions: u8,
    },
    /// The back-end may not do what the guest wants.
    AccessFailed {
        /// The address.
        iova: u64,
        /// Bit 0 read, bit 1 write.
        permissions: u8,
    },
    /// The configuration space has changed.
    ConfigChanged,
    /// Map the host notifier of a ring; the earlier one is unmapped already (VU-236). Ends in
    /// [`FrontendDone::Mapped`].
    MapNotifier {
        /// The ring.
        index: u32,
        /// The file.
        fd: F,
        /// Where it starts in the file.
        offset: u64,
        /// Bytes: one page.
        size: u64,
    },
    /// A used buffer: interrupt the guest.
    Call {
        /// The ring.
        index: u32,
    },
    /// The back-end cannot go on with a ring.
    RingError {
        /// The ring.
        index: u32,
    },
    /// Ask the back-end that exports an object for it, with `GET_SHARED_OBJECT`. Ends in
    /// [`FrontendDone::Object`].
    FetchObject {
        /// The exporter.
        owner: u32,
        /// UUID as on the wire.
        uuid: [u8; 16],
    },
    /// Map a file into a shared memory region; the range is free. Ends in
    /// [`FrontendDone::Mapped`].
    MapShmem {
        /// Where.
        range: ShmemRange,
        /// The file.
        fd: F,
        /// Where it starts in the file.
        fd_offset: u64,
        /// For writing too (VU-245).
        is_writable: bool,
    },
}

/// What came of an effect that succeeded. Handles in it belong to the front-end from now on.
#[derive(Debug, PartialEq, Eq)]
pub enum FrontendDone<F, M> {
    /// Nothing but success.
    Nothing,
    /// A mapping: dropping it unmaps.
    Mapped(M),
    /// The descriptor of a shared object, or none.
    Object(Option<F>),
}
