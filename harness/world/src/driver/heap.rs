//! Guest memory that no ring has: for buffers and indirect tables.

use fastrand::Rng;

use crate::ram::Area;

/// How memory is chosen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fit {
    /// At a multiple of 16.
    pub(super) is_aligned: bool,
    /// Over a border of two regions, where one is free.
    pub(super) crosses: bool,
}

/// Free memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Heap {
    /// First address and length of what is free, by address. No two touch.
    free: Vec<(u64, u64)>,
    /// Where a region begins at the end of another.
    borders: Vec<u64>,
}

impl Heap {
    /// All regions without what is taken.
    pub(super) fn reset(&mut self, areas: &[Area], taken: &[(u64, u64)]) {
        self.free.clear();
        self.borders.clear();
        for area in areas {
            let is_neighbour = areas.iter().any(|other| other.start + other.size == area.start);
            self.borders.extend(is_neighbour.then_some(area.start));
            self.give(area.start, area.size);
        }
        for &(start, len) in taken {
            self.remove(start, len);
        }
    }

    /// The most that one buffer can have.
    pub(super) fn largest(&self) -> u64 {
        self.free.iter().map(|(_, len)| *len).max().unwrap_or(0)
    }

    /// Takes `len` bytes that lie next to each other.
    pub(super) fn take(&mut self, len: u64, fit: Fit, rng: &mut Rng) -> Option<u64> {
        if fit.crosses && len >= 2 {
            let first = rng.usize(..=self.borders.len());
            let (later, sooner) = self.borders.split_at(first);
            for &border in sooner.iter().chain(later) {
                let start = border - rng.u64(1..len).min(border);
                if let Some(hole) = self.free.iter().position(|&hole| holds(hole, start, len)) {
                    self.carve(hole, start, len);
                    return Some(start);
                }
            }
        }
        let count = self.free.len();
        let first = if count > 1 { rng.usize(..count) } else { 0 };
        let order = (first..count).chain(0..first);
        let (hole, start) = order.into_iter().find_map(|hole| {
            let (begin, has) = self.free[hole];
            let start = if fit.is_aligned {
                begin.checked_next_multiple_of(16)?
            } else {
                begin + rng.u64(..16)
            };
            // What is too short for the gap in front may still do without it.
            let start = if holds((begin, has), start, len) { start } else { begin };
            holds((begin, has), start, len).then_some((hole, start))
        })?;
        self.carve(hole, start, len);
        Some(start)
    }

    /// Gives memory back.
    pub(super) fn give(&mut self, start: u64, len: u64) {
        let next = self.free.partition_point(|hole| hole.0 < start);
        let joins_before = next > 0 && {
            let (begin, has) = self.free[next - 1];
            begin + has == start
        };
        let joins_after = self.free.get(next).is_some_and(|hole| start + len == hole.0);
        match (joins_before, joins_after) {
            (true, true) => {
                let (_, more) = self.free.remove(next);
                self.free[next - 1].1 += len + more;
            }
            (true, false) => self.free[next - 1].1 += len,
            (false, true) => {
                self.free[next].0 = start;
                self.free[next].1 += len;
            }
            (false, false) => self.free.insert(next, (start, len)),
        }
    }

    /// Takes a range out of a hole that has it.
    fn carve(&mut self, hole: usize, start: u64, len: u64) {
        let (begin, has) = self.free[hole];
        let (before, after) = (start - begin, begin + has - (start + len));
        match (before > 0, after > 0) {
            (true, true) => {
                self.free[hole].1 = before;
                self.free.insert(hole + 1, (start + len, after));
            }
            (true, false) => self.free[hole].1 = before,
            (false, true) => self.free[hole] = (start + len, after),
            (false, false) => {
                self.free.remove(hole);
            }
        }
    }

    /// Takes out what is free of a range. It ends below 2^64.
    fn remove(&mut self, start: u64, len: u64) {
        let end = start + len;
        while let Some(hole) =
            self.free.iter().position(|hole| hole.0 < end && start < hole.0 + hole.1)
        {
            let (begin, has) = self.free[hole];
            let from = start.max(begin);
            self.carve(hole, from, end.min(begin + has) - from);
        }
    }
}

/// Whether a hole has a range.
fn holds((begin, has): (u64, u64), start: u64, len: u64) -> bool {
    start.checked_sub(begin).and_then(|gap| has.checked_sub(gap)).is_some_and(|left| len <= left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ram::Layout;

    #[test]
    fn what_is_taken_is_apart_and_comes_back() {
        let mut rng = Rng::with_seed(3);
        for layout in Layout::ALL {
            let areas = layout.areas();
            let mut heap = Heap::default();
            heap.reset(areas, &[(areas[0].start + 100, 50), (areas[1].start - 1, 2)]);
            let fresh = heap.clone();
            for _ in 0..50 {
                let mut taken: Vec<(u64, u64)> = Vec::new();
                let fit = Fit { is_aligned: rng.bool(), crosses: rng.bool() };
                while let Some(start) = heap.take(1 + taken.len() as u64 * 37, fit, &mut rng) {
                    let len = 1 + taken.len() as u64 * 37;
                    let is_apart =
                        |other: &(u64, u64)| start + len <= other.0 || other.0 + other.1 <= start;
                    assert!(taken.iter().all(is_apart));
                    assert!(start + len <= areas[0].start + 100 || start >= areas[0].start + 150);
                    taken.push((start, len));
                }
                assert!(taken.len() > 10);
                rng.shuffle(&mut taken);
                taken.iter().for_each(|&(start, len)| heap.give(start, len));
                assert_eq!(heap.free, fresh.free);
            }
        }
    }

    #[test]
    fn a_border_can_be_crossed() {
        let mut heap = Heap::default();
        heap.reset(Layout::Odd.areas(), &[]);
        let fit = Fit { is_aligned: true, crosses: true };
        let mut rng = Rng::with_seed(1);
        let start = heap.take(16, fit, &mut rng).unwrap();
        let is_cut = |border| start < border && border < start + 16;
        assert!(Layout::Odd.areas()[1..3].iter().any(|area| is_cut(area.start)));
        heap.give(start, 16);
        assert_eq!(heap.largest(), 0xe000, "the three neighbours");
    }
}
