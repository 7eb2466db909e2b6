//! Whatever comes, the model has a next step, and the step has the form its class allows.

use super::*;

/// Requests that are answered in every case, or end the connection (spec §1.6).
const HAS_REPLY: [u64; 17] = [1, 11, 15, 17, 22, 24, 26, 28, 30, 31, 36, 40, 41, 42, 43, 44, 45];

/// Numbers that look random (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }

    fn pick(&mut self, numbers: &[u64]) -> u64 {
        let len = numbers.len() as u64;
        numbers[usize::try_from(self.below(len)).unwrap()]
    }

    fn half(&mut self, numbers: &[u64]) -> u32 {
        u32::try_from(self.pick(numbers)).unwrap()
    }

    /// A payload that is often a legal one.
    fn body(&mut self, code: u32) -> Vec<u8> {
        let (page, index) = (0x1000, self.half(&[0, 0, 1, 1, 2, 2, 3, 3, 4]));
        let region = |at: u64| [at * page, page, at * page, at * page];
        match code {
            2 => words(&[self.pick(&[0, IOMMU, BIT_30 | IOMMU, IOMMU | PACKED, IOMMU | 1 << 26])]),
            16 => words(&[self.pick(&[EVERY, EVERY, EVERY | 1 << 15, EVERY | 2, EVERY | 2, 8])]),
            5 => match self.below(4) {
                0 => Vec::new(),
                1 => vec![0; 8],
                _ => table(&[region(self.below(4)), region(self.below(8))]),
            },
            37 | 38 => slot(region(self.below(8))),
            9 => addr(index, page * self.below(3)),
            12..=14 => words(&[u64::from(index) | self.pick(&[0, 0x100])]),
            8 | 10 | 11 | 18 | 23 | 35 | 45 => halves(&[index, self.half(&[0, 1, 2, 256])]),
            22 => {
                let kind = u8::try_from(self.pick(&[1, 2, 2, 3])).unwrap();
                iotlb(self.below(3), self.below(3), self.pick(&[0, page, u64::MAX]), 3, kind)
            }
            24 | 25 => config([self.half(&[0, 8, 60, 61]), 4, index % 3], &[0; 4]),
            26 => vec![0; 1072],
            31 | 32 => inflight(self.pick(&[0, 0x10000]), 0, 1, 256),
            41 => vec![1; 16],
            42 => halves(&[index % 3, 0]),
            6 => words(&[self.below(2), 0]),
            19 | 20 | 27 | 39 => words(&[self.pick(&[0, 1500])]),
            _ => Vec::new(),
        }
    }
}

fn check(code: u64, sent: &Step, allowed_silence: bool) {
    match sent {
        Step::Silent => assert!(allowed_silence, "request {code} has to be answered"),
        Step::Reply { bytes, fds, refusal } => {
            let field = |at| crate::vhost_user::number(bytes, at, 4);
            assert_eq!((field(0), field(4)), (code, 5));
            assert_eq!(field(8), bytes.len() as u64 - 12);
            assert!(*fds <= usize::from(refusal.is_none()));
        }
        Step::Need(_) | Step::Close(_) => {}
    }
}

/// Plays one connection to its end; counts in how many steps each named state was there.
fn connection(backend: &mut Backend, dice: &mut Dice, seen: &mut [usize; 5]) {
    for _ in 0..200 {
        let code = u32::try_from(dice.below(47)).unwrap();
        let body = dice.body(code);
        let natural = match code {
            5 if body.len() > 8 => 2,
            6 => usize::from(backend.protocol() & 2 != 0),
            7 | 21 | 32 | 33 | 37 | 42 => 1,
            12..=14 => usize::from(body[1] == 0),
            _ => 0,
        };
        let fds = if dice.below(60) == 0 { 1 } else { natural };
        let flags = if dice.below(16) == 0 { 1 } else { 9 };
        let due = flags == 9 && backend.protocol() & 8 != 0;
        let has_reply = HAS_REPLY.contains(&code.into());
        let is_table = code == 5;
        let mut step = backend.message(&frame(code, flags, &body), fds);
        while let Step::Need(_) = step {
            assert!(backend.is_pending());
            let fd = dice.below(2) == 0;
            step = match dice.below(20) {
                0 => backend.done(Outcome::Failed),
                _ => backend.done(Outcome::Done { number: dice.roll(), bytes: vec![1; 3], fd }),
            };
        }
        assert!(!backend.is_pending());
        check(code.into(), &step, !has_reply && (!due || is_table));
        if matches!(step, Step::Close(_)) {
            return;
        }
        for ring in backend.rings() {
            assert!(ring.started || ring.kick == Notifier::None, "a stopped ring has no kick");
        }
        assert!(backend.held_fds() <= 3 * 4 + 1 + backend.regions().len());
        assert!(backend.held_mappings() <= 2 + backend.regions().len());
        let states = [
            backend.rings().iter().any(|ring| ring.started),
            backend.regions().len() > 2,
            backend.has_log(),
            backend.has_inflight(),
            backend.postcopy() == "Active",
        ];
        for (count, is_there) in seen.iter_mut().zip(states) {
            *count += usize::from(is_there);
        }
    }
}

/// Says a few things that open doors; every effect ends well.
fn open(backend: &mut Backend, round: u64) {
    let features = if round.is_multiple_of(3) { EVERY | 1 << 15 } else { EVERY | 1 << 1 };
    let mut opening = vec![(16, words(&[features]), 0)];
    if round.is_multiple_of(2) {
        opening.push((2, words(&[IOMMU]), 0));
    }
    if round % 6 == 1 {
        let regions = table(&[[0, 0x1000, 0, 0], [0x1000, 0x1000, 0x1000, 0]]);
        opening.extend([(28, Vec::new(), 0), (29, Vec::new(), 0), (5, regions, 2)]);
        opening.push((5, Vec::new(), 0));
    }
    for (code, body, fds) in opening {
        let mut step = backend.message(&frame(code, 1, &body), fds);
        while let Step::Need(_) = step {
            step = backend.done(well());
        }
        assert!(matches!(step, Step::Silent | Step::Reply { refusal: None, .. }), "{step:?}");
    }
}

#[test]
fn whatever_comes_there_is_a_next_step() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut backend = Backend::new(offer());
    let mut seen = [0; 5];
    for round in 0..2000 {
        if round % 8 != 0 {
            open(&mut backend, round);
        }
        connection(&mut backend, &mut dice, &mut seen);
        backend.disconnect();
        assert_eq!((backend.held_fds(), backend.held_mappings()), (0, 0));
        assert!(backend.regions().is_empty() && backend.virtio().is_none());
    }
    assert!(seen.iter().all(|steps| *steps > 20), "the dice do not reach each state: {seen:?}");
}
