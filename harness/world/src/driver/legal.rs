//! The ways to lay out a request that the standard allows.

use fastrand::Rng;

use super::flight::{Buffer, Flight};
use super::heap::{Fit, Heap};
use super::{Full, Request};
use crate::ram::GuestRam;

/// Where the buffers of a request are described.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Form {
    /// In the ring.
    #[default]
    Direct,
    /// In an indirect table, when `INDIRECT_DESC` was negotiated.
    Indirect,
    /// The first so many in the ring, and the rest in an indirect table (VQ-019). In a packed
    /// ring, which has no such form, as [`Indirect`](Self::Indirect).
    Prefixed(u8),
}

/// How a request is laid out. Whatever is said here is legal for a driver, or is something that a
/// device has to ignore; what the negotiated features forbid is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Style {
    /// Where buffers are cut, and everything else that is drawn.
    pub seed: u64,
    /// Readable buffers, if there is room; 0 and 1 are one. With as many as there are bytes, each
    /// has one.
    pub readable_parts: u16,
    /// Writable buffers, likewise.
    pub writable_parts: u16,
    /// Buffers without bytes, whose addresses mean nothing (VQ-029).
    pub empties: u8,
    /// Cuts leave no buffer without bytes: a device in use takes none.
    pub is_filled: bool,
    /// Where the buffers are described.
    pub form: Form,
    /// Descriptors and table entries in any order; not with `IN_ORDER` (VQ-057), nor in a packed
    /// ring.
    pub is_shuffled: bool,
    /// Buffers and tables at any address.
    pub is_unaligned: bool,
    /// Buffers and tables over the borders of regions (VQ-027, VQ-028).
    pub crosses: bool,
    /// Writable buffers all begin at the same address.
    pub is_aliased: bool,
    /// `WRITE` on the descriptor of a table (VQ-018, PK-020).
    pub marks_table: bool,
    /// Flag bits without meaning are drawn, and so are fields without meaning, such as the `next`
    /// of a last descriptor (VQ-030, PK-018).
    pub has_noise: bool,
    /// Entries of a split table that no chain leads to.
    pub spare_entries: u8,
    /// Packed: any id that is not in use, instead of one below the size (PK-023).
    pub has_any_id: bool,
}

impl Style {
    /// A style for every number. One in four is plain, so that short inputs say something too.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed ^ 0x5731_e000);
        if rng.u8(..4) == 0 {
            return Self { seed, ..Self::default() };
        }
        let parts = |rng: &mut Rng| match rng.u8(..8) {
            0..4 => 1,
            4..6 => rng.u16(2..4),
            6 => rng.u16(4..20),
            _ => rng.u16(20..80),
        };
        let form = match rng.u8(..4) {
            0 | 1 => Form::Direct,
            2 => Form::Indirect,
            _ => Form::Prefixed(rng.u8(1..4)),
        };
        let sometimes = |rng: &mut Rng| rng.u8(..4) == 0;
        Self {
            seed,
            readable_parts: parts(&mut rng),
            writable_parts: parts(&mut rng),
            empties: if sometimes(&mut rng) { rng.u8(1..4) } else { 0 },
            is_filled: false,
            form,
            is_shuffled: rng.bool(),
            is_unaligned: rng.bool(),
            crosses: sometimes(&mut rng),
            is_aliased: rng.u8(..16) == 0,
            marks_table: sometimes(&mut rng),
            has_noise: sometimes(&mut rng),
            spare_entries: if sometimes(&mut rng) { rng.u8(1..8) } else { 0 },
            has_any_id: sometimes(&mut rng),
        }
    }

    /// What is drawn for a request in this style.
    pub(super) fn rng(&self) -> Rng {
        Rng::with_seed(self.seed)
    }

    /// How memory is chosen.
    pub(super) const fn fit(&self) -> Fit {
        Fit { is_aligned: !self.is_unaligned, crosses: self.crosses }
    }

    /// Some of these bits, when there is noise.
    pub(super) fn noise(&self, rng: &mut Rng, mask: u16) -> u16 {
        if self.has_noise { rng.u16(..) & mask } else { 0 }
    }
}

/// Lays the buffers of a request out in memory: at least one and at most `room` of them.
///
/// On an error the flight may hold memory, which is to be released.
pub(super) fn lay<R: GuestRam + ?Sized>(
    ram: &R,
    request: &Request<'_>,
    (style, rng): (&Style, &mut Rng),
    room: usize,
    heap: &mut Heap,
    flight: &mut Flight,
) -> Result<(), Full> {
    let counts = Counts::of(request, style, room, heap.largest()).ok_or(Full)?;
    flight.writable = request.writable;
    let readable = Side { bytes: request.readable.len() as u64, parts: counts.readable };
    readable.lay(false, style, heap, flight, rng)?;
    let mut left = request.readable;
    for buffer in flight.buffers.iter().filter(|buffer| buffer.len > 0) {
        let (now, later) = left.split_at(usize::try_from(buffer.len).map_err(|_| Full)?);
        ram.put(buffer.address, now);
        left = later;
    }
    flight.is_aliased = counts.is_aliased;
    if counts.is_aliased {
        // Nothing is drawn here, so that no buffer is longer than the memory that they share.
        let most = request.writable.div_ceil(counts.writable as u64);
        let address = place(most, style, heap, flight, rng)?;
        for at in 0..counts.writable as u64 {
            push(flight, address, most.min(request.writable.saturating_sub(at * most)), true)?;
        }
    } else {
        let writable = Side { bytes: request.writable, parts: counts.writable };
        writable.lay(true, style, heap, flight, rng)?;
    }
    add_empties(flight, counts.empties, rng);
    Ok(())
}

/// Most buffers that each have a place of their own. More than that are next to each other, so
/// that it does not take for ever to find memory for them.
const SCATTERED_MAX: usize = 6;

/// What one side of a request is cut into.
struct Side {
    bytes: u64,
    parts: usize,
}

impl Side {
    fn lay(
        &self,
        is_writable: bool,
        style: &Style,
        heap: &mut Heap,
        flight: &mut Flight,
        rng: &mut Rng,
    ) -> Result<(), Full> {
        let mut next = match self.parts {
            0..=SCATTERED_MAX => None,
            _ => Some(place(self.bytes, style, heap, flight, rng)?),
        };
        for len in cut(self.bytes, self.parts, style.is_filled, rng) {
            let address = match &mut next {
                Some(next) if len > 0 => std::mem::replace(next, *next + len),
                _ => place(len, style, heap, flight, rng)?,
            };
            push(flight, address, len, is_writable)?;
        }
        Ok(())
    }
}

/// How many buffers there are of each kind.
struct Counts {
    readable: usize,
    writable: usize,
    empties: usize,
    is_aliased: bool,
}

impl Counts {
    /// As the style says, in so far as there is room. `None`: there is too little.
    fn of(request: &Request<'_>, style: &Style, room: usize, largest: u64) -> Option<Self> {
        let least_readable = usize::from(!request.readable.is_empty());
        let least_writable = match request.writable {
            0 => 0,
            _ if largest == 0 => return None,
            bytes => usize::try_from(bytes.div_ceil(largest)).ok()?,
        };
        let least = least_readable + least_writable;
        let mut spare = room.checked_sub(least.max(1))?;
        let mut more = |wanted: usize| {
            let granted = wanted.min(spare);
            spare -= granted;
            granted
        };
        let wanted = |parts: u16, least: usize| {
            if least == 0 { 0 } else { usize::from(parts).saturating_sub(least) }
        };
        let readable = least_readable + more(wanted(style.readable_parts, least_readable));
        let writable = least_writable + more(wanted(style.writable_parts, least_writable));
        let empties = more(style.empties.into()).max(usize::from(least == 0));
        let is_aliased = writable > 0 && (style.is_aliased || least_writable > 1);
        Some(Self { readable, writable, empties, is_aliased })
    }
}

/// Cuts bytes into parts. Where there are enough parts, each has one byte, and there are no more.
/// If they are to be filled, there are fewer where two cuts meet.
fn cut(
    bytes: u64,
    parts: usize,
    is_filled: bool,
    rng: &mut Rng,
) -> impl Iterator<Item = u64> + use<> {
    let mut ends: Vec<u64> = if parts as u64 >= bytes {
        (1..=bytes).collect()
    } else {
        let cuts = parts.saturating_sub(1);
        (0..cuts).map(|_| rng.u64(..=bytes)).chain(std::iter::once(bytes)).collect()
    };
    ends.sort_unstable();
    if is_filled {
        ends.retain(|end| *end > 0);
        ends.dedup();
    }
    let mut start = 0;
    ends.into_iter().map(move |end| end - std::mem::replace(&mut start, end))
}

/// Takes memory for a buffer. One without bytes is anywhere.
fn place(
    len: u64,
    style: &Style,
    heap: &mut Heap,
    flight: &mut Flight,
    rng: &mut Rng,
) -> Result<u64, Full> {
    if len == 0 {
        return Ok(nowhere(rng));
    }
    let address = heap.take(len, style.fit(), rng).ok_or(Full)?;
    flight.memory.push((address, len));
    Ok(address)
}

/// An address that is looked at by nobody.
fn nowhere(rng: &mut Rng) -> u64 {
    match rng.u8(..4) {
        0 => 0,
        1 => u64::MAX,
        2 => rng.u64(..1 << 20),
        _ => rng.u64(..),
    }
}

fn push(flight: &mut Flight, address: u64, len: u64, is_writable: bool) -> Result<(), Full> {
    let len = u32::try_from(len).map_err(|_| Full)?;
    flight.buffers.push(Buffer { address, len, is_writable });
    Ok(())
}

/// Puts buffers without bytes between the others, the readable ones in front.
fn add_empties(flight: &mut Flight, count: usize, rng: &mut Rng) {
    for _ in 0..count {
        let border = flight.buffers.partition_point(|buffer| !buffer.is_writable);
        let at = rng.usize(..=flight.buffers.len());
        let is_writable = at > border || at == border && rng.bool();
        flight.buffers.insert(at, Buffer { address: nowhere(rng), len: 0, is_writable });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ram::{Layout, Ram};

    #[test]
    fn all_bytes_are_in_some_buffer_and_readable_ones_come_first() {
        let ram = Ram::new(Layout::Odd);
        let bytes: Vec<u8> = (0..200).collect();
        for seed in 0..4000 {
            let style = Style::draw(seed);
            let mut rng = Rng::with_seed(seed);
            let readable = &bytes[..[0, 1, 7, 200][rng.usize(..4)]];
            let writable = [0, 1, 60, 1000][rng.usize(..4)];
            let room = [1, 2, 5, 300][rng.usize(..4)];
            let (mut heap, mut flight) = (Heap::default(), Flight::default());
            heap.reset(Layout::Odd.areas(), &[]);
            let request = Request { readable, writable };
            let laid = lay(&ram, &request, (&style, &mut rng), room, &mut heap, &mut flight);
            let least = usize::from(!readable.is_empty()) + usize::from(writable > 0);
            assert_eq!(laid.is_ok(), least <= room, "{style:?}");
            if laid.is_err() {
                continue;
            }
            assert!((1..=room).contains(&flight.buffers.len()), "{style:?}");
            assert!(flight.buffers.is_sorted_by_key(|buffer| buffer.is_writable), "{style:?}");
            let mut found = Vec::new();
            for buffer in flight.buffers.iter().filter(|buffer| !buffer.is_writable) {
                let mut part = vec![0; usize::try_from(buffer.len).unwrap()];
                if !part.is_empty() {
                    ram.get(buffer.address, &mut part);
                }
                found.extend(part);
            }
            assert_eq!(found, readable, "{style:?}");
            let writable_buffers = flight.buffers.iter().filter(|buffer| buffer.is_writable);
            assert_eq!(writable_buffers.map(|buffer| u64::from(buffer.len)).sum::<u64>(), writable);
        }
    }

    #[test]
    fn cuts_that_are_filled_have_all_bytes_and_no_empty_part() {
        let mut rng = Rng::with_seed(5);
        for (bytes, parts) in [(16, 9), (3, 2), (1, 5), (0, 3), (4096, 80)] {
            for _ in 0..100 {
                let lengths: Vec<_> = cut(bytes, parts, true, &mut rng).collect();
                assert!(lengths.iter().all(|len| *len > 0) && lengths.len() <= parts);
                assert_eq!(lengths.iter().sum::<u64>(), bytes);
            }
        }
    }

    #[test]
    fn the_same_number_draws_the_same_style_and_all_styles_are_drawn() {
        assert_eq!(Style::draw(77), Style::draw(77));
        let drawn: Vec<_> = (0..400).map(Style::draw).collect();
        let some = |what: fn(&Style) -> bool| drawn.iter().any(what);
        assert!(some(|style| *style == Style { seed: style.seed, ..Style::default() }));
        assert!(
            some(|style| matches!(style.form, Form::Prefixed(_))) && some(|style| style.crosses)
        );
        assert!(some(|style| style.form == Form::Indirect) && some(|style| style.is_shuffled));
        assert!(some(|style| style.is_aliased) && some(|style| style.marks_table));
        assert!(some(|style| style.has_noise) && some(|style| style.spare_entries > 0));
        assert!(some(|style| style.empties > 0) && some(|style| style.has_any_id));
        assert!(some(|style| style.readable_parts > 20) && some(|style| style.writable_parts > 20));
    }
}
