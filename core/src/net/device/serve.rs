//! Taking what the driver sends, and what it commands.

use super::deliver::{Delivery, Receiving};
use super::{Device, Due};
use crate::memory::LogMemory;
use crate::net::control::ServeError;
use crate::net::header::HEADER_LEN_MAX;
use crate::ring::{
    AccessError, Broken, Chain, Guest, PopError, PutReason, Ring, RingMemory, Token,
};

/// What becomes of a chain that was taken.
enum Fate {
    /// It goes back, with so many bytes written.
    Back(u32),
    /// It was not taken: memory for it, or room for its answer, will be there later.
    Later {
        /// Nobody else tells when.
        again: bool,
    },
}

impl Device {
    /// A wake-up of a transmit queue: takes what there is, answers it, and asks for kicks. Answers
    /// go to `receive`; without it there is nowhere for them to go. `now_ms` is in milliseconds of
    /// any steady clock.
    ///
    /// What is to be done for the transmit queue, and for the receive queue.
    pub fn serve<T: Ring, R: Ring, B: RingMemory, L: LogMemory + ?Sized>(
        &mut self,
        transmit: &mut T,
        receive: Option<&mut R>,
        guest: &Guest<'_, B, L>,
        now_ms: u64,
    ) -> [Due; 2] {
        let mut receiving = Receiving::new(receive);
        let sent = self.drain(transmit, |device, is_good| {
            device.counters.taken += 1;
            if is_good {
                device.transmit(&mut receiving, guest, now_ms)
            } else {
                device.counters.malformed += 1;
                Fate::Back(0)
            }
        });
        [sent, receiving.finish()]
    }

    /// A wake-up of a transmit queue that is not to be used: takes what there is, and nothing
    /// comes of it (VU-063).
    pub fn discard<T: Ring>(&mut self, transmit: &mut T) -> Due {
        self.drain(transmit, |_, _| Fate::Back(0))
    }

    /// A wake-up of the control queue: obeys, answers, and asks for kicks.
    pub fn command<C: Ring, B: RingMemory, L: LogMemory + ?Sized>(
        &mut self,
        queue: &mut C,
        guest: &Guest<'_, B, L>,
    ) -> Due {
        self.drain(queue, |device, is_good| {
            if !is_good {
                return Fate::Back(0);
            }
            match device.control.serve(&device.chain, guest) {
                Ok(served) => Fate::Back(served.used_len), // NET-036
                Err(ServeError::Access(AccessError::Miss(_))) => Fate::Later { again: false },
                Err(_) => Fate::Back(0), // NET-037
            }
        })
    }

    /// Takes chains until there is none, and asks for kicks. `handle` is told whether the chain is
    /// a good one.
    fn drain<T: Ring>(&mut self, ring: &mut T, handle: impl FnMut(&mut Self, bool) -> Fate) -> Due {
        let drained = self.take_all(ring, handle);
        let published = ring.publish();
        match (drained, published) {
            (Ok(again), Ok(call)) => Due { call, again, broken: None },
            (Err(broken), _) | (_, Err(broken)) => Due { broken: Some(broken), ..Due::default() },
        }
    }

    /// Whether there is more to do, of which no kick will tell.
    fn take_all<T: Ring>(
        &mut self,
        ring: &mut T,
        mut handle: impl FnMut(&mut Self, bool) -> Fate,
    ) -> Result<bool, Broken> {
        loop {
            let (token, is_good) = match ring.pop(&mut self.chain) {
                Ok(Some(token)) => (token, true),
                Ok(None) if ring.arm()? => continue,
                Ok(None) => return Ok(false),
                Err(PopError::Malformed { token, .. }) => (token, false),
                Err(PopError::Yield) => return Ok(true),
                Err(PopError::Miss(_)) => return Ok(false),
                Err(PopError::Broken(broken)) => return Err(broken),
            };
            match handle(self, is_good) {
                Fate::Back(len) => give(ring, token, len)?,
                Fate::Later { again } => {
                    unpop(ring, token)?;
                    return Ok(again);
                }
            }
        }
    }

    /// Answers the frame in the chain that was taken.
    #[inline]
    fn transmit<R: Ring, B: RingMemory, L: LogMemory + ?Sized>(
        &mut self,
        receiving: &mut Receiving<'_, R>,
        guest: &Guest<'_, B, L>,
        now_ms: u64,
    ) -> Fate {
        let Self { gateway, control, sending, counters, sent, reply, chain, .. } = self;
        let writable = chain.writable_bytes();
        let sent = match copy(chain, guest, sent) {
            Ok(sent) => sent,
            Err(AccessError::Miss(_)) => return Fate::Later { again: false },
            Err(_) => {
                counters.malformed += 1;
                return Fate::Back(0);
            }
        };
        let Ok(sent) = sending.transmit(sent, writable) else {
            counters.malformed += 1;
            return Fate::Back(0);
        };
        if sent.segments.is_some() {
            return Fate::Back(0); // Nothing that a gateway answers is cut.
        }
        let room = reply.get_mut(HEADER_LEN_MAX..).unwrap_or_default();
        let len = match gateway.answer(sent.frame, sent.transport(), now_ms, room) {
            Ok(Some(len)) => len,
            Ok(None) => return Fate::Back(0),
            Err(_) => {
                counters.refused += 1;
                return Fate::Back(0);
            }
        };
        if !room.get(..len).is_some_and(|reply| control.accepts(reply)) {
            counters.filtered += 1; // NET-042, NET-044
            return Fate::Back(0);
        }
        match self.deliver(receiving, guest, len) {
            Delivery::Done => self.counters.delivered += 1,
            Delivery::Dropped => self.counters.dropped += 1, // NET-026
            Delivery::Later { again } => return Fate::Later { again },
        }
        Fate::Back(0) // NET-036
    }
}

/// Copies what a driver sends out of guest memory, once: what is judged is what is used. Of what
/// is longer than any frame comes so much that it is judged so (DC-160).
#[inline]
fn copy<'s, B: RingMemory, L: LogMemory + ?Sized>(
    chain: &Chain,
    guest: &Guest<'_, B, L>,
    sent: &'s mut [u8],
) -> Result<&'s [u8], AccessError> {
    let len = usize::try_from(chain.readable_bytes()).unwrap_or(usize::MAX).min(sent.len());
    let sent = sent.get_mut(..len).unwrap_or_default();
    chain.reader(guest).read(sent)?;
    Ok(sent)
}

/// Gives a buffer back.
#[inline]
pub(super) fn give<R: Ring>(ring: &mut R, token: Token, len: u32) -> Result<(), Broken> {
    ring.put(token, len).or_else(|error| only_broken(error.reason))
}

/// Takes back that a buffer was taken.
#[inline]
pub(super) fn unpop<R: Ring>(ring: &mut R, token: Token) -> Result<(), Broken> {
    ring.unpop(token).or_else(|error| only_broken(error.reason))
}

/// The only reason that there can be: the device gives back what it took, in the order in which
/// it took it, no longer than it is.
#[cold]
fn only_broken(reason: PutReason) -> Result<(), Broken> {
    match reason {
        PutReason::Broken(broken) => Err(broken),
        reason => {
            debug_assert!(false, "the device gives a buffer back wrongly: {reason:?}");
            Ok(())
        }
    }
}
