//! Frames into receive buffers (spec §3.5).

use core::ops::Range;

use super::serve::{give, unpop};
use super::{Device, Due};
use crate::memory::LogMemory;
use crate::net::header::{Features, HEADER_LEN_MAX, Port, Receive};
use crate::ring::{AccessError, Broken, Chain, Guest, PopError, Ring, RingMemory, Token};

/// What became of a frame.
pub(super) enum Delivery {
    /// It is in buffers.
    Done,
    /// There is no room for it; no buffer was used up.
    Dropped,
    /// It can be tried again later. No buffer was used up.
    Later {
        /// Nobody else tells when.
        again: bool,
    },
}

/// A receive queue during a wake-up.
pub(super) struct Receiving<'r, R> {
    ring: Option<&'r mut R>,
    /// A buffer was given back in this wake-up.
    has_put: bool,
    broken: Option<Broken>,
}

impl<'r, R: Ring> Receiving<'r, R> {
    pub(super) const fn new(ring: Option<&'r mut R>) -> Self {
        Self { ring, has_put: false, broken: None }
    }

    /// Shows the driver what it received: all of it at once (NET-025).
    pub(super) fn finish(self) -> Due {
        let Self { ring, broken, .. } = self;
        let Some(ring) = ring else { return Due::default() };
        // Buffers are looked for when there is something to put into them.
        match ring.disarm().and_then(|()| ring.publish()) {
            Ok(call) => Due { call, again: false, broken },
            Err(broken) => Due { broken: Some(broken), ..Due::default() },
        }
    }
}

impl Device {
    /// Puts a header, and the reply of so many bytes behind it, into receive buffers.
    #[inline]
    pub(super) fn deliver<R: Ring, B: RingMemory, L: LogMemory + ?Sized>(
        &mut self,
        receiving: &mut Receiving<'_, R>,
        guest: &Guest<'_, B, L>,
        len: usize,
    ) -> Delivery {
        let Receiving { ring: Some(ring), has_put, broken } = receiving else {
            return Delivery::Dropped;
        };
        let put = self.put_frame(*ring, has_put, guest, len);
        match put {
            Ok(delivery) => delivery,
            Err(error) => {
                // What the broken ring is owed it never gets.
                self.buffers.clear();
                *broken = Some(error);
                Delivery::Dropped
            }
        }
    }

    /// Takes a buffer, or with `MRG_RXBUF` as many as are needed. The last is filled as far as the
    /// frame goes, and those before it completely (NET-024).
    #[inline]
    fn put_frame<R: Ring, B: RingMemory, L: LogMemory + ?Sized>(
        &mut self,
        ring: &mut R,
        has_put: &mut bool,
        guest: &Guest<'_, B, L>,
        len: usize,
    ) -> Result<Delivery, Broken> {
        let span = HEADER_LEN_MAX - self.header_len..HEADER_LEN_MAX + len;
        let merges = self.sending.features.has(Features::MRG_RXBUF);
        loop {
            let token = match ring.pop(&mut self.first) {
                Ok(Some(token)) => token,
                Err(PopError::Malformed { token, .. }) => {
                    *has_put = true;
                    self.waste(ring, token)?;
                    continue;
                }
                nothing => return self.leave(ring, nothing, *has_put),
            };
            let room = self.first.writable_bytes();
            if !self.is_useful(&self.first) {
                *has_put = true;
                self.waste(ring, token)?;
                continue;
            }
            if room >= span.len() as u64 {
                return self.fill_one(ring, has_put, guest, span, token);
            }
            if !merges {
                unpop(ring, token)?; // NET-022, NET-026
                return Ok(Delivery::Dropped);
            }
            // It is less than a frame has.
            self.buffers.push((token, u32::try_from(room).unwrap_or(u32::MAX)));
            if let Some(delivery) = self.fill_several(ring, has_put, guest, span.clone())? {
                return Ok(delivery);
            }
        }
    }

    /// Whether a frame can use a buffer at all (NET-027, NET-028).
    #[inline]
    fn is_useful(&self, chain: &Chain) -> bool {
        let merges = self.sending.features.has(Features::MRG_RXBUF);
        chain.readable_bytes() == 0 && (!merges || chain.writable_bytes() >= self.header_len as u64)
    }

    /// A frame that fits into its first buffer.
    #[inline]
    fn fill_one<R: Ring, B: RingMemory, L: LogMemory + ?Sized>(
        &mut self,
        ring: &mut R,
        has_put: &mut bool,
        guest: &Guest<'_, B, L>,
        span: Range<usize>,
        token: Token,
    ) -> Result<Delivery, Broken> {
        let len = u32::try_from(span.len()).unwrap_or(u32::MAX);
        match self.fill_first(guest, span, len, 1) {
            Ok(true) => {
                *has_put = true;
                give(ring, token, len)?; // NET-036
                Ok(Delivery::Done)
            }
            Ok(false) => {
                unpop(ring, token)?; // NET-019
                Ok(Delivery::Dropped)
            }
            Err(error) => {
                self.buffers.push((token, len));
                self.fail(ring, error)
            }
        }
    }

    /// Takes the other buffers of a frame and fills them, fills the first, and gives them back one
    /// after another. Nothing: one of them was of no use, and went back with those before it.
    fn fill_several<R: Ring, B: RingMemory, L: LogMemory + ?Sized>(
        &mut self,
        ring: &mut R,
        has_put: &mut bool,
        guest: &Guest<'_, B, L>,
        span: Range<usize>,
    ) -> Result<Option<Delivery>, Broken> {
        let first = self.buffers.first().map_or(0, |(_, len)| *len);
        let mut at = span.start + first as usize;
        while at < span.end {
            let token = match ring.pop(&mut self.chain) {
                Ok(Some(token)) if self.is_useful(&self.chain) => token,
                Ok(Some(token)) | Err(PopError::Malformed { token, .. }) => {
                    *has_put = true;
                    self.waste(ring, token)?;
                    return Ok(None);
                }
                nothing => return self.leave(ring, nothing, *has_put).map(Some),
            };
            let room = usize::try_from(self.chain.writable_bytes()).unwrap_or(usize::MAX);
            let room = room.min(span.end - at);
            let bytes = self.reply.get(at..at + room).unwrap_or_default();
            let filled = self.chain.writer(guest).write(bytes);
            self.buffers.push((token, u32::try_from(room).unwrap_or(u32::MAX)));
            if let Err(error) = filled {
                return self.fail(ring, error).map(Some);
            }
            at += room;
        }
        let buffers = u16::try_from(self.buffers.len()).unwrap_or(u16::MAX);
        match self.fill_first(guest, span, first, buffers) {
            Ok(true) => {}
            Ok(false) => return self.leave(ring, Ok(None), *has_put).map(Some), // NET-019
            Err(error) => return self.fail(ring, error).map(Some),
        }
        *has_put = true;
        self.buffers.drain(..).try_for_each(|(token, len)| give(ring, token, len))?; // NET-036
        Ok(Some(Delivery::Done))
    }

    /// Writes the first bytes of header and frame to the first buffer. `false`: the driver must
    /// not be given such a frame.
    #[inline]
    fn fill_first<B: RingMemory, L: LogMemory + ?Sized>(
        &mut self,
        guest: &Guest<'_, B, L>,
        span: Range<usize>,
        first: u32,
        buffers: u16,
    ) -> Result<bool, AccessError> {
        // NET-023; what was switched off counts (NET-030), but not for the length of the header.
        let port = Port { features: self.control.offloads(), ..self.sending };
        let frame = self.reply.get(HEADER_LEN_MAX..span.end).unwrap_or_default();
        let Ok(header) = port.receive(frame, &Receive { buffers, ..Receive::default() }) else {
            return Ok(false);
        };
        let front = self.reply.get_mut(span.start..HEADER_LEN_MAX).unwrap_or_default();
        if header.encode(self.sending.features, front).is_err() {
            return Ok(false);
        }
        let end = span.start + first as usize;
        let bytes = self.reply.get(span.start..end).unwrap_or_default();
        self.first.writer(guest).write(bytes)?;
        Ok(true)
    }

    /// There is no buffer: those that were taken are not used up (NET-026).
    #[cold]
    fn leave<R: Ring>(
        &mut self,
        ring: &mut R,
        why: Result<Option<Token>, PopError>,
        has_put: bool,
    ) -> Result<Delivery, Broken> {
        while let Some((token, _)) = self.buffers.pop() {
            unpop(ring, token)?;
        }
        match why {
            // A frame that takes more buffers than a ring has would wait for ever.
            Err(PopError::Yield) if has_put => Ok(Delivery::Later { again: true }),
            Err(PopError::Miss(_)) => Ok(Delivery::Later { again: false }),
            Err(PopError::Broken(broken)) => Err(broken),
            _ => Ok(Delivery::Dropped),
        }
    }

    /// A buffer is not in memory any more.
    #[cold]
    fn fail<R: Ring>(&mut self, ring: &mut R, error: AccessError) -> Result<Delivery, Broken> {
        match (error, self.buffers.pop()) {
            (AccessError::Outside { .. }, Some((token, _))) => {
                self.waste(ring, token).map(|()| Delivery::Dropped)
            }
            (_, last) => {
                if let Some((token, _)) = last {
                    unpop(ring, token)?;
                }
                self.leave(ring, Ok(None), false).map(|_| Delivery::Later { again: false })
            }
        }
    }

    /// Gives back empty a buffer that no frame can use, and those that were taken before it: the
    /// buffers of one frame come one after another (DC-123).
    #[cold]
    fn waste<R: Ring>(&mut self, ring: &mut R, token: Token) -> Result<(), Broken> {
        self.buffers.drain(..).try_for_each(|(token, _)| give(ring, token, 0))?;
        give(ring, token, 0)
    }
}
