//! What goes wrong on purpose between both ends.

use std::collections::HashMap;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use vhost_fuzz_backend::event;
use vhost_fuzz_core::vhost_user::{FrontendRequest, HEADER_LEN, Header};
use vhost_fuzz_core::wire::Reader;

use super::Faults;
use super::lane::Piece;
use super::wire::Side;

/// Of a ring, one call of so many is lost.
const LOST: u64 = 5;

/// Calls of a ring that are kept: a back-end may use the one before for a moment longer.
const KEPT: usize = 2;

/// Who stands between a back-end and what it calls a driver with.
#[derive(Debug)]
struct Call {
    ring: Option<u8>,
    /// What the back-end has.
    ours: OwnedFd,
    /// What the front-end waits for.
    theirs: OwnedFd,
}

/// Changes what is passed on.
#[derive(Debug)]
pub(super) struct Tamper {
    faults: Faults,
    calls: Vec<Call>,
    /// Calls so far, by ring.
    heard: HashMap<Option<u8>, u64>,
}

impl Tamper {
    pub(super) fn new(faults: Faults) -> Self {
        Self { faults, calls: Vec::new(), heard: HashMap::new() }
    }

    /// Whether it has to see whole messages.
    pub(super) fn wants_whole(&self) -> bool {
        self.faults.needs_relay()
    }

    /// Changes a message of the main channel that came from `side`, if a fault is about it.
    ///
    /// # Errors
    /// There are no more descriptors.
    pub(super) fn change(&mut self, side: Side, piece: &mut Piece) -> Result<(), Errno> {
        let Some(header) = header(piece) else { return Ok(()) };
        match (side, FrontendRequest(header.code)) {
            (Side::Front, FrontendRequest::SET_VRING_CALL) if self.faults.loses_calls => {
                self.listen(piece)?;
            }
            (Side::Back, FrontendRequest::SET_MEM_TABLE | FrontendRequest::ADD_MEM_REG)
                if self.faults.denies_memory =>
            {
                // Only an acknowledgement is so short: 0 for success.
                if let Some((_, payload)) = piece.bytes.split_first_chunk_mut::<HEADER_LEN>()
                    && let Ok(word) = <&mut [u8; 8]>::try_from(payload)
                {
                    *word = 1_u64.to_ne_bytes();
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Replaces the descriptor that a driver is called by.
    fn listen(&mut self, piece: &mut Piece) -> Result<(), Errno> {
        let ring = piece.bytes.get(HEADER_LEN).copied();
        let [given] = piece.fds.as_mut_slice() else { return Ok(()) };
        let ours = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let theirs = std::mem::replace(given, rustix::io::fcntl_dupfd_cloexec(&ours, 0)?);
        let old = self.calls.iter().filter(|call| call.ring == ring).count();
        if let Some(at) = self.calls.iter().position(|call| call.ring == ring)
            && old >= KEPT
        {
            self.calls.remove(at);
        }
        self.calls.push(Call { ring, ours, theirs });
        Ok(())
    }

    /// What is waited for.
    pub(super) fn calls(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.calls.iter().map(|call| call.ours.as_fd())
    }

    /// The back-end has called: passes it on, but for every fifth of a ring.
    pub(super) fn called(&mut self, at: usize) {
        let Some(call) = self.calls.get(at) else { return };
        // A descriptor that was replaced just now has nothing to say.
        if rustix::io::read(&call.ours, &mut [0; 8]) == Ok(8) {
            let heard = self.heard.entry(call.ring).or_default();
            *heard += 1;
            if !heard.is_multiple_of(LOST) {
                // A front-end that is gone waits for nothing.
                let _ = event::signal(&call.theirs);
            }
        }
    }
}

/// The header of the message that a piece begins with.
pub(super) fn header(piece: &Piece) -> Option<Header> {
    let header = piece.bytes.get(..HEADER_LEN).filter(|_| piece.begins)?;
    Header::read(&mut Reader::new(header)).ok()
}
