//! The memory table and the messages about it (spec §6.4, §6.12).

use super::postcopy::Postcopy;
use super::request::wraps;
use super::{Backend, Effect, Fault, Request, Result, Step, Waiting, bit};
use crate::Id;
use crate::vhost_user::number;

/// Guest address, size, user address, mmap offset.
type Region = [u64; 4];

/// The regions in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) regions: Vec<Region>,
    /// For each region: it is mapped piecewise when it is used (VU-127), so its descriptor is
    /// kept; the others have a mapping.
    pub(super) on_demand: Vec<bool>,
}

/// A region that is added although it is there (DC-161).
#[derive(Debug)]
pub(super) struct Again {
    index: usize,
    region: Region,
    pub(super) on_demand: bool,
}

/// A table on its way to become the current one.
#[derive(Debug)]
pub(super) struct NewTable {
    pub(super) memory: Memory,
    /// So many regions from the front are ready.
    ready: usize,
    /// Under postcopy: the payload of the reply, as far as it is known.
    reply: Vec<u8>,
}

impl Memory {
    fn push(&mut self, region: Region, on_demand: bool) {
        self.regions.push(region);
        self.on_demand.push(on_demand);
    }

    /// Where the region of these addresses and this size is (VU-138).
    fn place(&self, wanted: &Region) -> Option<usize> {
        self.regions.iter().position(|region| region[..3] == wanted[..3])
    }

    pub(super) fn fds(&self) -> usize {
        self.on_demand.iter().filter(|on_demand| **on_demand).count()
    }

    pub(super) fn mappings(&self) -> usize {
        self.on_demand.iter().filter(|on_demand| !**on_demand).count()
    }

    /// The region that holds all of a range, and where. `field` is 0 for guest addresses and 2
    /// for user addresses.
    pub(super) fn find(&self, field: usize, address: u64, len: u64) -> Option<(usize, u64)> {
        for (index, region) in self.regions.iter().enumerate() {
            let (first, end) = range(region, field);
            let (start, after) = (wide(address), wide(address) + wide(len));
            if first <= start && start < end && after <= end {
                return Some((index, address - region[field]));
            }
        }
        None
    }

    /// Whether each byte of a range is in some region.
    fn covers(&self, field: usize, address: u64, len: u64) -> bool {
        let (mut at, after) = (wide(address), wide(address) + wide(len));
        while at < after {
            let mut ranges = self.regions.iter().map(|region| range(region, field));
            let Some((_, end)) = ranges.find(|(first, end)| (*first..*end).contains(&at)) else {
                return false;
            };
            at = end;
        }
        true
    }
}

impl NewTable {
    /// Descriptors left while the region after the ready ones is being mapped with its own.
    pub(super) fn fds_while_mapping(&self) -> usize {
        let (before, after) = self.memory.on_demand.split_at(self.ready);
        before.iter().filter(|on_demand| **on_demand).count() + after.len() - 1
    }

    /// Mappings made until then.
    pub(super) fn mappings_while_mapping(&self) -> usize {
        self.memory.on_demand[..self.ready].iter().filter(|on_demand| !**on_demand).count()
    }
}

fn wide(number: u64) -> u128 {
    number.into()
}

/// First address of a region and the one after its last, in guest (0) or user (2) addresses.
fn range(region: &Region, field: usize) -> (u128, u128) {
    (wide(region[field]), wide(region[field]) + wide(region[1]))
}

/// VU-123.
fn own_rules(region: &Region) -> Result<()> {
    let [guest, size, user, offset] = *region;
    if size == 0 || wraps(guest, size) || wraps(user, size) || wraps(offset, size) {
        return Err(Id::Vu(123).into());
    }
    Ok(())
}

/// VU-124.
fn apart(one: &Region, other: &Region) -> Result<()> {
    for field in [0, 2] {
        let (one, other) = (range(one, field), range(other, field));
        if one.0 < other.1 && other.0 < one.1 {
            return Err(Id::Vu(124).into());
        }
    }
    Ok(())
}

fn map(region: &Region) -> Effect {
    let [guest, size, user, offset] = *region;
    Effect::MapRegion { guest, size, user, offset }
}

impl Backend {
    fn region_len(&self) -> usize {
        if bit(self.protocol, 17) { 40 } else { 32 }
    }

    /// The region at an offset of a payload, and whether it is mapped on demand.
    fn region_at(&self, body: &[u8], at: usize) -> (Region, bool) {
        let region = [
            number(body, at, 8),
            number(body, at + 8, 8),
            number(body, at + 16, 8),
            number(body, at + 24, 8),
        ];
        (region, bit(self.protocol, 17) && bit(number(body, at + 32, 4), 8))
    }

    pub(super) fn set_mem_table(
        &mut self,
        request: Request,
        body: &[u8],
        count: usize,
    ) -> Result<Step> {
        if self.postcopy == Postcopy::TableSent {
            // VU-133: only the acknowledgement may follow the reply.
            if count != 0 {
                return Err(Fault::Close(Id::Vu(133)));
            }
            return Ok(self.need(request, Waiting::RegisterUserfault, Effect::RegisterUserfault));
        }
        let mut memory = Memory::default();
        for index in 0..count {
            let (region, on_demand) = self.region_at(body, 8 + index * self.region_len());
            memory.push(region, on_demand);
        }
        if count as u64 > self.offer.max_mem_slots {
            return Err(Id::Dc(22).into());
        }
        let regions = &memory.regions;
        for (index, region) in regions.iter().enumerate() {
            own_rules(region)?;
            for earlier in &regions[..index] {
                apart(earlier, region)?;
            }
        }
        let reply = if self.is_listening() { body.to_vec() } else { Vec::new() };
        Ok(self.next_region(request, NewTable { memory, ready: 0, reply }))
    }

    /// Maps what has to be mapped, one region after the other, then takes the table into use.
    fn next_region(&mut self, request: Request, mut table: NewTable) -> Step {
        let Memory { regions, on_demand } = &table.memory;
        for index in table.ready..regions.len() {
            if !on_demand[index] {
                let effect = map(&regions[index]);
                table.ready = index;
                return self.need(request, Waiting::MapTable(table), effect);
            }
        }
        if self.any_started() {
            return self.need(request, Waiting::QuiesceTable(table), Effect::Quiesce);
        }
        self.use_table(request, table)
    }

    /// A region of a new table is mapped at this address.
    pub(super) fn table_mapped(
        &mut self,
        request: Request,
        mut table: NewTable,
        address: u64,
    ) -> Step {
        let at = 8 + table.ready * self.region_len() + 16;
        if !table.reply.is_empty() {
            // VU-130.
            table.reply[at..at + 8].copy_from_slice(&address.to_ne_bytes());
        }
        table.ready += 1;
        self.next_region(request, table)
    }

    /// Nobody touches the old table any more.
    pub(super) fn use_table(&mut self, request: Request, table: NewTable) -> Step {
        self.memory = table.memory;
        if self.is_listening() {
            self.postcopy = Postcopy::TableSent;
            return request.reply(&table.reply);
        }
        request.success()
    }

    pub(super) fn add_mem_reg(&mut self, request: Request, body: &[u8]) -> Result<Step> {
        let (region, on_demand) = self.region_at(body, 8);
        if self.memory.place(&region).is_some() {
            own_rules(&region)?; // DC-161: its offset may be another one.
        } else {
            if self.memory.regions.len() as u64 >= self.offer.max_mem_slots {
                return Err(Id::Dc(22).into());
            }
            own_rules(&region)?;
            for active in &self.memory.regions {
                apart(active, &region)?;
            }
        }
        if on_demand {
            return Ok(self.region_ready(request, region, true));
        }
        Ok(self.need(request, Waiting::MapAdded(region), map(&region)))
    }

    /// A region to add is mapped, or is not to be.
    pub(super) fn region_ready(
        &mut self,
        request: Request,
        region: Region,
        on_demand: bool,
    ) -> Step {
        let Some(index) = self.memory.place(&region) else {
            self.memory.push(region, on_demand);
            return request.success();
        };
        let again = Again { index, region, on_demand };
        if self.any_started() {
            return self.need(request, Waiting::QuiesceAgain(again), Effect::Quiesce);
        }
        self.region_renewed(request, &again)
    }

    /// Nobody touches the memory that a region had before (DC-161).
    pub(super) fn region_renewed(&mut self, request: Request, again: &Again) -> Step {
        self.memory.regions[again.index] = again.region;
        self.memory.on_demand[again.index] = again.on_demand;
        request.success()
    }

    pub(super) fn rem_mem_reg(&mut self, request: Request, body: &[u8]) -> Result<Step> {
        let (mut gone, _) = self.region_at(body, 8);
        gone[3] = 0; // VU-139
        let Some(index) = self.memory.place(&gone) else {
            // DC-162: nothing to do if nothing of it is there.
            let is_absent = self.memory.regions.iter().all(|region| apart(region, &gone).is_ok());
            if own_rules(&gone).is_ok() && is_absent {
                return Ok(request.success());
            }
            return Err(Id::Vu(143).into());
        };
        if self.any_started() {
            return Ok(self.need(request, Waiting::QuiesceRemove(index), Effect::Quiesce));
        }
        Ok(self.region_removed(request, index))
    }

    pub(super) fn region_removed(&mut self, request: Request, index: usize) -> Step {
        self.memory.regions.remove(index);
        self.memory.on_demand.remove(index);
        request.success()
    }

    pub(super) fn iotlb(&mut self, request: Request, body: &[u8]) -> Result<Step> {
        let (iova, size, user) = (number(body, 0, 8), number(body, 8, 8), number(body, 16, 8));
        let (permissions, kind) = (number(body, 24, 1), number(body, 25, 1));
        let no_range = size == 0 || wraps(iova, size);
        match kind {
            2 => {
                if permissions > 3 {
                    return Err(Id::Vu(215).into());
                }
                if no_range {
                    return Err(Id::Dc(24).into());
                }
                // VU-265.
                let field = if bit(self.protocol, 21) { 0 } else { 2 };
                if wraps(user, size) || !self.memory.covers(field, user, size) {
                    return Err(Id::Vu(210).into());
                }
                Ok(request.reply_number(0))
            }
            3 => {
                if no_range {
                    return Err(Id::Dc(24).into());
                }
                if self.any_started() {
                    return Ok(self.need(request, Waiting::QuiesceInvalidate, Effect::Quiesce));
                }
                Ok(request.reply_number(0))
            }
            _ => Err(Id::Vu(215).into()),
        }
    }
}
