//! What both rings have to do alike.

use vhost_fuzz_harness::corpus::Seed;
use vhost_fuzz_harness::peer::queue::image::{FAR, FAR_LEN};
use vhost_fuzz_harness::peer::queue::walk::{Start, feature};

use super::{DATA, INDIRECT, NEXT, OK, PLACE, Script, TABLE, WRITE, chain};

const EVENT_IDX: u8 = feature::EVENT_IDX;
const INDIRECT_DESC: u8 = feature::INDIRECT;

/// Every seed of this module.
pub(super) fn seeds() -> Vec<Seed> {
    [chains(), tables(), borders(), lengths(), positions(), orders(), notifications(), restarts()]
        .concat()
}

fn chains() -> Vec<Seed> {
    vec![
        Script::new(0)
            .data(DATA, 32)
            .describe(0, &chain(1, 1, 32))
            .offer(&[0])
            .take()
            .put(0, 1)
            .seed("chain-1-readable", OK, "one readable buffer is taken, read and given back"),
        Script::new(0).describe(0, &chain(1, 0, 32)).offer(&[0]).fill(1, 20).put(0, 1).seed(
            "chain-1-writable",
            OK,
            "20 bytes are written to one writable buffer of 32 (VQ-037, VQ-039)",
        ),
        Script::new(0)
            .data(DATA, 64)
            .describe(0, &chain(8, 4, 16))
            .offer(&[0])
            .fill(1, 50)
            .put(0, 1)
            .seed("chain-8-of-8", OK, "a chain of all descriptors of the ring (VQ-014)"),
        Script::empty()
            .start(Start { size: 64, ..PLACE })
            .data(DATA, 64)
            .describe(0, &chain(64, 32, 1))
            .offer(&[0])
            .fill(1, 32)
            .put(0, 1)
            .seed("chain-64-bytes", OK, "a byte in each of 64 buffers (VQ-010)"),
        Script::new(0)
            .data(DATA, 16)
            .describe(0, &[(DATA, 16, NEXT, 5), (0, 0, 0, 0)])
            .describe(5, &[(DATA, 16, NEXT, 3)])
            .describe(3, &[(DATA, 16, NEXT | WRITE, 7)])
            .describe(7, &[(DATA + 16, 16, WRITE, 0)])
            .offer(&[0])
            .fill(1, 32)
            .put(0, 1)
            .seed("chain-any-order", OK, "descriptors in any order, buffers that overlap (VQ-066)"),
        Script::new(0)
            .data(DATA, 12)
            .describe(0, &[(DATA, 12, NEXT, 1), (DATA + 64, 64, WRITE, 0)])
            .describe(2, &[(DATA, 12, NEXT, 3), (DATA + 128, 64, WRITE, 0)])
            .offer(&[0, 2])
            .take()
            .put(0, 2)
            .seed("chains-one-header", OK, "two chains with one and the same header (VQ-066)"),
        Script::new(0)
            .describe(0, &[(DATA, 16, 0xfff8 | WRITE, 0)])
            .offer(&[0])
            .fill(1, 16)
            .put(0, 1)
            .seed("chain-other-flags", OK, "flag bits 3 to 15 say nothing (VQ-030)"),
        Script::new(0)
            .describe(0, &[(DATA, 4, WRITE, 8), (DATA, 4, 0, 0xffff)])
            .offer(&[0, 1])
            .take()
            .put(0, 2)
            .seed("chain-next-without-flag", OK, "next says nothing without NEXT"),
    ]
}

fn tables() -> Vec<Seed> {
    let indirect = |entries: u32| (TABLE, 16 * entries, INDIRECT, 0);
    vec![
        Script::new(INDIRECT_DESC)
            .data(DATA, 64)
            .table(TABLE, &chain(4, 2, 16))
            .describe(0, &[indirect(4)])
            .offer(&[0])
            .fill(1, 32)
            .put(0, 1)
            .seed("table-4", OK, "an indirect table of 4"),
        Script::new(INDIRECT_DESC)
            .table(TABLE, &chain(4, 1, 16))
            .describe(0, &[(DATA, 8, NEXT, 1), (DATA + 8, 8, NEXT, 2), indirect(4)])
            .offer(&[0])
            .fill(1, 48)
            .put(0, 1)
            .seed("table-after-2", OK, "two direct descriptors and then a table (VQ-019)"),
        Script::new(INDIRECT_DESC)
            .table(TABLE, &chain(2, 1, 16))
            .describe(0, &[(TABLE, 32, INDIRECT | WRITE, 0)])
            .offer(&[0])
            .fill(1, 16)
            .put(0, 1)
            .seed("table-write", OK, "WRITE on the descriptor of a table says nothing (VQ-018)"),
        Script::new(INDIRECT_DESC)
            .table(TABLE, &chain(40, 20, 8))
            .describe(0, &[indirect(40)])
            .offer(&[0])
            .fill(1, 100)
            .put(0, 1)
            .seed("table-longer-than-ring", OK, "a table of 40 in a ring of 8 (VQ-014, VQ-021)"),
        Script::new(INDIRECT_DESC)
            .table(TABLE + 3, &chain(3, 1, 16))
            .describe(0, &[(TABLE + 3, 48, INDIRECT, 0)])
            .offer(&[0])
            .fill(1, 32)
            .put(0, 1)
            .seed("table-unaligned", OK, "a table at an odd address (spec §1.1)"),
        Script::new(INDIRECT_DESC)
            .table(0x4ff0, &chain(4, 1, 16))
            .describe(0, &[(0x4ff0, 64, INDIRECT, 0)])
            .offer(&[0])
            .fill(1, 40)
            .put(0, 1)
            .seed("table-over-border", OK, "a table whose second entry a border cuts (VQ-028)"),
        Script::new(INDIRECT_DESC)
            .table(TABLE, &[(DATA, 16, NEXT, 3)])
            .table(TABLE + 48, &[(DATA + 16, 16, NEXT | WRITE, 1)])
            .table(TABLE + 16, &[(DATA + 32, 16, WRITE, 0)])
            .describe(4, &[indirect(4)])
            .offer(&[4])
            .fill(1, 32)
            .put(0, 1)
            .seed("table-any-order", OK, "entries of a table in any order"),
        Script::new(INDIRECT_DESC)
            .table(0, &[(DATA, 8, WRITE, 0)])
            .describe(0, &[(0, 1024 * 16, INDIRECT, 0)])
            .offer(&[0])
            .fill(1, 8)
            .put(0, 1)
            .seed(
                "table-1024",
                OK,
                "a table as long as the cap, of which one entry is used (VQ-021)",
            ),
    ]
}

fn borders() -> Vec<Seed> {
    let cut = |start: Start, name: &str, shows: &str| {
        Script::empty()
            .at(start)
            .data(DATA, 8)
            .describe(0, &[(DATA, 8, NEXT, 1), (DATA + 8, 8, WRITE, 0)])
            .describe(3, &[(DATA, 8, NEXT, 4), (DATA + 16, 8, WRITE, 0)])
            .offer(&[0, 3, 2])
            .describe(2, &[(DATA, 8, 0, 0)])
            .fill(0, 8)
            .put(0, 2)
            .arm()
            .put(0, 1)
            .seed(name, OK, shows)
    };
    vec![
        cut(
            Start { descriptor: 0x4fe0, ..PLACE },
            "border-descriptor-table",
            "a descriptor that a border of regions cuts (VQ-005, VQ-028)",
        ),
        cut(
            Start { available: 0x5002, features: EVENT_IDX, ..PLACE },
            "border-available-ring",
            "an available ring over a border (VQ-005)",
        ),
        cut(
            Start { used: 0x4ffc, features: EVENT_IDX, ..PLACE },
            "border-used-ring",
            "a used element that a border cuts (VQ-005)",
        ),
        cut(
            Start { used: 0xe000 - 68, ..PLACE },
            "border-odd-before",
            "a used ring that ends three bytes before an odd border",
        ),
        Script::new(0)
            .data(0x5000, 16)
            .describe(0, &[(0x5000, 16, NEXT, 1), (0xdffc, 16, WRITE, 0)])
            .offer(&[0])
            .fill(1, 16)
            .put(0, 1)
            .seed("border-buffers", OK, "a readable and a writable buffer over borders (VQ-027)"),
        Script::new(0)
            .describe(0, &[(0xa000 - 16, 16, WRITE, 0), (0xc000, 16, WRITE, 0)])
            .offer(&[0, 1])
            .fill(2, 16)
            .put(0, 2)
            .seed("border-hole", OK, "buffers that end and begin at a hole (VQ-026)"),
    ]
}

fn lengths() -> Vec<Seed> {
    let far = |count: u16, last: u32| {
        let len = u32::try_from(FAR_LEN).unwrap_or(u32::MAX);
        let mut buffers: Vec<_> = (0..count).map(|at| (FAR, len, NEXT, at + 1)).collect();
        buffers.push((FAR, last, 0, 0));
        buffers
    };
    let almost = u32::try_from(FAR_LEN - 1).unwrap_or(u32::MAX);
    vec![
        Script::new(0)
            .describe(0, &[(DATA, 0, NEXT, 1), (u64::MAX, 0, NEXT, 2), (DATA, 8, NEXT, 3)])
            .describe(3, &[(0xb000, 0, NEXT | WRITE, 4), (DATA + 8, 8, WRITE, 0)])
            .offer(&[0])
            .fill(1, 8)
            .put(0, 1)
            .seed("empty-buffers", OK, "empty buffers anywhere, which have no bytes (VQ-029)"),
        Script::new(0)
            .describe(0, &[(0, 0, 0, 0), (0, 0, WRITE, 0)])
            .offer(&[0, 1])
            .fill(2, 4)
            .put(0, 2)
            .seed("empty-chains", OK, "chains without bytes (VQ-029)"),
        Script::empty()
            .start(Start { size: 64, features: INDIRECT_DESC, ..PLACE })
            .data(FAR, 100)
            .table(TABLE, &far(63, almost))
            .describe(0, &[(TABLE, 16 * 64, INDIRECT, 0)])
            .offer(&[0])
            .take()
            .put(0, 1)
            .seed("bytes-one-less", OK, "a chain of 2^32 - 1 bytes (VQ-013)"),
        Script::empty()
            .start(Start { size: 128, ..PLACE })
            .data(FAR, 100)
            .describe(0, &far(63, almost + 1))
            .offer(&[0])
            .take()
            .put(0, 1)
            .seed("bytes-all", OK, "a chain of exactly 2^32 bytes, which is legal (VQ-013)"),
    ]
}

fn positions() -> Vec<Seed> {
    let both = [(DATA, 8, WRITE, 0); 8];
    vec![
        Script::empty()
            .at(Start { size: 1, ..PLACE })
            .describe(0, &[(DATA, 8, WRITE, 0)])
            .offer(&[0])
            .fill(1, 8)
            .put(0, 1)
            .offer(&[0])
            .fill(1, 4)
            .put(0, 1)
            .seed("ring-of-1", OK, "a ring of one descriptor, used twice (VQ-004)"),
        Script::empty()
            .at(Start { size: 1024, descriptor: 0x0, available: 0x5000, used: 0x7000, ..PLACE })
            .describe(1023, &[(0xc000, 8, WRITE, 0)])
            .offer(&[1023])
            .fill(1, 8)
            .put(0, 1)
            .arm()
            .seed("ring-of-1024", OK, "the last descriptor of a long ring"),
        Script::empty()
            .at(Start { base: 0xfffe, features: EVENT_IDX, ..PLACE })
            .describe(0, &both)
            .offer(&[0, 1, 2, 3])
            .take()
            .put(0, 2)
            .put(0, 2)
            .arm()
            .seed("index-wraps", OK, "both indexes go over 65,535 (VQ-032, VQ-045)"),
        Script::new(0)
            .describe(0, &both)
            .offer(&[0, 1, 2, 3, 4, 5, 6, 7])
            .take()
            .put(0, 255)
            .offer(&[7, 6, 5, 4, 3, 2, 1, 0])
            .take()
            .put(0, 255)
            .seed(
                "ring-full",
                OK,
                "as many chains as the ring has entries, twice (VQ-033, VQ-035)",
            ),
    ]
}

fn orders() -> Vec<Seed> {
    let both = [(DATA, 8, WRITE, 0); 8];
    vec![
        Script::new(0)
            .describe(0, &both)
            .offer(&[3, 1, 2])
            .take()
            .put(2, 1)
            .put(0, 1)
            .offer(&[2, 3])
            .take()
            .put(1, 1)
            .put(0, 2)
            .seed("put-any-order", OK, "buffers go back in another order (VQ-040)"),
        Script::new(0)
            .describe(0, &both)
            .offer(&[0, 1, 2, 3])
            .fill(1, 0)
            .fill(2, 3)
            .put(0, 3)
            .take()
            .take()
            .put(0, 1)
            .seed("take-in-parts", OK, "what is available is taken in three wake-ups"),
        Script::new(feature::IN_ORDER)
            .describe(0, &both)
            .offer(&[0, 1, 2])
            .take()
            .put(0, 2)
            .put(0, 1)
            .seed("put-in-order", OK, "buffers go back in turn with IN_ORDER (VQ-056)"),
        Script::empty()
            .at(Start { used: 0x2000, ..PLACE })
            .describe(0, &both)
            .offer(&[0, 1])
            .fill(1, 8)
            .put(0, 1)
            .take()
            .put(0, 1)
            .seed("ring-over-itself", OK, "the used ring lies on the available ring (VQ-066)"),
        Script::new(0)
            .describe(0, &[(0x1000, 128, WRITE, 0), (DATA, 8, WRITE, 0)])
            .offer(&[0, 1])
            .fill(1, 40)
            .put(0, 1)
            .arm()
            .seed("buffer-over-ring", OK, "a chain whose buffer is the descriptor table (VQ-066)"),
    ]
}

fn notifications() -> Vec<Seed> {
    let both = [(DATA, 8, WRITE, 0); 8];
    let told = |features: u8| Script::new(features).describe(0, &both).offer(&[0]).take().put(0, 1);
    vec![
        told(0).offer(&[1, 2]).take().put(0, 1).put(0, 1).seed(
            "tell-always",
            OK,
            "without EVENT_IDX the driver wants every call (VQ-043)",
        ),
        told(EVENT_IDX).used_event(2).offer(&[1, 2, 3]).take().put(0, 1).put(0, 1).put(0, 1).seed(
            "tell-at",
            OK,
            "used_event is reached by the second of three (VQ-045, VQ-046)",
        ),
        told(EVENT_IDX)
            .used_event(3)
            .offer(&[1, 2, 3, 4])
            .take()
            .put(0, 4)
            .used_event(4)
            .offer(&[5])
            .take()
            .put(0, 1)
            .seed("tell-batch", OK, "used_event is within four that go back at once (VQ-045)"),
        Script::empty()
            .at(Start { base: 0xfffd, features: EVENT_IDX, ..PLACE })
            .describe(0, &both)
            .used_event(0xfffd)
            .offer(&[0, 1, 2, 3, 4, 5])
            .take()
            .put(0, 1)
            .used_event(0xffff)
            .put(0, 3)
            .used_event(0xffff)
            .put(0, 1)
            .used_event(2)
            .put(0, 1)
            .seed("tell-wraps", OK, "used_event on both sides of 65,535 (VQ-045)"),
        told(EVENT_IDX).flags(1).used_event(1).offer(&[1]).take().put(0, 1).seed(
            "tell-flag-ignored",
            OK,
            "with EVENT_IDX the flag of the driver says nothing (VQ-045)",
        ),
        told(0).used_event(0x4000).offer(&[1]).take().put(0, 1).seed(
            "tell-event-ignored",
            OK,
            "without EVENT_IDX used_event says nothing (VQ-043)",
        ),
        told(0).disarm().arm().disarm().offer(&[1]).arm().take().put(0, 1).arm().seed(
            "kicks-by-flag",
            OK,
            "kicks are asked for by the flag, and more is there (VQ-041, VQ-048)",
        ),
        told(EVENT_IDX).disarm().arm().disarm().offer(&[1]).arm().take().put(0, 1).arm().seed(
            "kicks-by-index",
            OK,
            "kicks are asked for by avail_event, and more is there (VQ-042, VQ-048)",
        ),
        told(EVENT_IDX).arm().used_event(1).offer(&[1, 2]).fill(1, 8).arm().put(0, 1).arm().seed(
            "kicks-again",
            OK,
            "avail_event is the next index, also before all is taken (VQ-048)",
        ),
    ]
}

fn restarts() -> Vec<Seed> {
    let both = [(DATA, 8, WRITE, 0); 8];
    let taken = || Script::new(EVENT_IDX).describe(0, &both).offer(&[0, 1, 2]).fill(2, 8);
    vec![
        taken().restart(0).take().put(0, 1).seed(
            "restart-drained",
            OK,
            "a ring goes on after everything was given back (VQ-054)",
        ),
        taken().put(1, 1).restart(1).take().put(0, 3).seed(
            "restart-at-used",
            OK,
            "a ring goes on at the used index, and takes again what was not given back",
        ),
        taken().restart(2).take().put(1, 1).put(0, 2).seed(
            "restart-kept",
            OK,
            "a ring goes on with two buffers in flight, which are taken again",
        ),
        taken()
            .restart(0)
            .start(Start { size: 2, descriptor: 0x4000, available: 0x7000, used: 0x7100, ..PLACE })
            .describe(0, &both[..2])
            .offer(&[1])
            .take()
            .put(0, 1)
            .seed("restart-elsewhere", OK, "another size at other addresses (VQ-055)"),
    ]
}
