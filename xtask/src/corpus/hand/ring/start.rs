//! How rings start, and how they do not.

use vhost_fuzz_core::ring::Layout as Form;
use vhost_fuzz_harness::corpus::Seed;
use vhost_fuzz_harness::ram::Layout;
use vhost_fuzz_harness::ring::step::{Start, feature};

use super::{OK, Script, fresh, pick};

/// Where the hole of small memory begins.
const HOLE: u64 = 0x1_c000;

/// A border between regions of small memory.
const BORDER: u64 = 0x1_8000;

pub(super) fn seeds(form: Form) -> Vec<Seed> {
    [sizes(form), misaligned(form), outside(form), bases(form), odd(form)].concat()
}

/// The ring that is changed.
fn usual(form: Form) -> Start {
    Start::of(16, fresh(form))
}

/// Good work in the usual ring, then in this one, then in the usual one again.
fn between(form: Form, start: Start) -> Script {
    let usual = usual(form);
    Script::start(usual).serve(2).ring(start).serve(2).arm().ring(usual).serve(1)
}

/// A ring one of whose parts is elsewhere: descriptor, driver or device area.
fn moved(form: Form, part: usize, address: u64) -> Start {
    let mut start = usual(form);
    start.parts[part] = address;
    start
}

fn sizes(form: Form) -> Vec<Seed> {
    let of = |size| between(form, Start::of(size, fresh(form)));
    let legacy = Start { features: feature::LEGACY, ..usual(form) };
    let odd = pick(form, "VQ-004", OK);
    vec![
        of(12).seed("start-size-12", odd, "a size that is no power of two"),
        of(1000).seed("start-size-1000", odd, "a large size that is no power of two"),
        between(form, legacy).seed("start-legacy", "VQ-067", "VERSION_1 is missing"),
    ]
}

fn misaligned(form: Form) -> Vec<Seed> {
    let [descriptor, driver, device] = usual(form).parts;
    let cases = [
        ("descriptor", 0, descriptor + 8, pick(form, "VQ-001", "PK-001")),
        ("driver", 1, driver + pick(form, 1, 2), pick(form, "VQ-002", "PK-001")),
        ("device", 2, device + 2, pick(form, "VQ-003", "PK-001")),
    ];
    let seed = |(part, index, address, rule)| {
        let name = format!("start-misaligned-{part}");
        let shows = format!("the {part} area is not aligned");
        between(form, moved(form, index, address)).seed(&name, rule, &shows)
    };
    cases.into_iter().map(seed).collect()
}

fn outside(form: Form) -> Vec<Seed> {
    let cases = [
        ("descriptor-in-a-hole", 0, HOLE, "the descriptor area is in a hole"),
        ("descriptor-into-a-hole", 0, HOLE - 240, "the last descriptor is in a hole"),
        ("driver-at-0", 1, 0, "the driver area is at address 0"),
        ("device-behind-memory", 2, 0x2_4000, "the device area is right behind memory"),
        ("descriptor-wraps", 0, u64::MAX - 15, "the descriptor area ends beyond 2^64"),
    ];
    let seed = |(name, part, address, shows)| {
        between(form, moved(form, part, address)).seed(&format!("start-{name}"), "VQ-005", shows)
    };
    let mut seeds: Vec<_> = cases.into_iter().map(seed).collect();
    if form == Form::Packed {
        return seeds;
    }
    // Flags, index and entries end where the hole begins.
    for (part, name, address) in [(1, "driver", HOLE - 36), (2, "device", HOLE - 132)] {
        let start = moved(form, part, address);
        seeds.push(between(form, start).seed(
            &format!("vq-006-{name}-event-in-a-hole"),
            "VQ-005",
            &format!("the event index of the {name} area is in a hole"),
        ));
        seeds.push(between(form, Start { features: 0, ..start }).seed(
            &format!("vq-006-{name}-without-event"),
            OK,
            &format!("the {name} area without an event index ends where a hole begins"),
        ));
    }
    seeds
}

fn bases(form: Form) -> Vec<Seed> {
    let cases: &[(&str, u32, &str, &str)] = match form {
        Form::Split => &[
            ("hz-8-26-used-too-far-back", 0x0000_0011, "VQ-032", "17 are out, of 16"),
            ("hz-8-26-used-ahead", 0x0001_0000, "VQ-032", "the used index is ahead"),
            ("hz-8-26-full", 0x0000_0010, "VQ-033", "16 are out of a life before, and one more"),
            ("start-some-are-out", 0xfffe_0006, OK, "8 are out of a life before, over 0"),
            ("start-before-the-wrap", 0xfffe_fffe, OK, "indices that wrap at 2^16"),
            ("start-in-the-middle", 0x7fff_7fff, OK, "indices that become 0x8000"),
        ],
        Form::Packed => &[
            ("pk-039-both-offsets", 0x8010_8010, "PK-039", "offsets that are the size"),
            ("pk-039-used-offset", 0x8010_8001, "PK-039", "a used offset that is the size"),
            ("pk-039-largest", 0xffff_ffff, "PK-039", "the largest offsets"),
            ("pk-039-used-ahead", 0x8001_8000, "PK-039", "the used position is ahead"),
            ("pk-039-too-far", 0x8001_0002, "PK-039", "17 slots are out, of 16"),
            ("hz-8-26-full", 0x8000_0000, "PK-029", "16 slots are out of a life before"),
            ("pk-040-low-half", 0x0000_8000, OK, "a base whose upper half was left out"),
            ("pk-040-low-half-in-a-lap", 0x0000_0007, OK, "the same in the middle of a lap"),
            ("start-some-are-out", 0x800e_0004, OK, "6 slots are out of a life before"),
            ("start-last-slot", 0x000f_000f, OK, "the last slot of the second lap"),
            ("start-before-the-wrap", 0x800e_800e, OK, "two slots before the end of a lap"),
        ],
    };
    let seed = |(name, base, expect, shows): &(&str, u32, &str, &str)| {
        between(form, Start { base: *base, ..usual(form) }).seed(name, expect, shows)
    };
    cases.iter().map(seed).collect()
}

fn odd(form: Form) -> Vec<Seed> {
    let skewed = usual(form).within(Layout::Skewed);
    let [descriptor, ..] = skewed.parts;
    let askew = Start { parts: [descriptor, BORDER, BORDER + 0x400], ..skewed };
    let over = Start { parts: [BORDER - 128, BORDER + 0x400, BORDER + 0x800], ..usual(form) };
    let odd = usual(form).within(Layout::Odd);
    let cut = Start { parts: [0x1_6ff0, 0x1_2000, 0x1_3000], ..odd };
    let high = 0xffff_ffff_ffff_0000;
    let high = Start { parts: [high, 0x1_2000, high + 0x1f00], ..odd };
    let apart = Start { parts: [0x2_0000, BORDER - 0x100, 0x1_0040], ..usual(form) };
    let work = |start: Start, name: &str, shows: &str| between(form, start).seed(name, OK, shows);
    vec![
        work(askew, "start-askew", "two areas where the processor cannot access fields at once"),
        work(over, "start-over-a-border", "descriptors over the border of two regions"),
        work(cut, "start-cut-descriptor", "a border of regions inside a descriptor"),
        work(high, "start-near-2-to-the-64", "two areas in a region near 2^64"),
        work(apart, "start-areas-apart", "three areas in three regions, the last one first"),
    ]
}
