//! A good driver and a good device, which know what the other one did.
//!
//! They turn acts into steps: chains get a place in the ring, or are left out when there is none.
//! As long as every act is legal, they also know what a ring does with each step, so a test can
//! demand exactly that.

use std::collections::{BTreeSet, VecDeque};

use proptest::sample::Index;

use vhost_fuzz_core::ring::{Layout as Form, flag};
use vhost_fuzz_harness::ring::step::{Descriptor, Start, Step, feature};

use super::image::Fault;
use super::steps::{Act, BUFFERS_MAX, Draft, SIZE_MAX};

/// Bytes of a table.
const TABLE_LEN: u64 = 16 * BUFFERS_MAX as u64;

/// Flags that have no meaning in either layout.
const ODD: u16 = 0x7f78;

/// Most chains that one step takes.
const POPS_MAX: u8 = 64;

/// A chain on its way.
#[derive(Clone, Debug)]
struct Sent {
    /// Its descriptors in the ring, without those of a table.
    slots: Vec<u16>,
    writable: u32,
    /// A bit for each region that it has bytes in.
    regions: u8,
    /// Chains taken before it, once it was taken.
    number: usize,
}

/// What is known of a ring, and what happened to it so far.
#[derive(Clone, Debug)]
pub struct Careful {
    /// The steps.
    pub steps: Vec<Step<'static>>,
    /// Operations that a run counts for them, without its own.
    pub operations: usize,
    /// How often everything starts.
    pub starts: usize,
    /// States that were reached, by name.
    pub reached: BTreeSet<&'static str>,
    form: Form,
    start: Start,
    /// Descriptors that the driver may not write to.
    busy: Vec<bool>,
    /// Where the driver goes on.
    next: u16,
    regions: u8,
    offered: VecDeque<Sent>,
    owed: Vec<Sent>,
    /// Given back, and not published.
    done: Vec<Sent>,
    /// Chains taken in this wake-up.
    taken: u16,
    /// Chains taken in all, without those that were taken back.
    total: usize,
    /// Next available and used index.
    indices: [u16; 2],
}

impl Careful {
    /// A ring that has just started.
    #[must_use]
    pub fn new(form: Form, start: Start) -> Self {
        let mut careful = Self {
            steps: Vec::new(),
            operations: 0,
            starts: 0,
            reached: BTreeSet::new(),
            form,
            start,
            busy: Vec::new(),
            next: 0,
            regions: u8::MAX,
            offered: VecDeque::new(),
            owed: Vec::new(),
            done: Vec::new(),
            taken: 0,
            total: 0,
            indices: [0; 2],
        };
        careful.begin(start);
        careful
    }

    /// Names of the states that a legal story can reach.
    #[must_use]
    pub fn states(form: Form) -> Vec<&'static str> {
        let mut states = vec![
            "the driver wraps",
            "the device wraps",
            "a chain as long as the ring",
            "a full ring",
            "nothing to take",
            "a yield",
            "a restart with chains to take",
            "a restart with buffers out",
            "a restart from the beginning",
            "fewer regions",
            "a batch of several",
            "a batch that a writable buffer ends",
            "a batch without IN_ORDER",
            "a buffer given back before an older one",
            "a table",
            "a chain in two regions",
            "a chain without bytes",
            "another ring",
            "a chain taken back",
        ];
        if form == Form::Split {
            states.push("a table behind buffers");
        }
        states
    }

    /// The next thing happens.
    pub fn act(&mut self, act: &Act) {
        match act {
            Act::Chain(draft) => self.send(draft, None),
            Act::Damaged(draft, fault, at) => self.send(draft, Some((*fault, *at))),
            Act::Pop(count) => self.take(*count),
            Act::Unpop => self.untake(),
            Act::Put(which, len) => self.give(*which, *len),
            Act::Batch(count) => self.give_batch(*count),
            Act::Publish => self.publish(),
            Act::Arm => self.device(Step::Arm),
            Act::Disarm => self.device(Step::Disarm),
            Act::Wake => {
                self.taken = 0;
                self.steps.push(Step::Wake);
            }
            Act::Restart(is_fresh) => self.restart(*is_fresh),
            Act::Memory(mask) => self.change_memory(*mask),
            Act::Read(border, len) => self.device(Step::Read { border: *border, len: *len }),
            Act::Write(len) => self.device(Step::Write { len: *len }),
            Act::Wish(flags, event) => self.device(Step::Wish { flags: *flags, event: *event }),
            Act::Start(start) => {
                self.finish();
                self.reached.insert("another ring");
                self.begin(*start);
            }
            Act::Rash(step) => self.steps.push(step.clone()),
        }
    }

    /// Gives back all that is out. A run would do that anyway, and publishes it.
    pub fn finish(&mut self) {
        while !self.owed.is_empty() {
            self.give(0, 0);
        }
    }

    fn begin(&mut self, start: Start) {
        self.steps.push(Step::Start(start));
        self.starts += 1;
        self.start = start;
        self.regions = u8::MAX;
        self.reset();
        let base = start.base & 0xffff;
        let at = u16::try_from(base).unwrap_or(0);
        self.next = at & if self.form == Form::Packed { 0x7fff } else { u16::MAX };
        self.indices = [self.next; 2];
        self.next %= self.size();
        if self.form == Form::Split && base != 0 {
            // A driver that goes on has said how far it is.
            self.steps.push(Step::Advance { by: 0 });
        }
    }

    /// An empty ring.
    fn reset(&mut self) {
        self.busy = vec![false; self.size().into()];
        self.offered.clear();
        self.owed.clear();
        self.done.clear();
        self.taken = 0;
        (self.next, self.indices) = (0, [0; 2]);
    }

    /// Entries. A run has no more room than this for what is no size.
    fn size(&self) -> u16 {
        self.start.size.clamp(1, 1024)
    }

    fn has(&self, feature: u8) -> bool {
        self.start.features & feature != 0
    }

    fn device(&mut self, step: Step<'static>) {
        self.operations += 1;
        self.steps.push(step);
    }

    /// Moves an index on: a free-running one, or a position in the ring.
    fn advance(&mut self, which: usize, by: usize, name: &'static str) {
        let end = match self.form {
            Form::Split => 0x1_0000,
            Form::Packed => u32::from(self.size()),
        };
        let at = u32::from(self.indices[which]) + u32::try_from(by).unwrap_or(0);
        if at >= end {
            self.reached.insert(name);
        }
        self.indices[which] = u16::try_from(at % end).unwrap_or(0);
    }

    /// Index or slots that a chain takes.
    fn stride(&self, sent: &Sent) -> usize {
        if self.form == Form::Split { 1 } else { sent.slots.len() }
    }

    fn take(&mut self, count: u8) {
        self.steps.push(Step::Pop { count });
        for _ in 0..count.clamp(1, POPS_MAX) {
            self.operations += 1;
            if self.taken == self.size() {
                self.reached.insert("a yield");
                return;
            }
            let Some(mut sent) = self.offered.pop_front() else {
                self.reached.insert("nothing to take");
                return;
            };
            self.taken += 1;
            sent.number = self.total;
            self.total += 1;
            self.owed.push(sent);
        }
    }

    fn untake(&mut self) {
        let (total, regions) = (self.total, self.regions);
        let is_possible =
            |sent: &mut Sent| sent.number + 1 == total && sent.regions & !regions == 0;
        let Some(sent) = self.owed.pop_if(is_possible) else { return };
        self.reached.insert("a chain taken back");
        self.device(Step::Unpop { which: 0 });
        self.total -= 1;
        self.taken = self.taken.saturating_sub(1);
        self.offered.push_front(sent);
    }

    fn give(&mut self, which: u8, len: u32) {
        let count = self.owed.len().max(1);
        let which = if self.has(feature::IN_ORDER) { 0 } else { usize::from(which) % count };
        let writable = self.owed.get(which).map_or(0, |sent| sent.writable);
        let len = if len == u32::MAX { writable } else { len.min(writable) };
        self.device(Step::Put { which: u8::try_from(which).unwrap_or(0), len });
        if which > 0 {
            self.reached.insert("a buffer given back before an older one");
        }
        if which < self.owed.len() {
            let sent = self.owed.remove(which);
            self.give_up(sent);
        }
    }

    fn give_up(&mut self, sent: Sent) {
        self.advance(1, self.stride(&sent), "the device wraps");
        self.done.push(sent);
    }

    fn give_batch(&mut self, count: u8) {
        let count = usize::from(count).min(self.owed.len());
        let writable = self.owed.first().map_or(0, |sent| sent.writable);
        self.device(Step::Batch { count: u8::try_from(count).unwrap_or(0), len: writable });
        if count > 1 && !self.has(feature::IN_ORDER) {
            self.reached.insert("a batch without IN_ORDER");
            return;
        }
        // Only the last of a batch may have writable bytes (VQ-059).
        let unfit = self.owed[..count.max(1) - 1].iter().position(|sent| sent.writable > 0);
        let count = unfit.unwrap_or(count);
        if unfit.is_some() {
            self.reached.insert("a batch that a writable buffer ends");
        }
        if count > 1 {
            self.reached.insert("a batch of several");
        }
        for sent in self.owed.drain(..count).collect::<Vec<_>>() {
            self.give_up(sent);
        }
    }

    fn publish(&mut self) {
        self.device(Step::Publish);
        for slot in self.done.drain(..).flat_map(|sent| sent.slots) {
            self.busy[usize::from(slot)] = false;
        }
    }

    /// What is out when a device stops stays out.
    fn restart(&mut self, is_fresh: bool) {
        self.steps.push(Step::Restart { is_fresh });
        if is_fresh {
            self.reached.insert("a restart from the beginning");
            self.reset();
            // The driver begins with an empty ring as well.
            self.steps.push(match self.form {
                Form::Split => Step::Advance { by: 0 },
                Form::Packed => Step::Poke {
                    address: self.start.parts[0],
                    bytes: vec![0; 16 * usize::from(self.size())].into(),
                },
            });
            return;
        }
        if !self.offered.is_empty() {
            self.reached.insert("a restart with chains to take");
        }
        if !self.owed.is_empty() {
            self.reached.insert("a restart with buffers out");
        }
        let unpublished = self.done.iter().map(|sent| self.stride(sent)).sum::<usize>();
        let lap = if self.form == Form::Split { 0x1_0000 } else { usize::from(self.size()) };
        let used = (usize::from(self.indices[1]) + lap - unpublished) % lap;
        self.indices[1] = u16::try_from(used).unwrap_or(0);
        self.owed.clear();
        self.done.clear();
        self.taken = 0;
    }

    fn change_memory(&mut self, mask: u8) {
        let needed = self.offered.iter().fold(1, |mask, sent| mask | sent.regions);
        let regions = mask | needed;
        let all = (1 << self.start.layout.areas().len()) - 1;
        if regions & all != all {
            self.reached.insert("fewer regions");
        }
        self.regions = regions;
        self.taken = 0;
        self.steps.push(Step::Memory { regions });
    }

    /// Where a table may be: one for each descriptor.
    fn table(&self, slot: u16) -> u64 {
        self.start.end() + TABLE_LEN * u64::from(slot)
    }

    /// The memory for buffers: neighbours are one.
    fn spans(&self) -> Vec<(u64, u64)> {
        let mut spans: Vec<(u64, u64)> = Vec::new();
        for (at, area) in self.start.layout.areas().iter().enumerate() {
            if self.regions & 1 << at == 0 {
                continue;
            }
            match spans.last_mut() {
                Some((start, size)) if start.wrapping_add(*size) == area.start => {
                    *size += area.size;
                }
                _ => spans.push((area.start, area.size)),
            }
        }
        // The ring and its tables are not for buffers.
        let first = self.table(SIZE_MAX);
        for (start, size) in &mut spans {
            if *start < first && first - *start < *size {
                (*start, *size) = (first, *size - (first - *start));
            }
        }
        spans
    }

    /// The buffers of a draft: where there is memory for them.
    fn buffers(&self, draft: &Draft) -> Vec<Descriptor> {
        let spans = self.spans();
        let whole = usize::from(self.size().min(SIZE_MAX));
        let count = if draft.is_whole { whole } else { draft.buffers.len() };
        let readable = count - draft.writable.min(count);
        let buffer = |(at, (place, len)): (usize, &(u32, u32))| {
            let (start, size) = spans[*place as usize % spans.len()];
            let len = (*len).min(u32::try_from(size).unwrap_or(u32::MAX));
            let offset = u64::from(*place) % (size - u64::from(len) + 1);
            let next = if at + 1 < count { flag::NEXT } else { 0 };
            let write = if at >= readable { flag::WRITE } else { 0 };
            let flags = next | write | draft.odd & ODD;
            Descriptor { address: start.wrapping_add(offset), len, flags }
        };
        draft.buffers.iter().cycle().take(count).enumerate().map(buffer).collect()
    }

    /// Regions that buffers have bytes in.
    fn regions_of(&self, buffers: &[Descriptor]) -> u8 {
        let areas = self.start.layout.areas().iter().enumerate();
        areas.fold(0, |mask, (at, area)| {
            let is_in = |it: &Descriptor| {
                let begin = it.address.wrapping_sub(area.start);
                let is_before = area.start.wrapping_sub(it.address) < u64::from(it.len);
                it.len > 0 && (begin < area.size || is_before)
            };
            mask | u8::from(buffers.iter().any(is_in)) << at
        })
    }

    /// Neighbours that are free, from where the driver goes on or, in a split ring, elsewhere.
    fn room(&self, count: usize) -> Option<Vec<u16>> {
        let size = self.size();
        if count > usize::from(size) {
            return None;
        }
        let from =
            |head: u16| (0..count).map(move |at| (usize::from(head) + at) % usize::from(size));
        let is_free = |head: &u16| from(*head).all(|slot| !self.busy[slot]);
        let heads = match self.form {
            Form::Split => size,
            Form::Packed => 1,
        };
        let head = (0..heads).map(|by| (self.next + by) % size).find(is_free)?;
        Some(from(head).filter_map(|slot| u16::try_from(slot).ok()).collect())
    }

    /// Makes a chain available, if there is room for it.
    fn send(&mut self, draft: &Draft, damage: Option<(Fault, Index)>) {
        let mut list = self.buffers(draft);
        let (regions, bytes) = (self.regions_of(&list), self.bytes_of(&list));
        let mut table = self.cut_table(draft, &mut list);
        let Some(slots) = self.room(list.len()) else {
            self.reached.insert("a full ring");
            return;
        };
        let mut id = slots[0];
        if let Some((entries, head)) = table.as_ref().zip(list.last_mut()) {
            self.reached.insert("a table");
            if slots.len() > 1 {
                self.reached.insert("a table behind buffers");
            }
            let len = 16 * u32::try_from(entries.len()).unwrap_or(0);
            let flags = flag::INDIRECT | draft.odd & ODD;
            *head = Descriptor { address: self.table(id), len, flags };
        }
        let address = self.table(id);
        let mut behind = None;
        if let Some((fault, at)) = damage {
            behind = self.spoil(&mut id, &mut list, table.as_mut(), fault, at);
        }
        if let Some(entries) = table {
            let descriptors = entries.into_iter().collect();
            self.steps.push(Step::Table { address, descriptors });
        }
        self.device(Step::Chain { id, descriptors: list.into_iter().collect() });
        self.steps.extend(behind);
        self.note(&slots, regions, bytes);
        slots.iter().for_each(|slot| self.busy[usize::from(*slot)] = true);
        let count = u16::try_from(slots.len()).unwrap_or(u16::MAX);
        self.next = (slots[0] + count) % self.size();
        let [_, writable] = bytes;
        let sent = Sent { slots, writable, regions, number: 0 };
        self.advance(0, self.stride(&sent), "the driver wraps");
        self.offered.push_back(sent);
    }

    /// Readable and writable bytes.
    fn bytes_of(&self, buffers: &[Descriptor]) -> [u32; 2] {
        let mut bytes = [0_u32; 2];
        for Descriptor { len, flags, .. } in buffers {
            let direction = &mut bytes[usize::from(flags & flag::WRITE != 0)];
            *direction = direction.saturating_add(*len);
        }
        bytes
    }

    /// Takes the entries of a table out of a list, whose last descriptor is left for the table.
    fn cut_table(&self, draft: &Draft, list: &mut Vec<Descriptor>) -> Option<Vec<Descriptor>> {
        let direct = draft.table.filter(|_| self.has(feature::INDIRECT) && !draft.is_whole)?;
        let direct = match self.form {
            Form::Split => direct.min(list.len() - 1),
            Form::Packed => 0,
        };
        if self.start.cap > 0 && list.len() - direct > usize::from(self.start.cap) {
            return None;
        }
        let entries = list.split_off(direct);
        list.push(entries[0]);
        Some(entries)
    }

    fn note(&mut self, slots: &[u16], regions: u8, bytes: [u32; 2]) {
        if slots.len() == usize::from(self.size()) && slots.len() > 1 {
            self.reached.insert("a chain as long as the ring");
        }
        if regions.count_ones() > 1 {
            self.reached.insert("a chain in two regions");
        }
        if bytes == [0, 0] {
            self.reached.insert("a chain without bytes");
        }
    }

    /// Makes one thing of a chain wrong. What cannot be said with the chain comes behind it.
    fn spoil(
        &self,
        id: &mut u16,
        list: &mut [Descriptor],
        table: Option<&mut Vec<Descriptor>>,
        fault: Fault,
        at: Index,
    ) -> Option<Step<'static>> {
        let head = *id;
        let last = list.len() - 1;
        let mut all: Vec<_> = list.iter_mut().chain(table.into_iter().flatten()).collect();
        let at = at.index(all.len());
        match fault {
            Fault::Flag(bits) => all[at].flags ^= bits,
            Fault::Address(address) => all[at].address = address,
            Fault::Len(len) => all[at].len = len,
            Fault::TableLen(len) => all[last].len = len,
            Fault::TableAddress(address) => all[last].address = address,
            Fault::Head(value) if self.form == Form::Split => *id = value,
            Fault::Head(_) => all[at].flags ^= flag::AVAIL,
            Fault::Next(next) => {
                // In the ring, or in the table behind it.
                let (base, index) = match at.checked_sub(last + 1) {
                    None => (self.start.parts[0], (usize::from(head) + at) % self.busy.len()),
                    Some(entry) => (self.table(head), entry),
                };
                let place = 16 * u64::try_from(index).unwrap_or(0) + 14;
                let bytes = next.to_le_bytes().to_vec();
                return Some(Step::Poke { address: base.wrapping_add(place), bytes: bytes.into() });
            }
            Fault::Repeat => {
                return Some(Step::Chain { id: head, descriptors: std::iter::empty().collect() });
            }
            Fault::Ahead(by) => return Some(Step::Advance { by }),
        }
        None
    }
}
