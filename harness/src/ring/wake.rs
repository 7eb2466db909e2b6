//! A wake-up: the device works, and the driver goes on meanwhile.

use vhost_fuzz_core::ring::{Broken, Malformed, PopError, PutError, Ring};
use vhost_fuzz_model::ring::{Pop, PutRefusal, Stop};

use super::compare;
use super::model::{Model, form};
use super::run::{Books, Watch};
use super::step::Step;
use super::world::World;
use crate::ram::GuestRam as _;

/// Most chains that one step takes.
const POPS_MAX: u8 = 64;

/// Bytes of a chain that are read at most.
const READ_MAX: usize = 512;

/// Bytes of a chain that are written at most.
const WRITE_MAX: usize = 16;

/// A ring that is bound.
pub(super) struct Wake<'a, R> {
    pub(super) ring: R,
    pub(super) world: &'a World,
    pub(super) books: &'a mut Books,
}

impl<R: Ring> Wake<'_, R> {
    /// Runs steps up to the first that cannot be in this wake-up, and gives that one back.
    pub(super) fn run<'s>(
        &mut self,
        first: Step<'s>,
        steps: &mut impl Iterator<Item = Step<'s>>,
    ) -> Option<Step<'s>> {
        if first != Step::Wake {
            self.step(&first);
        }
        loop {
            let step = steps.next()?;
            match step {
                Step::Start(_) | Step::Memory { .. } | Step::Restart { .. } | Step::Wake => {
                    return Some(step);
                }
                step => self.step(&step),
            }
        }
    }

    fn step(&mut self, step: &Step<'_>) {
        if self.books.drive(self.world, step) {
            return;
        }
        self.world.ram.begin();
        self.books.writes.clear();
        match step {
            Step::Pop { count } => {
                for _ in 0..(*count).clamp(1, POPS_MAX) {
                    self.world.ram.begin();
                    if !self.pop() {
                        break;
                    }
                }
                return;
            }
            Step::Read { border, len } => self.read(*border, *len),
            Step::Write { len } => self.write(*len),
            Step::Unpop { which } => self.unpop(*which),
            Step::Put { which, len } => self.put(*which, *len),
            Step::Batch { count, len } => self.batch(*count, *len),
            Step::Publish => self.publish(),
            Step::Arm => self.arm(),
            Step::Disarm => self.disarm(),
            _ => return,
        }
        self.books.outcome.operations += 1;
    }

    /// Takes a chain; whether there may be another one.
    fn pop(&mut self) -> bool {
        let Self { ring, world, books } = self;
        books.outcome.operations += 1;
        if books.watch == Watch::Closely {
            world.ram.guard_writes([]);
        }
        let chain = &mut books.chain;
        let answer = watched(books.watch, "pop", || ring.pop(chain));
        let Some(model) = &mut books.model else { unreachable!("a bound ring runs") };
        let expected = model.pop(world, &mut books.taken);
        let counts = world.ram.counts();
        let limit = u64::from(books.start.size) + u64::from(books.start.cap_in_force()) + 4;
        assert!(
            counts.reads <= 2 * limit,
            "budget: taking a chain took {} reads of at most {limit}",
            counts.reads
        );
        assert!(counts.writes == 0, "guarded memory: taking a chain wrote to memory");
        books.is_chain_good = false;
        match (answer, expected) {
            (Ok(None), Pop::Empty) | (Err(PopError::Yield), Pop::Yield) => false,
            (Ok(Some(token)), Pop::Chain { token: expected }) => {
                compare::assert_token(&token, &expected);
                compare::assert_chain(&books.chain, &books.taken);
                books.owed.push((token, expected));
                books.is_chain_good = true;
                true
            }
            (
                Err(PopError::Malformed { token, error }),
                Pop::Dropped { token: expected, error: why },
            ) => {
                compare::assert_token(&token, &expected);
                assert_dropped(error, why);
                let is_empty =
                    books.chain.readable().is_empty() && books.chain.writable().is_empty();
                assert!(is_empty, "model: a part of a malformed chain can be seen");
                books.outcome.broken.push(why.rule(form(error.layout)));
                books.owed.push((token, expected));
                true
            }
            (Err(PopError::Broken(broken)), Pop::Stopped(expected)) => {
                self.note_stop("pop", broken, expected);
                false
            }
            (answer, expected) => {
                panic!("model: taking a chain: the device says {answer:?}, the model {expected:?}")
            }
        }
    }

    /// Takes the taking of a chain back; the newest is 0.
    fn unpop(&mut self, which: u8) {
        let Some(last) = self.books.owed.len().checked_sub(1) else { return };
        let which = last - usize::from(which) % (last + 1);
        let (token, expected) = self.books.owed.remove(which);
        self.books.is_chain_good = false;
        self.guard();
        let answer = watched(self.books.watch, "unpop", || self.ring.unpop(token));
        let Some(model) = &mut self.books.model else { unreachable!("a bound ring runs") };
        match (answer, model.unpop(expected)) {
            (Ok(()), Ok(())) => {}
            (Err(PutError { token, reason }), Err(refusal)) => {
                compare::assert_put(reason, refusal);
                self.books.owed.insert(which, (token, expected));
            }
            (answer, verdict) => panic!(
                "model: taking {expected:?} back: the device says {answer:?}, the model {verdict:?}"
            ),
        }
        self.books.check_writes(self.world, "unpop");
    }

    fn put(&mut self, which: u8, len: u32) {
        if self.books.owed.is_empty() {
            return;
        }
        let which = usize::from(which) % self.books.owed.len();
        let (token, expected) = self.books.owed.remove(which);
        self.guard();
        let answer = watched(self.books.watch, "put", || self.ring.put(token, len));
        let Some(model) = &mut self.books.model else { unreachable!("a bound ring runs") };
        let verdict = model.put(expected, len, &mut self.books.writes);
        match (answer, verdict) {
            (Ok(()), Ok(())) => self.books.check_writes(self.world, "put"),
            (Err(PutError { token, reason }), Err(refusal)) => {
                compare::assert_put(reason, refusal);
                self.books.check_writes(self.world, "put");
                // It stays out, at its place.
                self.books.owed.insert(which, (token, expected));
            }
            (answer, verdict) => panic!(
                "model: giving {expected:?} back with {len}: the device says {answer:?}, the model \
                 {verdict:?}"
            ),
        }
    }

    /// Gives the oldest buffers back as one batch. A buffer that cannot be in front of another in
    /// a batch ends it.
    fn batch(&mut self, count: u8, len: u32) {
        let is_in_order = self.books.start.is_in_order();
        let count = usize::from(count).min(self.books.owed.len());
        let Some(last) = count.checked_sub(1) else { return };
        if last == 0 {
            return self.put(0, len);
        }
        if let Some(stop) = self.books.model.as_ref().and_then(Model::stopped) {
            return self.refuse_batch(PutRefusal::Stopped(stop));
        }
        let unfit = self.books.owed[..last].iter().position(|(_, token)| token.writable > 0);
        match unfit {
            _ if !is_in_order => return self.refuse_batch(PutRefusal::NoBatch),
            Some(0) => {
                return self.refuse_batch(PutRefusal::LengthNotImplied { index: 0 });
            }
            _ => {}
        }
        let last = unfit.map_or(last, |at| at - 1);
        let tokens: Vec<_> = self.books.owed[..=last].iter().map(|(_, token)| *token).collect();
        let len = len.min(tokens[last].writable);
        self.guard();
        for (at, (token, _)) in self.books.owed.drain(..=last).enumerate() {
            let answer = if at == last { self.ring.put(token, len) } else { self.ring.skip(token) };
            if let Err(error) = answer {
                panic!("model: the device does not take part {at} of a batch: {error:?}");
            }
        }
        let Some(model) = &mut self.books.model else { unreachable!("a bound ring runs") };
        let verdict = model.put_batch(&tokens, len, &mut self.books.writes);
        assert!(verdict.is_ok(), "model: the device takes a batch, the model says {verdict:?}");
        self.books.check_writes(self.world, "batch");
    }

    /// The oldest buffer cannot begin a batch.
    fn refuse_batch(&mut self, expected: PutRefusal) {
        let (token, model) = self.books.owed.remove(0);
        let answer = self.ring.skip(token);
        match answer {
            Err(PutError { token, reason }) => {
                compare::assert_put(reason, expected);
                self.books.owed.insert(0, (token, model));
            }
            Ok(()) => panic!("model: the device begins a batch, the model says {expected:?}"),
        }
    }

    fn publish(&mut self) {
        self.guard();
        let answer = watched(self.books.watch, "publish", || self.ring.publish());
        let Some(model) = &mut self.books.model else { unreachable!("a bound ring runs") };
        let expected = model.publish(self.world, &mut self.books.writes);
        self.compare_flag("publish", answer, expected);
    }

    fn arm(&mut self) {
        self.guard();
        let answer = watched(self.books.watch, "arm", || self.ring.arm());
        let Some(model) = &mut self.books.model else { unreachable!("a bound ring runs") };
        let expected = model.arm(self.world, &mut self.books.writes);
        self.compare_flag("arm", answer, expected);
    }

    fn disarm(&mut self) {
        self.guard();
        let answer = watched(self.books.watch, "disarm", || self.ring.disarm());
        let Some(model) = &mut self.books.model else { unreachable!("a bound ring runs") };
        model.disarm(&mut self.books.writes);
        let expected = model.stopped().map_or(Ok(false), Err);
        self.compare_flag("disarm", answer.map(|()| false), expected);
    }

    fn compare_flag(
        &mut self,
        what: &str,
        answer: Result<bool, Broken>,
        expected: Result<bool, Stop>,
    ) {
        match (answer, expected) {
            (Ok(found), Ok(expected)) if found == expected => {}
            (Err(broken), Err(expected)) => self.note_stop(what, broken, expected),
            (answer, expected) => {
                panic!("model: {what}: the device says {answer:?}, the model {expected:?}")
            }
        }
        self.books.check_writes(self.world, what);
    }

    fn note_stop(&mut self, what: &str, broken: Broken, expected: Stop) {
        compare::assert_stop(what, broken, expected);
        let rule = crate::oracle::id(broken.rule());
        if self.books.outcome.broken.last() != Some(&rule) {
            self.books.outcome.broken.push(rule);
        }
    }

    /// Reads the chain that was taken last, with two readers, and compares with memory.
    fn read(&mut self, border: u16, len: u8) {
        let Books { chain, taken, is_chain_good: true, .. } = &*self.books else { return };
        let guest = self.world.guest();
        let border = u64::from(border).min(chain.readable_bytes());
        let Some((mut head, mut tail)) = chain.reader(&guest).split_at(border) else {
            panic!("model: a chain of {} bytes cannot be cut at {border}", chain.readable_bytes());
        };
        let mut found = [0; READ_MAX];
        let mut filled = 0;
        let step = usize::from(len.max(1));
        for reader in [&mut head, &mut tail] {
            while filled < READ_MAX {
                let end = READ_MAX.min(filled + step);
                match reader.read(&mut found[filled..end]) {
                    Ok(0) => break,
                    Ok(read) => filled += read,
                    Err(error) => panic!("model: a chain that is in memory: {error}"),
                }
            }
        }
        let whole = usize::try_from(taken.readable).unwrap_or(usize::MAX);
        assert!(filled == whole.min(READ_MAX), "model: {filled} bytes read of {whole}");
        // What is read twice differs in a flipping memory, and elements may overlap.
        if self.books.watch == Watch::Closely {
            return;
        }
        let mut at = 0;
        for element in taken.elements.iter().filter(|element| !element.writable) {
            let len = (filled - at).min(usize::try_from(element.len).unwrap_or(usize::MAX));
            let mut expected = [0; READ_MAX];
            self.world.ram.get(element.address, &mut expected[..len]);
            assert!(
                expected[..len] == found[at..at + len],
                "model: the bytes of {element:?} are not those in memory"
            );
            at += len;
        }
    }

    /// Writes to the chain that was taken last, and looks into memory.
    fn write(&mut self, len: u8) {
        let Books { chain, taken, is_chain_good: true, .. } = &*self.books else { return };
        let len = usize::from(len).min(WRITE_MAX);
        let pattern: [u8; WRITE_MAX] = *b"the device wrote";
        let writable = taken.elements.iter().filter(|element| element.writable);
        if self.books.watch == Watch::Closely {
            self.world.ram.guard_writes(
                writable.clone().map(|element| (element.address, element.len.into())),
            );
        }
        let guest = self.world.guest();
        let mut writer = chain.writer(&guest);
        let written = match writer.write(&pattern[..len]) {
            Ok(written) => written,
            Err(error) => panic!("model: a chain that is in memory: {error}"),
        };
        let expected = u64::try_from(len).unwrap_or(0).min(taken.writable);
        assert!(
            written as u64 == expected && u64::from(writer.written()) == expected,
            "model: {written} bytes written of {len} to {} bytes",
            taken.writable
        );
        // Elements may overlap: what was written last is there.
        let addresses = writable.flat_map(|element| {
            (0..element.len).map(|offset| element.address.wrapping_add(offset.into()))
        });
        let mut last = [(0, 0); WRITE_MAX];
        for ((slot, address), byte) in last.iter_mut().zip(addresses).zip(&pattern[..written]) {
            *slot = (address, *byte);
        }
        for (at, (address, byte)) in last[..written].iter().enumerate() {
            if last[at + 1..written].iter().any(|(later, _)| later == address) {
                continue;
            }
            let mut found = [0];
            self.world.ram.get(*address, &mut found);
            assert!(found == [*byte], "model: {found:02x?} at {address:#x}, not {byte:#04x}");
        }
        let counts = self.world.ram.counts();
        assert!(
            counts.written_bytes == expected,
            "guarded memory: {} bytes written, not {expected}",
            counts.written_bytes
        );
    }

    /// While it is watched closely, the device may write to its parts of the ring only.
    fn guard(&self) {
        if self.books.watch == Watch::Closely {
            let [descriptor, _, device] = self.books.start.parts;
            let size = u64::from(self.books.start.size);
            let ranges = if self.books.is_packed() {
                [(descriptor, 16 * size), (device, 4)]
            } else {
                [(device, 6 + 8 * size), (device, 0)]
            };
            self.world.ram.guard_writes(ranges);
        }
    }
}

/// What is wrong with a chain is what the model says.
fn assert_dropped(error: Malformed, expected: vhost_fuzz_model::ring::Drop) {
    assert!(
        compare::dropped(error) == Some(expected),
        "model: the device finds {error:?}, the model {expected:?}"
    );
}

/// Does something that has all its memory already; while it is watched closely, that is checked.
fn watched<T>(watch: Watch, what: &str, run: impl FnOnce() -> T) -> T {
    match watch {
        Watch::Lightly => run(),
        Watch::Closely => crate::budget::without_allocating(what, run),
    }
}
