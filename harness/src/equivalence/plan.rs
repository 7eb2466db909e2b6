//! How a request lies in memory: where its bytes are, and how its descriptors are arranged.
//!
//! A request has one cell of memory, the same in the memory of both rings. Every legal way to lay
//! it out comes from one number, its [`Style`].

use arrayvec::ArrayVec;

/// Most bytes of a request in one direction.
pub const BYTES_MAX: u16 = 200;

/// Most pieces that those bytes are cut into.
const PIECES_MAX: usize = 8;

/// Empty descriptors in each direction, when there are any.
const EMPTY: usize = 2;

/// Most descriptors of a request.
pub const ELEMENTS_MAX: usize = 2 * (PIECES_MAX + EMPTY);

/// Where an empty descriptor points to: no memory is there, and nobody has to look (VQ-029).
const NOWHERE: u64 = 0xdead_0000;

/// Guest address of the first cell.
const CELLS: u64 = 0x1_2200;

/// Bytes of a cell.
const CELL: u64 = 0x400;

/// Number of cells: as many requests can be in flight.
pub const CELL_COUNT: usize = 47;

/// Where a region ends and the next one begins.
const BORDERS: [u64; 2] = [0x1_6ff8, 0x1_b001];

/// The cells that they go through: after 0x1f8 and after 0x201 bytes.
const BORDER_CELLS: [usize; 2] = [19, 35];

/// Where data and table are in a cell. The borders go through the data of the first, and through
/// an entry of the table of the second, which is aligned to nothing.
const PLACES: [Place; 2] = [Place { data: 0x140, table: 0 }, Place { data: 0, table: 0x1a5 }];

#[derive(Clone, Copy)]
struct Place {
    data: u64,
    table: u64,
}

/// How a request is laid out, as a number of 16 bits. Every number is a style.
///
/// | Bits | Meaning |
/// |---|---|
/// | 0-2 | pieces that the readable bytes are cut into, less one |
/// | 3-5 | pieces that the writable bytes are cut into, less one |
/// | 6-7 | 0 and 3: direct; 1: indirect; 2: the first descriptor direct, the others indirect |
/// | 8 | descriptors in a mixed order, and buffer ids that are not small |
/// | 9 | descriptors without bytes before and after the first piece of each direction |
/// | 10 | in a cell that a border between two regions goes through, if one is free |
/// | 11 | the table after the data and aligned to nothing |
/// | 12 | pieces of one byte, and the rest in the last; otherwise equal ones |
/// | 13 | pieces lie in memory from the last to the first |
/// | 14 | bits and fields without meaning are not 0: VQ-018, VQ-030, PK-018 to PK-020 |
///
/// A packed ring has no lists with a table among other descriptors: there, 2 is 1. Without
/// `INDIRECT_DESC` everything is direct, and with `IN_ORDER` nothing is mixed (spec §1.4 m).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Style(pub u16);

impl Style {
    const fn bit(self, bit: u16) -> bool {
        self.0 >> bit & 1 == 1
    }

    fn pieces(self, is_writable: bool) -> usize {
        usize::from(self.0 >> if is_writable { 3 } else { 0 } & 7) + 1
    }

    /// A border between regions is wanted.
    #[must_use]
    pub const fn wants_border(self) -> bool {
        self.bit(10)
    }
}

/// What a request needs of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    /// Bytes that the device reads.
    pub readable: u16,
    /// Bytes that it can write.
    pub writable: u16,
    /// How they are laid out.
    pub style: Style,
}

/// A descriptor of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element {
    /// Guest address.
    pub address: u64,
    /// Bytes.
    pub len: u32,
    /// The device may write it.
    pub is_writable: bool,
}

/// Where the table of a request is, if it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// All descriptors are in the ring.
    Direct,
    /// The descriptors from `from` on are in a table.
    Table {
        /// Guest address of the table.
        address: u64,
        /// Descriptors that are not in it.
        from: usize,
    },
}

/// A request with a place in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Its cell.
    pub cell: usize,
    /// Its descriptors, the readable ones first.
    pub elements: ArrayVec<Element, ELEMENTS_MAX>,
    /// Where the table is.
    pub form: Form,
    /// The order of descriptors is mixed.
    pub is_shuffled: bool,
    /// Bytes that can be written.
    pub room: u16,
    /// What has no meaning is not 0.
    pub is_noisy: bool,
}

impl Plan {
    /// Lays a request out in a cell.
    #[must_use]
    pub fn new(request: &Request, cell: usize, has_indirect: bool) -> Self {
        let style = request.style;
        let base = CELLS + CELL * cell as u64;
        let place = PLACES[usize::from(style.bit(11))];
        let mut elements = ArrayVec::new();
        let writable_at = base + place.data + u64::from(request.readable);
        cut(&mut elements, request.readable, base + place.data, (style, false));
        cut(&mut elements, request.writable, writable_at, (style, true));
        if elements.is_empty() {
            elements.push(Element { address: NOWHERE, len: 0, is_writable: false });
        }
        let table = |from| Form::Table { address: base + place.table, from };
        let form = match style.0 >> 6 & 3 {
            1 if has_indirect => table(0),
            2 if has_indirect => table(usize::from(elements.len() > 1)),
            _ => Form::Direct,
        };
        let (is_shuffled, is_noisy) = (style.bit(8), style.bit(14));
        Self { cell, elements, form, is_shuffled, room: request.writable, is_noisy }
    }

    /// Whether a buffer or the table goes over the border of two regions.
    #[must_use]
    pub fn crosses_a_border(&self) -> bool {
        let buffers = self.elements.iter().map(|element| (element.address, element.len.into()));
        let table = match self.form {
            Form::Direct => None,
            Form::Table { address, from } => {
                Some((address, 16 * (self.elements.len() - from) as u64))
            }
        };
        buffers.chain(table).any(|(address, len): (u64, u64)| {
            BORDERS.iter().any(|border| address < *border && *border - address < len)
        })
    }

    /// Descriptors in the table of a split ring.
    #[must_use]
    pub fn split_slots(&self) -> usize {
        match self.form {
            Form::Direct => self.elements.len(),
            Form::Table { from, .. } => from + 1,
        }
    }

    /// Slots of a packed ring.
    #[must_use]
    pub fn packed_slots(&self) -> usize {
        match self.form {
            Form::Direct => self.elements.len(),
            Form::Table { .. } => 1,
        }
    }
}

/// Cuts `len` bytes at an address into the descriptors of one direction.
fn cut(
    elements: &mut ArrayVec<Element, ELEMENTS_MAX>,
    len: u16,
    address: u64,
    (style, is_writable): (Style, bool),
) {
    let total = usize::from(len);
    let count = style.pieces(is_writable).min(total);
    let empty = Element { address: NOWHERE, len: 0, is_writable };
    if style.bit(9) {
        elements.push(empty);
    }
    let mut at = 0;
    for piece in 0..count {
        let end = match (style.bit(12), piece + 1 == count) {
            (true, false) => at + 1,
            (true, true) => total,
            (false, _) => total * (piece + 1) / count,
        };
        let place = if style.bit(13) { total - end } else { at };
        let len = u32::try_from(end - at).unwrap_or(0);
        elements.push(Element { address: address + place as u64, len, is_writable });
        if piece == 0 && style.bit(9) {
            elements.push(empty);
        }
        at = end;
    }
}

/// The cells that no request has.
#[derive(Clone, Debug, Default)]
pub struct Cells {
    /// A bit for each cell that is taken.
    taken: u64,
}

impl Cells {
    /// Takes a free cell, if there is one.
    pub fn take(&mut self, style: Style) -> Option<usize> {
        let is_free = |cell: &usize| self.taken >> cell & 1 == 0;
        let border = BORDER_CELLS.into_iter().find(is_free).filter(|_| style.wants_border());
        let cell = border.or_else(|| (0..CELL_COUNT).find(is_free))?;
        self.taken |= 1 << cell;
        Some(cell)
    }

    /// Gives a cell back.
    pub const fn free(&mut self, cell: usize) {
        self.taken &= !(1 << cell);
    }
}

/// The bytes of a request or of its completion. Neighbours differ, and so do neighbouring
/// requests and the two directions.
pub fn content(request: usize, is_completion: bool, bytes: &mut [u8]) {
    let seed = (request as u64).wrapping_mul(2) + u64::from(is_completion);
    let [first, step, ..] = crate::draw::mix(0, seed + 1).to_le_bytes();
    let mut byte = first;
    for place in bytes {
        *place = byte;
        byte = byte.wrapping_add(step | 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plans() -> impl Iterator<Item = (Request, Plan)> {
        let lens = [0, 1, 2, 7, 8, BYTES_MAX];
        (0..=0x7fff_u16).step_by(13).zip(lens.into_iter().cycle()).flat_map(move |(style, len)| {
            lens.map(|writable| {
                let request = Request { readable: len, writable, style: Style(style) };
                let cell = usize::from(style) % CELL_COUNT;
                (request, Plan::new(&request, cell, true))
            })
        })
    }

    #[test]
    fn plans_have_every_byte_once_and_stay_in_their_cell() {
        for (request, plan) in plans() {
            let cell = CELLS + CELL * plan.cell as u64;
            let mut seen = std::collections::BTreeSet::new();
            for element in plan.elements.iter().filter(|element| element.len > 0) {
                for at in 0..u64::from(element.len) {
                    assert!(seen.insert(element.address + at), "{request:?}");
                }
            }
            if let Form::Table { address, from } = plan.form {
                for at in 0..16 * (plan.elements.len() - from) as u64 {
                    assert!(seen.insert(address + at), "{request:?}");
                }
            }
            assert!(seen.iter().all(|at| (cell..cell + CELL).contains(at)), "{request:?}");
            let sum = |is_writable| {
                let of = plan.elements.iter().filter(|element| element.is_writable == is_writable);
                of.map(|element| element.len).sum::<u32>()
            };
            assert_eq!((sum(false), sum(true)), (request.readable.into(), request.writable.into()));
            assert!(plan.elements.is_sorted_by_key(|element| element.is_writable));
        }
    }

    #[test]
    fn borders_go_through_data_and_through_tables() {
        let request = Request { readable: 200, writable: 200, style: Style(0) };
        for (cell, border) in BORDER_CELLS.into_iter().zip(BORDERS) {
            let plan = Plan::new(&request, cell, true);
            assert!(plan.crosses_a_border(), "{plan:x?}");
            assert!(!Plan::new(&request, cell + 1, true).crosses_a_border());
            let style = Style(0b11 << 3 | 0b111 | 1 << 6 | 1 << 11);
            let plan = Plan::new(&Request { style, ..request }, cell, true);
            let Form::Table { address, from: 0 } = plan.form else { panic!("{plan:?}") };
            let end = address + 16 * plan.elements.len() as u64;
            assert!((address + 1..end).contains(&border), "{plan:x?}");
            assert_ne!((border - address) % 16, 0, "it cuts an entry");
        }
        assert!(CELLS + CELL * CELL_COUNT as u64 <= 0x1_e000);
    }

    #[test]
    fn cells_are_taken_once() {
        let mut cells = Cells::default();
        assert_eq!(cells.take(Style(1 << 10)), Some(19));
        let mut taken: Vec<_> = std::iter::from_fn(|| cells.take(Style(0))).collect();
        assert_eq!(taken.len(), CELL_COUNT - 1);
        taken.sort_unstable();
        taken.dedup();
        assert_eq!(taken.len(), CELL_COUNT - 1);
        cells.free(5);
        assert_eq!(cells.take(Style(1 << 10)), Some(5));
        assert_eq!(cells.take(Style(0)), None);
    }

    #[test]
    fn contents_differ() {
        let of = |request, is_completion| {
            let mut bytes = [0; 8];
            content(request, is_completion, &mut bytes);
            bytes
        };
        let mut seen = std::collections::BTreeSet::new();
        for request in 0..100 {
            assert!(seen.insert(of(request, false)) && seen.insert(of(request, true)));
        }
    }
}
