//! Memory table, dirty log, IOTLB and postcopy (spec §6.4, §6.8, §6.10, §6.12).

use super::act::Fds;
use super::answer::Next;
use super::effect::Effect;
use super::pending::{AfterQuiesce, Work};
use super::postcopy::Step;
use super::{Log, Refusal, Session};
use crate::memory::map::is_on_demand;
use crate::memory::{Backing, DirtyLog, Slot, Space};
use crate::vhost_user::payload::{Fixed, Iotlb, LogBase, MemTable, Region};
use crate::vhost_user::{FrontendRequest as R, HEADER_LEN, Header, MAX_FDS, Payload};
use crate::wire::Reader;

/// Where in a memory table the user address of its first region is, header included.
const FIRST_USER_ADDRESS: usize = HEADER_LEN + MemTable::PREFIX_LEN as usize + 16;

/// Whether these bytes are an IOTLB message that brings a translation.
pub(super) fn is_update(bytes: &[u8]) -> bool {
    const KIND: usize = HEADER_LEN + 25;
    let header = Header::read(&mut Reader::new(bytes));
    header.is_ok_and(|header| header.code == R::IOTLB_MSG.0)
        && bytes.len() == HEADER_LEN + <Iotlb as Fixed>::LEN as usize
        && bytes.get(KIND) == Some(&Iotlb::UPDATE)
}

impl<F, M> Session<F, M> {
    /// VU-258, VU-260: a new table replaces all regions, at any time.
    pub(super) fn set_mem_table<'a>(
        &mut self,
        table: &MemTable<'_>,
        fds: Fds<F>,
    ) -> Result<Next<'a, F>, Refusal> {
        if self.postcopy.answers_tables() && self.postcopy.after(Step::Table).is_none() {
            return Err(Refusal::PostcopyAckDue); // VU-133
        }
        self.staging.clear();
        self.staging.regions.extend(table.regions().take(MAX_FDS));
        self.staging.fds = fds;
        if let Err(error) = self.memory.check_table(&self.staging.regions) {
            self.staging.clear();
            return Err(error.into());
        }
        if self.postcopy.answers_tables() {
            // The reply has the size of the request, and all of it but the addresses that
            // `region_mapped` puts in (VU-130, spec §6.10).
            self.staging.reply = self.buffer.put(R::SET_MEM_TABLE, Payload::MemTable(*table));
        }
        self.map_next()
    }

    /// Maps the next region of the staged table, or goes on when all are.
    fn map_next<'a>(&mut self) -> Result<Next<'a, F>, Refusal> {
        while let (Some(region), Some(fd)) =
            (self.staging.regions.pop_at(0), self.staging.fds.pop_at(0))
        {
            if !is_on_demand(&region) {
                self.staging.regions.insert(0, region);
                self.work = Work::MapTable;
                return Ok(Next::Need(Effect::MapRegion { region, fd }));
            }
            // VU-127: pieces of it are mapped when they are used.
            self.staging.slots.push(Slot { region, backing: Backing::OnDemand(fd) });
        }
        self.after_quiesce(AfterQuiesce::ReplaceTable)
    }

    pub(super) fn region_mapped<'a>(
        &mut self,
        mapping: M,
        address: u64,
    ) -> Result<Next<'a, F>, Refusal> {
        if let Some(region) = self.staging.regions.pop_at(0) {
            if self.postcopy.answers_tables() {
                let region_len = Region::encoded_len(self.layout().xen_mmap) as usize;
                let at = FIRST_USER_ADDRESS + self.staging.slots.len() * region_len;
                self.buffer.patch(at, address);
            }
            self.staging.slots.push(Slot { region, backing: Backing::Mapped(mapping) });
        }
        self.map_next()
    }

    /// Does something that takes mappings away, once nobody uses them: with no ring started
    /// nobody does.
    fn after_quiesce<'a>(&mut self, after: AfterQuiesce) -> Result<Next<'a, F>, Refusal> {
        if self.is_suspended() {
            return self.quiesced(after);
        }
        self.work = Work::Quiesce(after);
        Ok(Next::Need(Effect::Quiesce))
    }

    pub(super) fn quiesced<'a>(&mut self, after: AfterQuiesce) -> Result<Next<'a, F>, Refusal> {
        match after {
            AfterQuiesce::ReplaceTable => self.table_replaced(),
            AfterQuiesce::RenewRegion => self.region_renewed(),
            AfterQuiesce::RemoveRegion { region } => {
                self.memory.remove(&region).map(drop)?;
                Ok(Next::Success)
            }
            AfterQuiesce::ReplaceLog { log } => self.log_replaced(log),
            AfterQuiesce::Invalidate { iotlb } => {
                self.iotlb.invalidate(iotlb.iova, iotlb.size).map_err(Refusal::Iotlb)?;
                Ok(Next::Success)
            }
        }
    }

    fn table_replaced<'a>(&mut self) -> Result<Next<'a, F>, Refusal> {
        let replaced = self.memory.replace(&mut self.staging.slots);
        let reply = self.staging.reply;
        // Old mappings go only now that the new ones are in place.
        self.staging.clear();
        replaced?;
        let Some(next) = self.postcopy.after(Step::Table) else { return Ok(Next::Success) };
        self.postcopy = next;
        Ok(Next::Answer(reply, None)) // VU-130
    }

    /// VU-137: one more region.
    pub(super) fn add_mem_reg<'a>(
        &mut self,
        region: Region,
        fd: Option<F>,
    ) -> Result<Next<'a, F>, Refusal> {
        self.memory.check_add(&region)?;
        let Some(fd) = fd else { return Ok(Next::Success) }; // decoding demands one (VU-136)
        if is_on_demand(&region) {
            return self.region_ready(region, Backing::OnDemand(fd)); // VU-127
        }
        self.work = Work::MapRegion { region };
        Ok(Next::Need(Effect::MapRegion { region, fd }))
    }

    /// A region to add is mapped, or is not to be. One that is there takes the place of itself
    /// (DC-161), once nobody uses what was there.
    pub(super) fn region_ready<'a>(
        &mut self,
        region: Region,
        backing: Backing<F, M>,
    ) -> Result<Next<'a, F>, Refusal> {
        if self.memory.find(&region).is_ok() {
            self.staging.clear();
            self.staging.slots.push(Slot { region, backing });
            return self.after_quiesce(AfterQuiesce::RenewRegion);
        }
        self.memory.add(region, backing).map_err(|(error, _)| error)?;
        Ok(Next::Success)
    }

    fn region_renewed<'a>(&mut self) -> Result<Next<'a, F>, Refusal> {
        if let Some(Slot { region, backing }) = self.staging.slots.pop() {
            self.memory.add(region, backing).map_err(|(error, _)| error)?;
        }
        Ok(Next::Success)
    }

    pub(super) fn rem_mem_reg<'a>(&mut self, region: &Region) -> Result<Next<'a, F>, Refusal> {
        // VU-138, VU-139, VU-143
        if self.memory.check_remove(region)?.is_none() {
            return Ok(Next::Success); // DC-162
        }
        self.after_quiesce(AfterQuiesce::RemoveRegion { region: *region })
    }

    /// `SET_LOG_BASE` with a descriptor.
    pub(super) fn set_log_base<'a>(
        &mut self,
        log: LogBase,
        fd: Option<F>,
    ) -> Result<Next<'a, F>, Refusal> {
        // Without LOG_SHMFD no descriptor comes, and no log (DV-75).
        let Some(fd) = fd else { return Ok(Next::Success) };
        DirtyLog::check(&log).map_err(Refusal::Log)?; // VU-157
        self.work = Work::MapLog { log };
        Ok(Next::Need(Effect::MapLog { log, fd }))
    }

    pub(super) fn log_mapped<'a>(
        &mut self,
        log: LogBase,
        mapping: M,
    ) -> Result<Next<'a, F>, Refusal> {
        self.staging.log = Some(mapping);
        if self.log.is_none() {
            return self.log_replaced(log);
        }
        self.after_quiesce(AfterQuiesce::ReplaceLog { log })
    }

    fn log_replaced<'a>(&mut self, log: LogBase) -> Result<Next<'a, F>, Refusal> {
        let dirty = DirtyLog::check(&log).map_err(Refusal::Log)?;
        self.log = self.staging.log.take().map(|mapping| Log { mapping, dirty });
        Ok(self.answer(Payload::Log(log))) // VU-029; both lengths in use fit (DC-035)
    }

    pub(super) fn iotlb_msg<'a>(&mut self, iotlb: &Iotlb) -> Result<Next<'a, F>, Refusal> {
        let space = Space::of_iotlb(self.negotiated.protocol); // VU-265
        if iotlb.kind == Iotlb::INVALIDATE {
            crate::memory::Iotlb::check_invalidate(iotlb).map_err(Refusal::Iotlb)?;
            // The answer says that nobody uses the translation any more (spec §6.12).
            return self.after_quiesce(AfterQuiesce::Invalidate { iotlb: *iotlb });
        }
        self.iotlb.message(iotlb, space, &self.memory).map_err(Refusal::Iotlb)?;
        Ok(Next::Success)
    }

    /// A postcopy step, if it may come now (VU-175).
    fn postcopy_step(&self, step: Step) -> Result<super::postcopy::State, Refusal> {
        let refusal = Refusal::PostcopyOrder { code: step.request().0, state: self.postcopy };
        self.postcopy.after(step).ok_or(refusal)
    }

    pub(super) fn postcopy_advise<'a>(&mut self) -> Result<Next<'a, F>, Refusal> {
        self.postcopy_step(Step::Advise)?;
        self.work = Work::OpenUserfault;
        Ok(Next::Need(Effect::OpenUserfault))
    }

    pub(super) fn userfault_opened<'a>(&mut self, fd: F) -> Result<Next<'a, F>, Refusal> {
        self.postcopy = self.postcopy_step(Step::Advise)?;
        let len = self.buffer.put(R::POSTCOPY_ADVISE, Payload::None);
        Ok(Next::Answer(len, Some(fd))) // VU-174
    }

    pub(super) fn postcopy_listen<'a>(&mut self) -> Result<Next<'a, F>, Refusal> {
        self.postcopy = self.postcopy_step(Step::Listen)?;
        Ok(Next::Success)
    }

    /// The front-end has taken in where our memory is: now it may be touched (VU-131, VU-176).
    pub(super) fn postcopy_acknowledged<'a>(&mut self) -> Result<Next<'a, F>, Refusal> {
        self.postcopy_step(Step::Acknowledge)?;
        self.work = Work::RegisterUserfault;
        Ok(Next::Need(Effect::RegisterUserfault))
    }

    pub(super) fn userfault_registered<'a>(&mut self) -> Result<Next<'a, F>, Refusal> {
        self.postcopy = self.postcopy_step(Step::Acknowledge)?;
        Ok(Next::Success)
    }

    pub(super) fn postcopy_end<'a>(&mut self) -> Result<Next<'a, F>, Refusal> {
        self.postcopy_step(Step::End)?;
        self.work = Work::CloseUserfault;
        Ok(Next::Need(Effect::CloseUserfault))
    }

    pub(super) fn userfault_closed<'a>(&mut self) -> Result<Next<'a, F>, Refusal> {
        self.postcopy = self.postcopy_step(Step::End)?; // VU-177
        Ok(Next::Success)
    }
}
