//! Where things are: tables over borders, parts and buffers over each other, and memory that
//! changes after it was read.

use vhost_fuzz_core::ring::{Layout as Form, flag};
use vhost_fuzz_harness::corpus::Seed;
use vhost_fuzz_harness::ram::Layout;
use vhost_fuzz_harness::ring::step::{Descriptor, Start};

use super::{OK, Script, fresh, linked, pick, readable, writable};

/// Where the regions of odd memory meet: after 8 bytes of what is a multiple of 16, and after one.
const ODD_BORDERS: [u64; 2] = [0x1_6ff8, 0x1_b001];

pub(super) fn seeds(form: Form) -> Vec<Seed> {
    [tables(form), rewritten(form), overlaps(form)].concat()
}

/// The descriptor of a table.
const fn indirect(address: u64, len: u32) -> Descriptor {
    Descriptor { address, len, flags: flag::INDIRECT }
}

fn tables(form: Form) -> Vec<Seed> {
    let [first, second] = ODD_BORDERS;
    let odd = Start::of(8, fresh(form)).within(Layout::Odd);
    let entries = [readable(first - 4, 8), readable(0x1_2000, 3), writable(second - 4, 8)];
    let cut = |address: u64, name: &str, shows: &str| {
        let script = Script::start(odd).serve(2).table(address, &entries);
        let script = script.chain(1, &[indirect(address, 48)]).wake().pop(1).read(5, 4);
        script.write(8).put(0, 8).publish().serve(1).seed(name, OK, shows)
    };
    let small = |address: u64, name: &str, shows: &str| {
        let entries = [readable(0x1_8000 - 4, 8), writable(0x1_3000, 9)];
        let script = Script::new(form, 8).serve(2).table(address, &entries).good(4);
        let script = script.chain(1, &[indirect(address, 32)]).wake().pop(2).read(2, 3).write(8);
        script.put(1, 8).put(0, 0).publish().serve(1).seed(name, OK, shows)
    };
    vec![
        cut(first - 24, "hz-8-08-cut-after-24", "a border inside the second entry of a table"),
        cut(first - 8, "hz-8-08-cut-after-8", "a border inside the first entry of a table"),
        cut(second - 17, "hz-8-08-cut-after-17", "a border behind an entry and one byte"),
        cut(second - 63, "hz-8-08-whole", "a table that ends in front of an odd border"),
        small(0x1_8000 - 16, "table-in-two-regions", "a table in two regions"),
        small(0x1_4003, "table-anywhere", "a table that is not aligned"),
    ]
}

/// Hazard 8.1: the driver changes what it has made available. The device has copies, or has not
/// looked yet.
fn rewritten(form: Form) -> Vec<Seed> {
    let start = Start::of(8, fresh(form));
    let [ring, driver, _] = start.parts;
    let new = || Script::start(start).serve(2);
    let table = 0x1_4000;
    let entries = [readable(0x1_2000, 9), writable(0x1_3000, 9)];
    let nonsense = [0xff; 16];
    // In a packed ring, the slots that come after good work of two chains.
    let slot = ring + pick(form, 0, 64);
    let end = |script: Script, name: &str, shows: &str| {
        script.read(4, 3).write(9).put(0, 9).publish().serve(1).seed(name, OK, shows)
    };
    let descriptors = new().good(0).wake().pop(1).poke(slot, &nonsense);
    let in_table = new().table(table, &entries).chain(0, &[indirect(table, 32)]).wake().pop(1);
    let area = new().good(0).wake().pop(1).poke(driver, &nonsense[..2]).poke(driver, &[0, 0]);
    vec![
        end(
            descriptors.poke(slot + 16, &nonsense[..8]),
            "hz-8-01-descriptors-change",
            "descriptors change after the chain was taken",
        ),
        end(
            in_table.poke(table, &nonsense).poke(table + 16, &nonsense),
            "hz-8-01-table-changes",
            "a table changes after the chain was taken",
        ),
        end(
            area,
            "hz-8-01-driver-area-changes",
            "the driver area changes after the chain was taken, and back",
        ),
        end(
            new().good(0).wake().poke(slot + 8, &[12]).pop(1),
            "hz-8-01-length-changes",
            "a length changes before the chain is taken",
        ),
    ]
}

/// Hazard 8.12: parts of the ring and buffers over each other.
fn overlaps(form: Form) -> Vec<Seed> {
    let start = Start::of(8, fresh(form));
    let [ring, driver, device] = start.parts;
    let parts = |parts: [u64; 3], name: &str, expect: &str, shows: &str| {
        let script = Script::new(form, 8).serve(2).ring(Start { parts, ..start }).serve(2).arm();
        script.serve(1).resume().serve(1).ring(start).serve(1).seed(name, expect, shows)
    };
    let over = |address: u64, name: &str, expect: &str, shows: &str| {
        let list = linked(&[readable(address, 32), writable(address, 12)]);
        let script = Script::new(form, 8).serve(2).chain(2, &list).good(5).wake().pop(1);
        let script = script.read(8, 5).write(12).put(0, 12).publish().arm().pop(1).put(0, 3);
        script.publish().again(1).seed(name, expect, shows)
    };
    let mut seeds = vec![
        parts(
            [ring, driver, driver],
            "hz-8-12-driver-is-device",
            OK,
            "the driver and the device area are the same",
        ),
        parts(
            [ring, driver, ring],
            "hz-8-12-device-is-ring",
            OK,
            "the device area is where the descriptors are",
        ),
        parts(
            [ring; 3],
            "hz-8-12-all-the-same",
            pick(form, "VQ-026", OK),
            "all areas are the same",
        ),
        over(
            ring + 32,
            "hz-8-12-buffer-over-ring",
            OK,
            "the device writes to the descriptors of the ring",
        ),
        over(
            driver,
            "hz-8-12-buffer-over-driver",
            pick(form, "VQ-032", OK),
            "the device writes to the driver area",
        ),
        over(device, "hz-8-12-buffer-over-device", OK, "the device writes to the device area"),
    ];
    if form == Form::Split {
        seeds.push(parts(
            [ring, driver, driver + 4],
            "hz-8-12-used-over-available",
            OK,
            "used elements are written over available entries",
        ));
    }
    seeds
}
