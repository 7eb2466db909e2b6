//! Requests that name a ring, and the in-flight area, which has a part for each (spec §6.5,
//! §6.11).

use super::request::wraps;
use super::{Backend, Effect, Fault, Notifier, Request, Result, Ring, Step, Waiting, bit};
use super::{index_of, reply};
use crate::Id;
use crate::vhost_user::number;

/// Which form the rings have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `SET_FEATURES` has not come.
    Unknown,
    Split,
    Packed,
}

impl Ring {
    /// What `RESET_DEVICE` leaves of a ring (spec §6.7, DC-019).
    pub(super) fn reset(&mut self) {
        *self = Self { call: self.call, err: self.err, ..Self::default() };
    }
}

impl Backend {
    /// Serves a request that names a ring.
    pub(super) fn ring_request(&mut self, request: Request, body: &[u8]) -> Result<Step> {
        match request.code {
            12..=14 => {
                let bits = number(body, 0, 8);
                let index = self.index(bits % 256)?;
                let given = if bit(bits, 8) { Notifier::Flag } else { Notifier::Fd };
                Ok(self.set_notifier(request, index, given))
            }
            9 => self.set_addr(request, body),
            code => {
                let index = self.index(number(body, 0, 4));
                let value = number(body, 4, 4);
                match code {
                    8 => self.set_num(request, index?, value),
                    10 => self.set_base(request, index?, value),
                    // HZ-65: the reply has no form for failure.
                    11 | 45 => match index {
                        Ok(index) => Ok(self.get_base(request, index)),
                        Err(_) => Err(Fault::Close(Id::Vu(79))),
                    },
                    18 => self.set_enable(request, index?, value),
                    23 => self.set_endian(request, index?, value),
                    _ => Ok(self.kick(request, index?)),
                }
            }
        }
    }

    /// Where a ring goes on, as its base says: the next available index, and for a packed ring
    /// also its wrap counter, the next used index and that one's wrap counter
    /// (`spec/virtio.md` §1.11, §2.6).
    ///
    /// # Panics
    /// When there is no such ring.
    #[must_use]
    pub fn position(&self, index: usize) -> [u64; 4] {
        let base = self.rings[index].base;
        let (available, mut used) = (base % 0x10000, base / 0x10000);
        if self.form() != Form::Packed {
            return [available, 0, 0, 0];
        }
        // PK-040, DC-071: the sender knows only one half, and nothing can be in flight.
        if used == 0 && !self.has_inflight {
            used = available;
        }
        [available % 0x8000, available / 0x8000, used % 0x8000, used / 0x8000]
    }

    /// VU-079.
    fn index(&self, index: u64) -> Result<usize> {
        if index < self.offer.queues { Ok(index_of(index)) } else { Err(Id::Vu(79).into()) }
    }

    /// DC-017.
    fn has_to_be_stopped(&self, index: usize) -> Result<()> {
        if self.rings[index].started { Err(Id::Dc(17).into()) } else { Ok(()) }
    }

    /// VU-078. A size that only a packed ring can have needs the feature first.
    fn is_ring_size(&self, size: u64) -> bool {
        let is_packed = self.form() == Form::Packed;
        (1..=32768).contains(&size)
            && size <= self.offer.max_queue_size
            && (is_packed || size.is_power_of_two())
    }

    fn set_num(&mut self, request: Request, index: usize, size: u64) -> Result<Step> {
        self.has_to_be_stopped(index)?;
        if !self.is_ring_size(size) {
            return Err(Id::Vu(78).into());
        }
        self.rings[index].size = size;
        Ok(request.success())
    }

    /// VU-083 for the alignment. Whether the parts lie in memory is seen when they are used.
    fn set_addr(&mut self, request: Request, body: &[u8]) -> Result<Step> {
        let fields = [
            number(body, 0, 4),
            number(body, 4, 4),
            number(body, 8, 8),
            number(body, 16, 8),
            number(body, 24, 8),
            number(body, 32, 8),
        ];
        let index = self.index(fields[0])?;
        let available = if self.form() == Form::Packed { 4 } else { 2 };
        let alignments = [(fields[2], 16), (fields[3], 4), (fields[4], available)];
        if alignments.iter().any(|(address, alignment)| address % alignment != 0) {
            return Err(Id::Vu(83).into());
        }
        self.rings[index].addr = Some(fields);
        Ok(self.changed(request, index, "Addr"))
    }

    fn set_base(&mut self, request: Request, index: usize, base: u64) -> Result<Step> {
        self.has_to_be_stopped(index)?;
        if self.form() == Form::Split && base > 0xffff {
            return Err(Id::Vu(87).into());
        }
        self.rings[index].base = base;
        Ok(request.success())
    }

    fn get_base(&mut self, request: Request, index: usize) -> Step {
        let ring = self.rings[index];
        if ring.started {
            let drain = request.code == 11;
            let effect = Effect::StopRing { index: index as u64, drain };
            return self.need(request, Waiting::Stop { index, drain }, effect);
        }
        // Spec §6.5: what was set comes back; a split base has 16 bits (VU-089).
        let base = match self.form() {
            Form::Packed | Form::Unknown => ring.base,
            Form::Split => ring.base % 0x10000,
        };
        request.reply(&reply::state(index as u64, base))
    }

    /// The ring has stopped here (VU-066, VU-067, VU-089, VU-090, VU-091).
    pub(super) fn stopped(&mut self, request: Request, index: usize, base: u64) -> Step {
        let is_split = self.form() == Form::Split;
        let base = if is_split { base % 0x10000 } else { base };
        let ring = &mut self.rings[index];
        ring.started = false;
        ring.kick = Notifier::None;
        ring.base = base;
        request.reply(&reply::state(index as u64, base))
    }

    fn set_notifier(&mut self, request: Request, index: usize, given: Notifier) -> Step {
        let ring = &mut self.rings[index];
        let (place, what) = match request.code {
            12 => (&mut ring.kick, "Kick"),
            13 => (&mut ring.call, "Call"),
            _ => (&mut ring.err, "Err"),
        };
        *place = given;
        if request.code == 12 && !ring.started {
            return self.start(request, index);
        }
        self.changed(request, index, what)
    }

    /// VU-065, VU-219.
    fn start(&mut self, request: Request, index: usize) -> Step {
        self.need(request, Waiting::Start(index), Effect::StartRing(index as u64))
    }

    /// A change that a running ring has to hear of.
    fn changed(&mut self, request: Request, index: usize, what: &'static str) -> Step {
        if self.rings[index].started {
            return self.need(request, Waiting::Ack, Effect::UpdateRing(index as u64, what));
        }
        request.success()
    }

    fn set_enable(&mut self, request: Request, index: usize, value: u64) -> Result<Step> {
        if value > 1 {
            return Err(Id::Vu(110).into());
        }
        let was = self.rings[index].enabled;
        self.rings[index].enabled = value == 1;
        if was == (value == 1) {
            return Ok(request.success());
        }
        Ok(self.changed(request, index, "Enable"))
    }

    fn set_endian(&mut self, request: Request, index: usize, value: u64) -> Result<Step> {
        self.has_to_be_stopped(index)?;
        if value > 1 {
            return Err(Id::Vu(112).into());
        }
        self.rings[index].big_endian = value == 1;
        Ok(request.success())
    }

    fn kick(&mut self, request: Request, index: usize) -> Step {
        let ring = self.rings[index];
        if !ring.started {
            return self.start(request, index);
        }
        // VU-101: the descriptor is preferred.
        if ring.kick == Notifier::Fd {
            return request.success();
        }
        self.need(request, Waiting::Ack, Effect::KickRing(index as u64))
    }

    /// Queues and queue size of a P-INFLIGHT (VU-182, DC-031).
    fn inflight_shape(&self, body: &[u8]) -> Result<[u64; 2]> {
        let (queues, queue_size) = (number(body, 16, 2), number(body, 18, 2));
        let is_packed = self.form() == Form::Packed;
        let is_size =
            (1..=32768).contains(&queue_size) && (is_packed || queue_size.is_power_of_two());
        if queues == 0 || !is_size {
            return Err(Id::Dc(31).into());
        }
        if queues > self.offer.queues {
            return Err(Id::Vu(182).into());
        }
        if queue_size > self.offer.max_queue_size {
            return Err(Id::Vu(78).into());
        }
        Ok([queues, queue_size])
    }

    pub(super) fn get_inflight_fd(&mut self, request: Request, body: &[u8]) -> Result<Step> {
        let shape = self.inflight_shape(body)?;
        let [queues, queue_size] = shape;
        let effect = Effect::AllocateInflight { queues, queue_size };
        Ok(self.need(request, Waiting::AllocateInflight(shape), effect))
    }

    pub(super) fn set_inflight_fd(&mut self, request: Request, body: &[u8]) -> Result<Step> {
        if self.any_started() {
            return Err(Id::Dc(18).into());
        }
        let [queues, queue_size] = self.inflight_shape(body)?;
        let (size, offset) = (number(body, 0, 8), number(body, 8, 8));
        let used = match self.form() {
            Form::Packed => 32 + 32 * queue_size,
            Form::Unknown | Form::Split => 16 + 16 * queue_size,
        };
        let stride = used.div_ceil(64) * 64;
        if size < queues * stride || wraps(offset, size) {
            return Err(Id::Vu(182).into());
        }
        let effect = Effect::MapInflight { size, offset, queues, queue_size };
        Ok(self.need(request, Waiting::MapInflight, effect))
    }
}
