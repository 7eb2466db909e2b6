//! Split ring: processes end after any store, and the next one finds what was not returned.

use std::panic::{AssertUnwindSafe, catch_unwind};

use vhost_fuzz_core::inflight::{AreaError, SplitArea};
use vhost_fuzz_harness::broken::inflight::{
    ClearsOneEntry, MarksBeforeTheCounter, Nothing, PlainSplit, SplitTracker, StoresTheIndexEarly,
};
use vhost_fuzz_harness::evidence::shows;
use vhost_fuzz_model::inflight::{Store, region_len, split as model};

use crate::inflight::shared::{Image, Shared};

/// What a process does.
#[derive(Clone, Debug)]
enum Op {
    Fetch(u16),
    Complete(Vec<u16>),
}

/// What the back-end owes the driver, whatever becomes of its processes.
#[derive(Clone, Debug, Default)]
struct Owed {
    /// Fetched and not in the used ring, oldest first.
    heads: Vec<u16>,
    /// The process ended while it fetched this one: recorded or not, both are right, because an
    /// unrecorded one is still the next of the available ring.
    cut: Option<u16>,
}

/// Operations that are right for a process that begins with these heads in flight.
fn operations(random: &mut fastrand::Rng, size: u16, count: usize, mut heads: Vec<u16>) -> Vec<Op> {
    let mut draw = || {
        let idle: Vec<u16> = (0..size).filter(|head| !heads.contains(head)).collect();
        if heads.is_empty() || (!idle.is_empty() && random.u8(..5) < 3) {
            let head = idle[random.usize(..idle.len())];
            heads.push(head);
            return Op::Fetch(head);
        }
        random.shuffle(&mut heads);
        Op::Complete(heads.split_off(random.usize(..heads.len())))
    };
    (0..count).map(|_| draw()).collect()
}

/// Runs a process until it is done or has ended.
fn live<T: SplitTracker<Shared>>(shared: &Shared, size: u16, ops: &[Op], owed: &mut Owed) {
    let tracker = T::take_over(shared.clone(), size, shared.ring_idx());
    let mut tracker = tracker.unwrap_or_else(|error| panic!("in-flight: refused: {error}"));
    for op in ops {
        if shared.is_dead() {
            return;
        }
        match op {
            Op::Fetch(head) => {
                tracker.fetch(*head).expect("idle");
                if shared.is_dead() {
                    owed.cut = Some(*head);
                } else {
                    owed.heads.push(*head);
                }
            }
            Op::Complete(batch) => {
                let before = shared.ring_idx();
                let publish = |idx| shared.store(Store::RingIdx(idx));
                tracker.complete(batch, &publish).expect("in flight");
                if shared.ring_idx() != before {
                    owed.heads.retain(|head| !batch.contains(head));
                }
            }
        }
    }
}

/// Takes over, and demands that exactly what is owed is found, in order.
fn check<T: SplitTracker<Shared>>(shared: &Shared, size: u16, owed: &mut Owed) {
    let expected = (shared.bytes()[8..10] != [0, 0])
        .then(|| model::reconnect(&shared.bytes(), shared.ring_idx()));
    let before = shared.bytes();
    shared.begin(None);
    let tracker = T::take_over(shared.clone(), size, shared.ring_idx());
    let mut tracker = tracker.unwrap_or_else(|error| panic!("in-flight: refused: {error}"));
    let pending = tracker.pending();
    let with_cut: Vec<u16> = owed.heads.iter().copied().chain(owed.cut).collect();
    assert!(
        pending == owed.heads || pending == with_cut,
        "in-flight: {pending:?} are done again, owed are {owed:?}"
    );
    if let Some(expected) = expected {
        assert_eq!(pending, expected.pending, "model: of {before:?}");
        let region = Shared::region(&before);
        expected.stores.into_iter().for_each(|store| region.store(store));
        assert_eq!(shared.bytes(), region.bytes(), "model: the region after the recovery");
    }
    *owed = Owed { heads: pending, cut: None };
}

/// Ends a process of the kind `T` after every number of stores, and its successor `U` too;
/// returns how many processes ended.
fn end_everywhere<T: SplitTracker<Shared>, U: SplitTracker<Shared>>(seeds: u64) -> usize {
    let mut ends = 0;
    for seed in 0..seeds {
        let mut random = fastrand::Rng::with_seed(seed);
        let size = 1 << random.u16(..4);
        let ops = operations(&mut random, size, 12, Vec::new());
        for stores in 0.. {
            let shared = Shared::new(region_len(size, false), size);
            if seed % 2 == 1 {
                // The index of the ring passes 65535 in these histories.
                shared.store(Store::RingIdx(65530));
                let region = Image::zero(region_len(size, false));
                let region = region.u16(8, 1).u16(10, size).u16(14, 65530);
                shared.tamper(|bytes| bytes.copy_from_slice(&region.0));
            }
            shared.begin(Some(stores));
            let mut owed = Owed::default();
            live::<T>(&shared, size, &ops, &mut owed);
            let is_done = !shared.is_dead();
            // The successor may end as well, anywhere in its recovery.
            for stores in 0.. {
                let again = shared.copy();
                again.begin(Some(stores));
                live::<U>(&again, size, &[], &mut Owed::default());
                ends += 1;
                let is_done = !again.is_dead();
                check::<U>(&again, size, &mut owed.clone());
                if is_done {
                    break;
                }
            }
            if is_done {
                break;
            }
        }
    }
    ends
}

/// Many processes in one region, each ended at some time.
fn many_lives<T: SplitTracker<Shared>, U: SplitTracker<Shared>>(lives: usize) {
    let mut random = fastrand::Rng::with_seed(11);
    let size = 8;
    let shared = Shared::new(region_len(size, false), size);
    let mut owed = Owed::default();
    for life in 0..lives {
        let ops = operations(&mut random, size, 20, owed.heads.clone());
        shared.begin(random.bool().then(|| random.usize(..80)));
        if life % 2 == 0 {
            live::<T>(&shared, size, &ops, &mut owed);
            check::<U>(&shared, size, &mut owed);
        } else {
            live::<U>(&shared, size, &ops, &mut owed);
            check::<T>(&shared, size, &mut owed);
        }
    }
}

/// The model as a process: it makes the stores that the specification lists.
struct Model {
    shared: Shared,
    pending: Vec<u16>,
    counter: u64,
}

impl Model {
    fn make(&self, stores: Vec<Store>) -> Result<(), AreaError> {
        stores.into_iter().for_each(|store| self.shared.store(store));
        Ok(())
    }
}

impl SplitTracker<Shared> for Model {
    fn take_over(shared: Shared, queue_size: u16, ring_idx: u16) -> Result<Self, AreaError> {
        let bytes = shared.bytes();
        if bytes[8..10] == [0, 0] {
            let stores = model::initialise(&bytes, queue_size);
            stores.into_iter().for_each(|store| shared.store(store));
        }
        if shared.is_dead() {
            return Ok(Self { shared, pending: Vec::new(), counter: 0 });
        }
        let recovery = model::reconnect(&shared.bytes(), ring_idx);
        recovery.stores.into_iter().for_each(|store| shared.store(store));
        Ok(Self { shared, pending: recovery.pending, counter: recovery.counter })
    }

    fn pending(&mut self) -> Vec<u16> {
        self.pending.clone()
    }

    fn fetch(&mut self, head: u16) -> Result<(), AreaError> {
        self.counter += 1;
        self.make(model::fetch(&self.shared.bytes(), head, self.counter - 1))
    }

    fn complete(&mut self, heads: &[u16], _: &dyn Fn(u16)) -> Result<(), AreaError> {
        self.make(model::complete(&self.shared.bytes(), self.shared.ring_idx(), heads))
    }
}

type Core = SplitArea<Shared>;
type Plain<T> = PlainSplit<T, Shared>;

#[test]
fn whenever_a_process_ends_the_next_one_finds_what_is_owed() {
    let _shows = shows(&["VU-184", "VU-185", "VU-186", "VU-187"]);
    let ends = end_everywhere::<Core, Core>(40);
    assert!(ends > 2000, "only {ends} processes ended");
}

#[test]
fn the_model_and_the_core_take_over_from_each_other() {
    let _shows = shows(&["VU-186", "VU-187"]);
    end_everywhere::<Model, Core>(20);
    end_everywhere::<Core, Model>(20);
    many_lives::<Model, Core>(400);
}

#[test]
fn a_region_serves_many_processes() {
    let _shows = shows(&["VU-186", "VU-187"]);
    many_lives::<Core, Core>(2000);
}

#[test]
fn a_plain_tracker_without_a_mistake_passes() {
    end_everywhere::<Plain<Nothing>, Plain<Nothing>>(20);
    many_lives::<Plain<Nothing>, Core>(400);
}

#[track_caller]
fn assert_caught<T: SplitTracker<Shared>>() {
    let end = || end_everywhere::<T, T>(20);
    let panic = catch_unwind(AssertUnwindSafe(end)).expect_err("the mistake is not seen");
    let text = vhost_fuzz_harness::report::panic_text(&*panic);
    assert!(text.starts_with("in-flight: ") && text.contains("owed"), "{text}");
}

#[test]
fn one_cleared_entry_of_a_batch_is_caught() {
    assert_caught::<Plain<ClearsOneEntry>>();
}

#[test]
fn an_index_that_is_stored_early_is_caught() {
    assert_caught::<Plain<StoresTheIndexEarly>>();
}

#[test]
fn a_mark_before_its_counter_is_caught() {
    assert_caught::<Plain<MarksBeforeTheCounter>>();
}
