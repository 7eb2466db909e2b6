//! Frames into receive buffers (spec §3.5).

use super::serve::{give, unpop};
use super::{Device, Due};
use crate::memory::LogMemory;
use crate::net::header::{Features, HEADER_LEN_MAX, Port, Receive};
use crate::ring::{AccessError, Broken, Guest, PopError, Ring, RingMemory, Token};

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
        self.buffers.clear();
        put.unwrap_or_else(|error| {
            *broken = Some(error);
            Delivery::Dropped
        })
    }

    /// Takes as many buffers as it needs, fills all but the first, fills that one, and gives them
    /// back one after another.
    #[inline]
    fn put_frame<R: Ring, B: RingMemory, L: LogMemory + ?Sized>(
        &mut self,
        ring: &mut R,
        has_put: &mut bool,
        guest: &Guest<'_, B, L>,
        len: usize,
    ) -> Result<Delivery, Broken> {
        let header_len = self.control.features().header_len();
        let start = HEADER_LEN_MAX - header_len;
        let end = HEADER_LEN_MAX + len;
        let mut at = start;
        while at < end {
            let is_first = self.buffers.is_empty();
            let chain = if is_first { &mut self.first } else { &mut self.chain };
            let token = match ring.pop(chain) {
                Ok(Some(token)) => token,
                Err(PopError::Malformed { token, .. }) => {
                    self.waste(ring, token)?;
                    (*has_put, at) = (true, start);
                    continue;
                }
                nothing => return self.leave(ring, nothing, *has_put),
            };
            let (readable, writable) = (chain.readable_bytes(), chain.writable_bytes());
            let room = usize::try_from(writable).unwrap_or(usize::MAX).min(end - at);
            let merges = self.control.features().has(Features::MRG_RXBUF);
            if readable > 0 || merges && writable < header_len as u64 {
                self.waste(ring, token)?; // NET-027, NET-028
                (*has_put, at) = (true, start);
                continue;
            }
            if !merges && room < end - at {
                unpop(ring, token)?; // NET-022, NET-026
                return Ok(Delivery::Dropped);
            }
            let bytes = self.reply.get(at..at + room).unwrap_or_default();
            let filled = if is_first { Ok(0) } else { chain.writer(guest).write(bytes) };
            // Buffers are filled completely, the last as far as the frame goes (NET-024).
            self.buffers.push((token, u32::try_from(room).unwrap_or(u32::MAX)));
            if let Err(error) = filled {
                return self.fail(ring, error);
            }
            at += room;
        }
        match self.fill_first(guest, start, end) {
            Ok(true) => {}
            Ok(false) => return self.leave(ring, Ok(None), *has_put), // NET-019
            Err(error) => return self.fail(ring, error),
        }
        *has_put = true;
        self.buffers.drain(..).try_for_each(|(token, len)| give(ring, token, len))?; // NET-036
        Ok(Delivery::Done)
    }

    /// Writes header and frame, as far as they go there, to the first buffer. `false`: the driver
    /// must not be given such a frame.
    #[inline]
    fn fill_first<B: RingMemory, L: LogMemory + ?Sized>(
        &mut self,
        guest: &Guest<'_, B, L>,
        start: usize,
        end: usize,
    ) -> Result<bool, AccessError> {
        // NET-023; what was switched off counts (NET-030), but not for the length of the header.
        let buffers = u16::try_from(self.buffers.len()).unwrap_or(u16::MAX);
        let port = Port { features: self.control.offloads(), ..self.sending };
        let frame = self.reply.get(HEADER_LEN_MAX..end).unwrap_or_default();
        let Ok(header) = port.receive(frame, &Receive { buffers, ..Receive::default() }) else {
            return Ok(false);
        };
        let front = self.reply.get_mut(start..HEADER_LEN_MAX).unwrap_or_default();
        if header.encode(self.control.features(), front).is_err() {
            return Ok(false);
        }
        let len = self.buffers.first().map_or(0, |(_, len)| *len as usize);
        let bytes = self.reply.get(start..start + len).unwrap_or_default();
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
