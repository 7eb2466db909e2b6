//! How a front-end serves the back-end channel (spec §4, §6.12 to §6.15), request by request.

pub mod sending;

use crate::vhost_user::{Context, message, number};
use crate::{Id, Verdict};

const REPLY_ACK: u64 = 3;
const BACKEND_REQ: u64 = 5;
const CONFIG: u64 = 9;
const BACKEND_SEND_FD: u64 = 10;
const HOST_NOTIFIER: u64 = 11;
const INBAND_NOTIFICATIONS: u64 = 14;
const SHARED_OBJECT: u64 = 18;
const SHMEM: u64 = 22;
const IOMMU_PLATFORM: u64 = 33;

/// What a front-end knows when the back-end channel opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// This back-end, among those of the machine.
    pub owner: u64,
    /// Rings of the device.
    pub queues: u64,
    /// Bytes of a page.
    pub page: u64,
    /// Most mappings in shared memory regions.
    pub max_mappings: usize,
    /// Virtio features that were set.
    pub virtio: u64,
    /// Protocol features that were set.
    pub protocol: u64,
    /// Sizes of the 256 shared memory regions.
    pub sizes: Vec<u64>,
}

/// Exported objects with their owners, for all front-ends of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Objects {
    /// UUID and owner.
    pub table: Vec<([u8; 16], u64)>,
    /// Most objects.
    pub limit: usize,
}

/// What has to happen next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Silent,
    /// A u64 goes back.
    Reply {
        /// It.
        value: u64,
        /// With a descriptor.
        fd: bool,
        /// The requirement that the request broke.
        refusal: Option<Id>,
    },
    /// Somebody has to do this first.
    Need(Effect),
    /// The channel ends.
    Close(Id),
}

/// What somebody has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Address and permissions of a miss.
    Translate(u64, u64),
    /// Address and permissions of an access failure.
    AccessFailed(u64, u64),
    /// The configuration space has changed.
    ConfigChanged,
    /// Ring, size and offset of a host notifier.
    MapNotifier(u64, u64, u64),
    /// A ring.
    Call(u64),
    /// A ring.
    RingError(u64),
    /// Exporter and UUID.
    FetchObject(u64, [u8; 16]),
    /// Region, offset, length, offset in the descriptor, and whether it is writable.
    MapShmem(u64, u64, u64, u64, bool),
}

/// How an effect ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It failed.
    Failed,
    /// It succeeded; a fetched object is there.
    Done,
    /// The exporter does not hand the object out.
    NoObject,
}

/// The front-end's end of an open channel.
#[derive(Clone, Debug)]
pub struct Frontend {
    setup: Setup,
    closed: bool,
    /// Ranges: region, offset, length.
    mappings: Vec<(u64, u64, u64)>,
    notifiers: Vec<bool>,
    pending: Option<Pending>,
}

#[derive(Clone, Debug)]
struct Pending {
    code: u64,
    asks: bool,
    effect: Effect,
    reset: bool,
}

impl Frontend {
    /// A channel that has just been opened.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let notifiers = (0..setup.queues).map(|_| false).collect();
        Self { setup, closed: false, mappings: Vec::new(), notifiers, pending: None }
    }

    /// How many mappings of the back-end have to exist: in shared memory, and notifiers.
    #[must_use]
    pub fn mapped(&self) -> usize {
        self.mappings.len() + self.notifiers.iter().filter(|there| **there).count()
    }

    /// Whether the channel has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// VU-244: the device was reset.
    pub fn device_reset(&mut self) {
        self.mappings.clear();
        self.notifiers.fill(false);
        if let Some(pending) = &mut self.pending {
            pending.reset = true;
        }
    }

    fn has(&self, bit: u64) -> bool {
        self.setup.protocol >> bit & 1 == 1
    }

    /// One request with its descriptors.
    pub fn request(&mut self, bytes: &[u8], fds: usize, objects: &mut Objects) -> Step {
        if self.closed {
            return Step::Close(Id::Vu(206));
        }
        if self.pending.is_some() {
            return self.close(Id::Dc(69));
        }
        let context = Context { backend_channel: true, ..Context::default() };
        if let Verdict::Reject(id) = message::judge(context, bytes, fds) {
            // Wrong headers leave nobody to answer.
            if [1, 6, 7, 11].map(Id::Vu).contains(&id) {
                return self.close(id);
            }
            return self.refuse(number(bytes, 0, 4), asks(bytes), id);
        }
        let (code, asks) = (number(bytes, 0, 4), asks(bytes));
        match self.judge(code, &bytes[12..], fds, objects) {
            Err(id) => self.refuse(code, asks, id),
            Ok(None) => self.success(code, asks, false),
            Ok(Some(effect)) => {
                self.pending = Some(Pending { code, asks, effect: effect.clone(), reset: false });
                Step::Need(effect)
            }
        }
    }

    /// How the effect of the last request ended.
    pub fn done(&mut self, outcome: Outcome) -> Step {
        let Some(Pending { code, asks, effect, reset }) = self.pending.take() else {
            return Step::Silent;
        };
        let maps = matches!(effect, Effect::MapNotifier(..) | Effect::MapShmem(..));
        if maps && reset {
            return self.refuse(code, asks, Id::Vu(244));
        }
        match (effect, outcome) {
            (Effect::MapShmem(..), Outcome::Failed) => self.refuse(code, asks, Id::Vu(243)),
            (_, Outcome::Failed) => self.refuse(code, asks, Id::Dc(63)),
            (Effect::FetchObject(..), Outcome::NoObject) => self.refuse(code, asks, Id::Vu(232)),
            (Effect::FetchObject(..), _) => self.success(code, asks, true),
            (Effect::MapShmem(shmid, offset, len, ..), _) => {
                self.mappings.push((shmid, offset, len));
                self.success(code, asks, false)
            }
            (Effect::MapNotifier(index, ..), _) => {
                self.notifiers[usize::try_from(index).unwrap_or(usize::MAX)] = true;
                self.success(code, asks, false)
            }
            _ => self.success(code, asks, false),
        }
    }

    fn close(&mut self, id: Id) -> Step {
        self.closed = true;
        Step::Close(id)
    }

    fn success(&self, code: u64, asks: bool, fd: bool) -> Step {
        if code == 8 || asks && self.has(REPLY_ACK) {
            Step::Reply { value: 0, fd, refusal: None }
        } else {
            Step::Silent
        }
    }

    fn refuse(&mut self, code: u64, asks: bool, id: Id) -> Step {
        let is_gated = self.gate(code).is_some();
        let is_due = if code == 8 { !is_gated } else { asks && self.has(REPLY_ACK) };
        if is_due {
            return Step::Reply { value: 1, fd: false, refusal: Some(id) };
        }
        if id == Id::Vu(231) {
            return Step::Silent; // "is ignored"
        }
        self.close(id)
    }

    /// The requirement that a request breaks because a feature is missing.
    fn gate(&self, code: u64) -> Option<Id> {
        let iommu = self.setup.virtio >> IOMMU_PLATFORM & 1 == 1;
        let (open, id) = match code {
            1 => (iommu, 26),
            2 => (self.has(CONFIG), 196),
            3 => (self.has(HOST_NOTIFIER), 234),
            4 | 5 => (self.has(INBAND_NOTIFICATIONS), 26),
            6..=8 => (self.has(SHARED_OBJECT), 233),
            _ => (self.has(SHMEM), 26),
        };
        (!open || !self.has(BACKEND_REQ)).then_some(Id::Vu(id))
    }

    fn judge(
        &mut self,
        code: u64,
        body: &[u8],
        fds: usize,
        objects: &mut Objects,
    ) -> Result<Option<Effect>, Id> {
        if !(1..=10).contains(&code) {
            return Err(Id::Vu(12));
        }
        if let Some(id) = self.gate(code) {
            return Err(id);
        }
        if fds > 0 && !self.has(BACKEND_SEND_FD) {
            return Err(Id::Vu(205));
        }
        let owner = self.setup.owner;
        match code {
            1 => iotlb(body).map(Some),
            2 => Ok(Some(Effect::ConfigChanged)),
            3 => self.notifier(body, fds),
            4 | 5 => {
                let (index, num) = (number(body, 0, 4), number(body, 4, 4));
                if index >= self.setup.queues {
                    return Err(Id::Dc(60));
                }
                if num != 0 {
                    return Err(Id::Vu(220));
                }
                Ok(Some(if code == 4 { Effect::Call(index) } else { Effect::RingError(index) }))
            }
            6 => objects.add(uuid(body), owner).map(|()| None),
            7 => objects.remove(uuid(body), owner).map(|()| None),
            8 => match objects.table.iter().find(|(other, _)| *other == uuid(body)) {
                Some((uuid, owner)) => Ok(Some(Effect::FetchObject(*owner, *uuid))),
                None => Err(Id::Vu(232)),
            },
            9 => self.map(body).map(Some),
            _ => self.unmap(body).map(|()| None),
        }
    }

    fn notifier(&mut self, body: &[u8], fds: usize) -> Result<Option<Effect>, Id> {
        let (index, size, offset) = (number(body, 0, 1), number(body, 8, 8), number(body, 16, 8));
        if index >= self.setup.queues {
            return Err(Id::Dc(60));
        }
        let at = usize::try_from(index).unwrap_or(usize::MAX);
        if fds == 0 {
            self.notifiers[at] = false;
            return Ok(None);
        }
        if size != self.setup.page {
            return Err(Id::Vu(235));
        }
        self.notifiers[at] = false;
        Ok(Some(Effect::MapNotifier(index, size, offset)))
    }

    fn map(&self, body: &[u8]) -> Result<Effect, Id> {
        let shmid = number(body, 0, 1);
        let [fd_offset, offset, len, flags] = [8, 16, 24, 32].map(|at| number(body, at, 8));
        let size = self.setup.sizes[usize::try_from(shmid).unwrap_or(0)];
        // In 128 bits nothing wraps.
        let end = u128::from(offset) + u128::from(len);
        if size == 0 || len == 0 || end > u128::from(size) {
            return Err(Id::Vu(241));
        }
        if [fd_offset, offset, len].iter().any(|value| value % self.setup.page != 0) {
            return Err(Id::Dc(61));
        }
        if flags != 0 && flags != 1 {
            return Err(Id::Vu(245));
        }
        for (other, from, bytes) in &self.mappings {
            let to = u128::from(*from) + u128::from(*bytes);
            if *other == shmid && u128::from(offset) < to && u128::from(*from) < end {
                return Err(Id::Vu(242));
            }
        }
        if self.mappings.len() >= self.setup.max_mappings {
            return Err(Id::Vu(243));
        }
        Ok(Effect::MapShmem(shmid, offset, len, fd_offset, flags == 1))
    }

    fn unmap(&mut self, body: &[u8]) -> Result<(), Id> {
        let range = (number(body, 0, 1), number(body, 16, 8), number(body, 24, 8));
        let before = self.mappings.len();
        self.mappings.retain(|other| *other != range);
        if self.mappings.len() == before { Err(Id::Vu(246)) } else { Ok(()) }
    }
}

impl Objects {
    fn add(&mut self, uuid: [u8; 16], owner: u64) -> Result<(), Id> {
        if self.table.iter().any(|(other, _)| *other == uuid) || self.table.len() >= self.limit {
            return Err(Id::Dc(64));
        }
        self.table.push((uuid, owner));
        Ok(())
    }

    fn remove(&mut self, uuid: [u8; 16], owner: u64) -> Result<(), Id> {
        let before = self.table.len();
        self.table.retain(|entry| *entry != (uuid, owner));
        if self.table.len() == before { Err(Id::Vu(231)) } else { Ok(()) }
    }
}

/// Whether the sender asks for an acknowledgement.
fn asks(bytes: &[u8]) -> bool {
    number(bytes, 4, 4) / 8 % 2 == 1
}

fn uuid(body: &[u8]) -> [u8; 16] {
    let mut uuid = [0; 16];
    uuid.copy_from_slice(&body[..16]);
    uuid
}

fn iotlb(body: &[u8]) -> Result<Effect, Id> {
    let (iova, permissions, kind) = (number(body, 0, 8), number(body, 24, 1), number(body, 25, 1));
    let known = (1..=3).contains(&permissions);
    match kind {
        1 if known => Ok(Effect::Translate(iova, permissions)),
        4 if known => Ok(Effect::AccessFailed(iova, permissions)),
        4 => Err(Id::Vu(213)),
        _ => Err(Id::Vu(212)),
    }
}
