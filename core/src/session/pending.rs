//! What a session waits for, and how it goes on when the effect is done.

use arrayvec::ArrayVec;

use super::answer::Next;
use super::effect::{Done, EffectError};
use super::{Refusal, Session, Step};
use crate::memory::{Backing, Slot};
use crate::vhost_user::payload::{Inflight, Iotlb, LogBase, Region};
use crate::vhost_user::{FrontendRequest, MAX_FDS};

/// The effect that is pending.
#[derive(Clone, Copy, Debug)]
pub(super) enum Work {
    /// None.
    Idle,
    /// [`Effect::Features`](super::Effect::Features).
    Features { features: u64 },
    /// Mapping the next region of a table.
    MapTable,
    /// Mapping a region to add.
    MapRegion { region: Region },
    /// Mapping a log.
    MapLog { log: LogBase },
    /// Mapping an in-flight area.
    MapInflight { area: Inflight },
    /// Making one.
    AllocateInflight { wanted: Inflight },
    /// Nobody touches guest memory any more; then this.
    Quiesce(AfterQuiesce),
    /// Starting a ring.
    StartRing { index: u32 },
    /// Stopping one.
    StopRing { index: u32, is_drained: bool },
    /// Reading the configuration space.
    ReadConfig { offset: u32, size: u32, flags: u32 },
    /// Creating a crypto session.
    CreateCrypto,
    /// Opening a userfaultfd.
    OpenUserfault,
    /// Registering memory with it.
    RegisterUserfault,
    /// Giving it up.
    CloseUserfault,
    /// Opening the back-end channel.
    OpenChannel,
    /// Resetting the device.
    Reset,
    /// Telling it its status.
    Status { status: u8 },
    /// Looking up a shared object.
    SharedObject,
    /// Beginning a device state transfer.
    Transfer,
    /// Ending it.
    CheckTransfer,
    /// Something without consequences in the session.
    Nothing,
}

/// What was put off until nobody touches guest memory.
#[derive(Clone, Copy, Debug)]
pub(super) enum AfterQuiesce {
    /// The staged table takes over.
    ReplaceTable,
    /// The staged region takes the place of itself.
    RenewRegion,
    /// A region goes.
    RemoveRegion { region: Region },
    /// The staged log takes over.
    ReplaceLog { log: LogBase },
    /// Translations go.
    Invalidate { iotlb: Iotlb },
}

impl Work {
    #[inline]
    pub(super) const fn is_idle(&self) -> bool {
        matches!(self, Self::Idle)
    }

    /// Whether nothing can be told about a failure, so that the connection ends: the device is
    /// in a state that nobody knows.
    const fn must_succeed(self) -> bool {
        matches!(
            self,
            Self::Quiesce(_)
                | Self::StopRing { .. }
                | Self::OpenUserfault
                | Self::RegisterUserfault
        )
    }
}

/// Handles of a request that is half done.
#[derive(Debug)]
pub(super) struct Staging<F, M> {
    /// Regions of a table that are still to be mapped, and their files.
    pub(super) regions: ArrayVec<Region, MAX_FDS>,
    pub(super) fds: ArrayVec<F, MAX_FDS>,
    /// Those that are.
    pub(super) slots: ArrayVec<Slot<Backing<F, M>>, MAX_FDS>,
    /// Length of the table that is already in the buffer as the reply.
    pub(super) reply: usize,
    /// A mapped log.
    pub(super) log: Option<M>,
}

impl<F, M> Staging<F, M> {
    /// Drops what is half done. In place: it is too large to be moved for every table.
    pub(super) fn clear(&mut self) {
        self.regions.clear();
        self.fds.clear();
        self.slots.clear();
        self.reply = 0;
        self.log = None;
    }
}

impl<F, M> Default for Staging<F, M> {
    fn default() -> Self {
        Self {
            regions: ArrayVec::new(),
            fds: ArrayVec::new(),
            slots: ArrayVec::new(),
            reply: 0,
            log: None,
        }
    }
}

impl<F, M> Session<F, M> {
    /// Goes on after an effect. Handles in the result belong to the session from now on.
    ///
    /// The result of another effect than the one that is pending, or one without an effect,
    /// closes the connection: that is a mistake of the caller, and nothing it does next can be
    /// trusted.
    pub fn on_done<'a>(&'a mut self, result: Result<Done<'_, F, M>, EffectError>) -> Step<'a, F> {
        let work = std::mem::replace(&mut self.work, Work::Idle);
        let asked = self.asked;
        if work.is_idle() {
            // Not even a failure: it would be taken for one of the request before.
            return Step::Close(Refusal::WrongResult { code: 0 });
        }
        let next = match result {
            Ok(done) => self.went_well(work, done),
            Err(error) => {
                self.went_wrong(work);
                let refusal = Refusal::Effect { code: asked.code.0, error };
                if work.must_succeed() {
                    return Step::Close(refusal);
                }
                Err(refusal)
            }
        };
        self.step(asked, next)
    }

    fn went_well<'a>(&mut self, work: Work, done: Done<'_, F, M>) -> Result<Next<'a, F>, Refusal> {
        match (work, done) {
            (Work::Features { features }, Done::Nothing) => self.features_chosen(features),
            (Work::MapTable, Done::Mapped { mapping, address }) => {
                self.region_mapped(mapping, address)
            }
            (Work::MapRegion { region }, Done::Mapped { mapping, .. }) => {
                self.region_ready(region, Backing::Mapped(mapping))
            }
            (Work::MapLog { log }, Done::Mapped { mapping, .. }) => self.log_mapped(log, mapping),
            (Work::MapInflight { area }, Done::Mapped { mapping, .. }) => {
                self.inflight_mapped(area, mapping)
            }
            (Work::AllocateInflight { wanted }, Done::Inflight { fd, mmap_size, mmap_offset }) => {
                self.inflight_made(wanted, fd, mmap_size, mmap_offset)
            }
            (Work::Quiesce(after), Done::Nothing) => self.quiesced(after),
            (Work::StartRing { index }, Done::Nothing) => self.ring_started(index),
            (Work::StopRing { index, .. }, Done::Base(base)) => self.ring_stopped(index, base),
            (Work::ReadConfig { offset, size, flags }, Done::Config(data)) => {
                self.config_read(offset, size, flags, data)
            }
            (Work::CreateCrypto, Done::Crypto(id)) => Ok(self.crypto_created(id)),
            (Work::OpenUserfault, Done::Fd(fd)) => self.userfault_opened(fd),
            (Work::RegisterUserfault, Done::Nothing) => self.userfault_registered(),
            (Work::CloseUserfault, Done::Nothing) => self.userfault_closed(),
            (Work::OpenChannel, Done::Nothing) => {
                self.has_channel = true;
                Ok(Next::Success)
            }
            (Work::Reset, Done::Nothing) => Ok(self.device_was_reset()),
            (Work::Status { status }, Done::Nothing) => {
                self.status = status;
                Ok(Next::Success)
            }
            (Work::SharedObject, Done::MaybeFd(fd)) => Ok(self.object_found(fd)),
            (Work::Transfer, Done::MaybeFd(fd)) => Ok(self.transfer_begun(fd)),
            (Work::CheckTransfer, Done::Nothing) => {
                self.is_transferring = false;
                Ok(Next::Success)
            }
            (Work::Nothing, Done::Nothing) => Ok(Next::Success),
            _ => Err(Refusal::WrongResult { code: self.asked.code.0 }),
        }
    }

    /// Takes back what was begun.
    fn went_wrong(&mut self, work: Work) {
        match work {
            Work::MapTable | Work::Quiesce(_) => self.staging.clear(),
            Work::StartRing { index } => self.ring_not_started(index),
            Work::StopRing { index, .. } => self.ring_lost(index),
            Work::CheckTransfer => self.is_transferring = false,
            _ => {}
        }
    }

    /// Id of the request whose effect is pending, if one is.
    #[must_use]
    pub const fn pending(&self) -> Option<FrontendRequest> {
        if self.work.is_idle() { None } else { Some(self.asked.code) }
    }
}
