//! Properties of the memory side of a back-end.

use std::cell::RefCell;
use std::collections::BTreeSet;

use arrayvec::ArrayVec;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestError, TestRng, TestRunner};

use vhost_fuzz_core::memory::{DirtyLog, Location, LogMemory, MemoryTable, Slot, Space};
use vhost_fuzz_core::vhost_user::payload::{Iotlb, LogBase, MemReg, MemTable, Region, RegionBytes};
use vhost_fuzz_core::vhost_user::payload::{VringAddr, VringState, XenMmap};
use vhost_fuzz_core::vhost_user::{FrontendRequest as Fe, Kind, Layout, Message, Payload};
use vhost_fuzz_harness::broken::memory as broken;
use vhost_fuzz_harness::memory::{Core, Memory};
use vhost_fuzz_harness::script::{Actor, FdKind, Record, VERSION, encode};
use vhost_fuzz_harness::target::mem_table::{self, Outcome};
use vhost_fuzz_model::memory::Machine;

use vhost_fuzz_proptests::number;
use vhost_fuzz_proptests::runner::{Suite, config};
use vhost_fuzz_proptests::script::{piece, script};

const SESSIONS: Suite = Suite { target: "mem_table", times: 4 };

/// Where regions have their user addresses.
const USER: u64 = 0x10_0000;

const PAGE: u64 = 0x1000;

/// Runs every oracle; the outcome is also that of the model alone.
fn check(script: &[u8]) -> Outcome {
    let outcome = mem_table::check::<Core>(script);
    assert_eq!(outcome, mem_table::judge(script));
    outcome
}

/// An offset of up to eight pages, mostly at the border of one.
fn near() -> impl Strategy<Value = u64> + Clone {
    let inside = prop_oneof![4 => Just(0), 1 => 0..=32_u64, 1 => PAGE - 32..PAGE];
    (0..8_u64, inside).prop_map(|(page, inside)| page * PAGE + inside)
}

/// An address near `base`, now and then any other.
fn address(base: u64) -> impl Strategy<Value = u64> + Clone {
    prop_oneof![15 => near().prop_map(move |offset| base + offset), 1 => number::u64()]
}

fn len() -> impl Strategy<Value = u64> + Clone {
    let pages = (1..=4_u64).prop_map(|pages| pages * PAGE);
    prop_oneof![4 => 0..=64_u64, 8 => pages, 1 => number::u64()]
}

fn region() -> impl Strategy<Value = Region> + Clone {
    let pages = || (0..8_u64).prop_map(|page| page * PAGE);
    let guest = prop_oneof![15 => pages(), 1 => number::u64()];
    // Most regions are as far apart in user addresses as in guest addresses, or twice as far.
    let user = select(vec![Some(1), Some(1), Some(2), None]);
    let size = prop_oneof![15 => (1..=2_u64).prop_map(|pages| pages * PAGE), 1 => number::u64()];
    let offset = prop_oneof![8 => Just(0), 1 => near(), 1 => number::u64()];
    (guest, user, size, offset, number::u64()).prop_map(|(guest, factor, size, offset, any)| {
        Region {
            guest_address: guest,
            size,
            user_address: factor
                .map_or(any, |factor| USER.wrapping_add(guest.wrapping_mul(factor))),
            mmap_offset: offset,
            xen: None,
        }
    })
}

/// What a session does.
#[derive(Clone, Debug)]
enum Op {
    Table(Vec<Region>),
    Region(Fe, Region),
    Log(LogBase),
    Num(VringState),
    Ring(VringAddr),
    Iotlb(Iotlb),
    /// A question, with a byte and two numbers, as far as it has them.
    Ask(u8, Vec<u8>, Vec<u64>),
    /// A file of this size comes with the next request.
    File(u64),
}

/// The index of a ring, now and then of one that there is not.
fn index() -> impl Strategy<Value = u32> + Clone {
    prop_oneof![8 => 0..2_u32, 1 => 0..5_u32]
}

fn ring() -> impl Strategy<Value = VringAddr> + Clone {
    let part = || prop_oneof![15 => near().prop_map(|at| at & !3), 1 => near()];
    let at = || (part(), select(vec![0, USER])).prop_map(|(part, base)| part + base);
    let aligned = at().prop_map(|at| at & !15);
    (index(), 0..4_u32, aligned, at(), at(), address(0)).prop_map(
        |(index, flags, descriptor, used, available, log)| VringAddr {
            index,
            flags,
            descriptor,
            used,
            available,
            log,
        },
    )
}

fn iotlb() -> impl Strategy<Value = Iotlb> + Clone {
    let kind =
        prop_oneof![6 => Just(Iotlb::UPDATE), 2 => Just(Iotlb::INVALIDATE), 1 => number::u8()];
    let user = prop_oneof![address(USER), address(0)];
    let permissions = prop_oneof![8 => 0..=3_u8, 1 => number::u8()];
    let size = prop_oneof![4 => (1..=2_u64).prop_map(|pages| pages * PAGE), 1 => len()];
    (address(0), size, user, permissions, kind).prop_map(
        |(iova, size, user_address, permissions, kind)| Iotlb {
            iova,
            size,
            user_address,
            permissions,
            kind,
            padding: [0; 6],
        },
    )
}

/// A question with a byte below `limit` and two numbers.
fn ask(
    operation: u8,
    limit: u8,
    at: impl Strategy<Value = u64> + Clone,
) -> impl Strategy<Value = Op> + Clone {
    (0..limit, at, len())
        .prop_map(move |(byte, at, len)| Op::Ask(operation, vec![byte], vec![at, len]))
}

fn op() -> impl Strategy<Value = Op> + Clone {
    let num = prop_oneof![8 => select(vec![1, 2, 4, 256_u32]), 1 => number::u32()];
    let log = prop_oneof![8 => 0..=4_u64, 1 => number::u64()];
    let log_offset = prop_oneof![8 => Just(0), 1 => number::u64()];
    let range = || prop_oneof![address(0), address(USER)];
    prop_oneof![
        3 => vec(region(), 1..=8).prop_map(Op::Table),
        6 => region().prop_map(|region| Op::Region(Fe::ADD_MEM_REG, region)),
        2 => region().prop_map(|region| Op::Region(Fe::REM_MEM_REG, region)),
        2 => (log, log_offset).prop_map(|(size, offset)| Op::Log(LogBase { size, offset })),
        2 => (index(), num).prop_map(|(index, num)| Op::Num(VringState { index, num })),
        3 => ring().prop_map(Op::Ring),
        4 => iotlb().prop_map(Op::Iotlb),
        3 => ask(1, 2, range()),
        2 => ask(2, 5, address(0)),
        2 => (address(0), len()).prop_map(|(at, len)| Op::Ask(3, vec![], vec![at, len])),
        2 => (0..3_u8).prop_map(|ring| Op::Ask(4, vec![ring], vec![])),
        2 => ask(5, 3, near()),
        2 => (address(0), len()).prop_map(|(at, len)| Op::Ask(6, vec![], vec![at, len])),
        1 => number::u64().prop_map(Op::File),
    ]
}

/// A session: its features, its slots and what it does.
#[derive(Clone, Debug)]
struct Session {
    features: u64,
    protocol_features: u64,
    slots: u8,
    ops: Vec<Op>,
}

/// A table of four regions that touch and a log for them, in half of all sessions.
fn begin() -> impl Strategy<Value = Vec<Op>> + Clone {
    let region = |index: u64| Region {
        guest_address: index * 2 * PAGE,
        size: 2 * PAGE,
        user_address: USER + index * 2 * PAGE,
        mmap_offset: 0,
        xen: None,
    };
    let table = Op::Table((0..4).map(region).collect());
    let log = Op::Log(LogBase { size: 1, offset: 0 });
    prop_oneof![Just(vec![]), Just(vec![table, log])]
}

fn session() -> impl Strategy<Value = Session> + Clone {
    let bit = |bit: u32| prop::bool::weighted(0.3).prop_map(move |on| u64::from(on) << bit);
    let features = (bit(29), bit(33), bit(34)).prop_map(|(a, b, c)| a | b | c);
    let protocol = (bit(17), bit(21)).prop_map(|(a, b)| a | b);
    let shmfd = prop::bool::weighted(0.8).prop_map(|on| u64::from(on) << 1);
    (features, protocol, shmfd, 1..=16_u8, begin(), vec(op(), 0..=24)).prop_map(
        |(features, protocol, shmfd, slots, begin, ops)| Session {
            features,
            protocol_features: protocol | shmfd,
            slots,
            ops: begin.into_iter().chain(ops).collect(),
        },
    )
}

impl Session {
    fn script(&self) -> Vec<u8> {
        let mut arguments =
            [self.features.to_le_bytes(), self.protocol_features.to_le_bytes()].concat();
        arguments.push(self.slots);
        let actor = Actor::Device;
        let start = Record::Action { actor, operation: 0, arguments: arguments.into() };
        let records: Vec<_> =
            [start].into_iter().chain(self.ops.iter().map(|op| self.record(op))).collect();
        encode(&records)
    }

    /// A region as this session sends it; every other one is mapped on demand.
    fn region(&self, region: &Region) -> Region {
        let flags = if (region.guest_address / PAGE).is_multiple_of(2) { 1 } else { 0x101 };
        let has_xen = self.protocol_features >> 17 & 1 == 1;
        Region { xen: has_xen.then_some(XenMmap { flags, domid: 0 }), ..*region }
    }

    fn record(&self, op: &Op) -> Record<'static> {
        match op {
            Op::Table(regions) => {
                let regions: Vec<_> = regions.iter().map(|region| self.region(region)).collect();
                let bytes = RegionBytes::new(&regions);
                let xen_mmap = self.protocol_features >> 17 & 1 == 1;
                let layout = Layout { xen_mmap, ..Layout::default() };
                let count = u32::try_from(regions.len()).expect("at most 8");
                let table = MemTable::new(count, layout, bytes.as_bytes());
                request(Fe::SET_MEM_TABLE, Payload::MemTable(table))
            }
            Op::Region(code, region) => {
                request(*code, Payload::MemReg(MemReg { padding: 0, region: self.region(region) }))
            }
            Op::Log(base) => request(Fe::SET_LOG_BASE, Payload::Log(*base)),
            Op::Num(state) => request(Fe::SET_VRING_NUM, Payload::State(*state)),
            Op::Ring(ring) => request(Fe::SET_VRING_ADDR, Payload::Addr(*ring)),
            Op::Iotlb(iotlb) => request(Fe::IOTLB_MSG, Payload::Iotlb(*iotlb)),
            Op::Ask(operation, bytes, numbers) => {
                let numbers = numbers.iter().flat_map(|number| number.to_le_bytes());
                let arguments: Vec<u8> = bytes.iter().copied().chain(numbers).collect();
                let actor = Actor::Driver;
                Record::Action { actor, operation: *operation, arguments: arguments.into() }
            }
            Op::File(size) => Record::Fd { kind: FdKind::MEMFD, seals: 0, size: *size },
        }
    }
}

fn request(code: Fe, payload: Payload<'_>) -> Record<'static> {
    let message = Message::frontend(code, payload);
    let mut bytes = vec![0; message.encoded_len()];
    message.encode(&mut bytes).expect("room for it");
    piece(Kind::FRONTEND_REQUEST, &bytes)
}

#[test]
fn sessions() {
    SESSIONS.for_all(&session(), Session::script, |_, input| {
        check(input);
    });
}

#[test]
fn one_flipped_byte_of_a_session() {
    let flipped = (session(), any::<Index>(), 1..=u8::MAX);
    let input = |(session, at, bits): &(Session, Index, u8)| {
        let mut script = session.script();
        let at = at.index(script.len());
        script[at] ^= bits;
        script
    };
    SESSIONS.for_all(&flipped, input, |_, input| {
        check(input);
    });
}

#[test]
fn scripts_of_any_messages() {
    SESSIONS.for_all(
        &script(),
        |records| encode(records),
        |_, input| {
            check(input);
        },
    );
}

#[test]
fn arbitrary_bytes_as_actions() {
    let records = vec((8..=9_u8, number::bytes(0..=20)), 0..=20);
    let input = |records: &Vec<(u8, Vec<u8>)>| {
        let mut script = vec![VERSION];
        for (kind, body) in records {
            let len = u16::try_from(body.len()).expect("at most 20");
            script.push(*kind);
            script.extend(len.to_le_bytes());
            script.extend(body);
        }
        script
    };
    SESSIONS.for_all(&records, input, |_, input| {
        check(input);
    });
}

/// Sessions break every rule that memory has, and break none often enough to get anywhere.
#[test]
fn sessions_reach_every_rule() {
    let rng = TestRng::deterministic_rng(config().rng_algorithm);
    let mut runner = TestRunner::new_with_rng(config(), rng);
    let (mut rules, mut fine) = (BTreeSet::new(), 0);
    for _ in 0..4000 {
        let case = session().new_tree(&mut runner).expect("a session").current();
        let script = case.script();
        fine += usize::from(mem_table::judge(&script).broken.is_none());
        let mut machine = Machine::new(0, 0, 0, 0);
        for step in mem_table::steps(&script) {
            if let Some(Err(rule)) = step.judge(&mut machine) {
                rules.insert(rule.to_string());
            }
        }
    }
    for rule in [
        "VU-078", "VU-083", "VU-123", "VU-124", "VU-143", "VU-144", "VU-145", "VU-146", "VU-152",
        "VU-157", "VU-210", "VU-215", "DC-022", "DC-024", "DC-025", "DC-026", "VU-128", "VU-020",
    ] {
        assert!(rules.contains(rule), "{rule} is not in {rules:?}");
    }
    assert!(fine > 100, "{fine} sessions are fine");
}

/// The oracle that speaks first on drawn sessions.
fn caught<M: Memory>() -> Option<String> {
    let rng = TestRng::deterministic_rng(config().rng_algorithm);
    let mut runner = TestRunner::new_with_rng(Config { max_shrink_iters: 0, ..config() }, rng);
    (0..4000).find_map(|_| {
        let case = session().new_tree(&mut runner).expect("a session");
        let result = runner.run_one(case, |case| {
            let _ = mem_table::check::<M>(&case.script());
            Ok(())
        });
        let Err(TestError::Fail(reason, _)) = result else { return None };
        reason.message().split_once(':').map(|(oracle, _)| oracle.to_owned())
    })
}

macro_rules! assert_caught {
    ($($twin:ident by $oracle:literal),* $(,)?) => {$(
        assert_eq!(caught::<broken::$twin>().as_deref(), Some($oracle), stringify!($twin));
    )*};
}

#[test]
fn sessions_catch_every_broken_memory() {
    assert_eq!(caught::<Core>(), None);
    assert_caught! {
        IgnoresWraps by "model",
        IgnoresUserOverlap by "model",
        IgnoresTheSlots by "model",
        RemovesByGuestAddress by "model",
        ComparesTheOffset by "model",
        MapsInAdvance by "model",
        MapsUnaligned by "model",
        DropsFirst by "fd ledger",
        Leaks by "fd ledger",
        UnmapsTwice by "fd ledger",
        AddsTheMmapOffset by "model",
        ForgivesEmptyRanges by "model",
        WantsOneRegion by "model",
        JoinsRegions by "model",
        IgnoresPermissions by "model",
        Allocates by "budget",
        KeepsParts by "model",
        TakesEveryKind by "model",
        MixesSpaces by "model",
        IgnoresTheLogOffset by "model",
        MarksBeyondTheEnd by "guarded memory",
        MarksTheFirstPage by "model",
        ReversesBits by "model",
        MarksPageByPage by "budget",
        MarksIovas by "model",
        MarksTheUsedIndex by "model",
        RoundsRingSizes by "model",
        IgnoresAlignment by "model",
        PlacesInGuestMemory by "model",
        LooksAtTheEnd by "model",
        KeepsPlacements by "model",
        IgnoresTheUsedLog by "model",
    }
}

/// The regions of these that can be together.
fn together(regions: &[Region]) -> Vec<Region> {
    let mut table = MemoryTable::new(8);
    for region in regions {
        let _ = table.add(*region, ());
    }
    table.slots().iter().map(|slot| slot.region).collect()
}

fn pieces(table: &MemoryTable<()>, space: Space, address: u64, len: u64) -> Option<Vec<Location>> {
    table.pieces(space, address, len).ok().map(Iterator::collect)
}

#[test]
fn a_table_is_the_sum_of_its_regions() {
    let case = (vec(region(), 1..=8), any::<bool>(), prop_oneof![address(0), address(USER)], len());
    let input = |_: &_| Vec::new();
    SESSIONS.for_all(&case, input, |(regions, is_guest, address, len), _| {
        let regions = together(regions);
        let space = if *is_guest { Space::Guest } else { Space::User };
        let mut one_by_one = MemoryTable::new(8);
        let mut slots: ArrayVec<_, 8> = ArrayVec::new();
        for region in &regions {
            one_by_one.add(*region, ()).expect("they can be together");
            slots.push(Slot { region: *region, backing: () });
        }
        let mut at_once = MemoryTable::new(8);
        at_once.replace(&mut slots).expect("they can be together");
        let found = pieces(&at_once, space, *address, *len);
        assert_eq!(found, pieces(&one_by_one, space, *address, *len));
        // A region that comes and goes changes nothing.
        if let Some(region) = regions.last() {
            one_by_one.remove(region).expect("it is there");
            one_by_one.add(*region, ()).expect("it was there");
            assert_eq!(found, pieces(&one_by_one, space, *address, *len));
        }
    });
}

#[test]
fn a_range_is_its_two_halves() {
    let case = (vec(region(), 1..=8), address(0), 1..=4 * PAGE, any::<Index>());
    let input = |_: &_| Vec::new();
    SESSIONS.for_all(&case, input, |(regions, address, len, cut), _| {
        let mut table = MemoryTable::new(8);
        for region in together(regions) {
            table.add(region, ()).expect("they can be together");
        }
        let cut = cut.index(usize::try_from(*len).expect("small")) as u64;
        let bytes = |address: u64, len: u64| {
            let pieces = pieces(&table, Space::Guest, address, len)?;
            Some(
                pieces
                    .iter()
                    .flat_map(|piece| (0..piece.len).map(|at| (piece.slot, piece.offset + at)))
                    .collect::<Vec<_>>(),
            )
        };
        let whole = bytes(*address, *len);
        let halves = address.checked_add(cut).and_then(|middle| {
            let head = if cut == 0 { Some(Vec::new()) } else { bytes(*address, cut) };
            Some([head?, bytes(middle, len - cut)?].concat())
        });
        assert_eq!(whole, halves);
    });
}

/// A log in memory.
struct Log(RefCell<Vec<u8>>);

impl LogMemory for Log {
    fn or(&self, offset: u64, bits: u8) {
        self.0.borrow_mut()[usize::try_from(offset).expect("inside")] |= bits;
    }
}

#[test]
fn a_write_marks_what_its_halves_mark() {
    let case = (1..=8_u64, address(0), 1..=16 * PAGE, any::<Index>());
    let input = |_: &_| Vec::new();
    SESSIONS.for_all(&case, input, |(size, address, len, cut), _| {
        let cut = cut.index(usize::try_from(*len).expect("small")) as u64;
        let log = DirtyLog::check(&LogBase { size: *size, offset: 0 }).expect("a log");
        let marked = |ranges: &[(u64, u64)]| {
            let memory = Log(RefCell::new(vec![0; usize::try_from(*size).expect("small")]));
            for (address, len) in ranges {
                log.mark(*address, *len, &memory);
            }
            memory.0.into_inner()
        };
        let whole = marked(&[(*address, *len)]);
        assert_eq!(whole, marked(&[(*address, cut), (address.saturating_add(cut), len - cut)]));
        let pages = |byte: u8| byte.count_ones();
        let count: u32 = whole.iter().copied().map(pages).sum();
        assert!(u64::from(count) <= len.div_ceil(PAGE) + 1, "{count} pages");
    });
}
