//! A set of places in an arena.

/// Places, as spans that neither touch nor overlap, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Spans(Vec<(usize, usize)>);

impl Spans {
    /// Forgets all of them, and keeps the room.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Makes it the union of spans `start..end`.
    pub(super) fn fill(&mut self, spans: impl Iterator<Item = (usize, usize)>) {
        self.0.clear();
        self.0.extend(spans.filter(|(start, end)| start < end));
        self.0.sort_unstable();
        self.0.dedup_by(|next, before| {
            let joins = next.0 <= before.1;
            if joins {
                before.1 = before.1.max(next.1);
            }
            joins
        });
    }

    /// Takes a span out.
    pub(super) fn remove(&mut self, (start, end): (usize, usize)) {
        if start >= end {
            return;
        }
        let first = self.0.partition_point(|span| span.1 <= start);
        let last = self.0.partition_point(|span| span.0 < end);
        let Some(cut) = self.0.get(first..last).filter(|cut| !cut.is_empty()) else { return };
        let before = (cut[0].0, start);
        let after = (end, cut[cut.len() - 1].1);
        let rest = [before, after].into_iter().filter(|(start, end)| start < end);
        self.0.splice(first..last, rest);
    }

    /// Whether all of a span that is not empty is in it.
    pub(super) fn has(&self, (start, end): (usize, usize)) -> bool {
        self.behind(start).first().is_some_and(|span| span.0 <= start && end <= span.1)
    }

    /// The spans that end behind a place, in order.
    pub(super) fn behind(&self, place: usize) -> &[(usize, usize)] {
        self.0.get(self.0.partition_point(|span| span.1 <= place)..).unwrap_or_default()
    }

    /// Whether a byte of a span is in it.
    pub(super) fn meets(&self, (start, end): (usize, usize)) -> bool {
        self.behind(start).first().is_some_and(|span| span.0 < end && start < end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares with a set of numbers, for every span of a short line.
    #[test]
    fn spans_are_sets() {
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..2000 {
            let mut spans = Spans::default();
            let mut set = [false; 24];
            let drawn: Vec<_> = (0..rng.usize(..6))
                .map(|_| (rng.usize(..24), rng.usize(..25)))
                .filter(|(start, end)| start <= end)
                .collect();
            drawn.iter().for_each(|&(start, end)| set[start..end].fill(true));
            spans.fill(drawn.into_iter());
            for _ in 0..rng.usize(..3) {
                let start = rng.usize(..24);
                let end = rng.usize(start..25);
                set[start..end].fill(false);
                spans.remove((start, end));
            }
            for start in 0..24 {
                for end in start + 1..25 {
                    let bytes = &set[start..end];
                    assert_eq!(spans.has((start, end)), bytes.iter().all(|has| *has));
                    assert_eq!(spans.meets((start, end)), bytes.iter().any(|has| *has));
                }
            }
        }
    }
}
