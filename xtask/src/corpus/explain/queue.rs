//! An input of `diff_virtio_queue`, step by step.

use std::fmt::Write as _;

use vhost_fuzz_harness::peer::queue::Resume;
use vhost_fuzz_harness::peer::queue::device::Core;
use vhost_fuzz_harness::peer::queue::divergences;
use vhost_fuzz_harness::peer::queue::judge::Came;
use vhost_fuzz_harness::peer::queue::walk::{Start, feature};
use vhost_fuzz_harness::target::diff_virtio_queue::{Stage, Step, judge};

use super::quietly;
use crate::corpus::summary;

/// Prints the steps with what has to become of each, and what the two rings make of it all.
pub(super) fn explain(text: &mut String, input: &[u8]) {
    for (number, (step, came)) in (1..).zip(judge(input)) {
        let _ = writeln!(text, "{number:>5}  {}", in_words(&step));
        for came in came {
            let _ = writeln!(text, "         {}", outcome(&came));
        }
    }
    text.push('\n');
    if let Err(panic) = quietly(|| Stage::<Core>::default().check(input).clone()) {
        let _ = writeln!(text, "the code panics: {panic}");
    }
}

fn in_words(step: &Step<'_>) -> String {
    let descriptors = |bytes: &[u8]| summary::count(bytes.len() / 16, "descriptor");
    match step {
        Step::Start(start) => ring(start),
        Step::Write { address, bytes } => {
            format!("driver   writes {:#x} bytes to {address:#x}", bytes.len())
        }
        Step::Describe { index, bytes } => {
            let mut text = format!("driver   writes {} from {index} on", descriptors(bytes));
            for raw in bytes.chunks_exact(16) {
                let _ = write!(text, "\n           {}", descriptor(raw));
            }
            text
        }
        Step::Offer(heads) => format!("driver   makes {heads:?} available"),
        Step::UsedEvent(event) => format!("driver   sets used_event to {event}"),
        Step::Flags(flags) => format!("driver   sets its flags to {flags:#x}"),
        Step::Take { limit, fill } => {
            format!("device   takes at most {limit}, and writes {fill} bytes to each")
        }
        Step::Put { at, count, len } => {
            let len = len.map_or("what was written".to_owned(), |len| format!("{len} bytes"));
            format!("device   gives {count} back from place {at} on, with {len}")
        }
        Step::Arm => "device   asks for kicks".to_owned(),
        Step::Disarm => "device   asks for no kicks".to_owned(),
        Step::Restart(Resume::Drained) => "restart  after everything was given back".to_owned(),
        Step::Restart(Resume::AtUsed) => "restart  at the used index".to_owned(),
        Step::Restart(Resume::Kept) => "restart  with what is in flight".to_owned(),
    }
}

fn ring(start: &Start) -> String {
    let names = [
        (feature::EVENT_IDX, "EVENT_IDX"),
        (feature::INDIRECT, "INDIRECT_DESC"),
        (feature::IN_ORDER, "IN_ORDER"),
        (feature::LEGACY, "no VERSION_1"),
    ];
    let features: Vec<_> =
        names.iter().filter(|(bit, _)| start.has(*bit)).map(|(_, name)| *name).collect();
    format!(
        "start    {} from {} on, descriptors {:#x}, available {:#x}, used {:#x} [{}]",
        summary::plural(start.size.into(), "entry", "entries"),
        start.base,
        start.descriptor,
        start.available,
        start.used,
        features.join(", ")
    )
}

fn descriptor(raw: &[u8]) -> String {
    let number = |range: std::ops::Range<usize>| {
        raw[range].iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
    };
    let flags = number(12..14);
    let names = [(1, "NEXT"), (2, "WRITE"), (4, "INDIRECT")];
    let named: Vec<_> =
        names.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, name)| *name).collect();
    format!(
        "{:#x}+{:#x} flags {flags:#x} [{}] next {}",
        number(0..8),
        number(8..12),
        named.join(", "),
        number(14..16)
    )
}

fn outcome(came: &Came) -> String {
    match came {
        Came::Refused(rule) => format!("breaks {rule}: it does not start"),
        Came::Shaped(shape) => {
            let row = divergences::row(*shape);
            let broken = shape.broken().map_or(String::new(), |rule| format!("breaks {rule}; "));
            format!("{broken}may differ ({}): {}", row.cites, row.reason)
        }
        Came::Started => "it runs".to_owned(),
        Came::Took { head, buffers, bytes } => {
            format!("head {head}: {}, {bytes:#x} bytes", summary::count(*buffers, "buffer"))
        }
        Came::Nothing => "nothing is available".to_owned(),
        Came::Gave { head, len } => format!("head {head} goes back with {len} bytes"),
        Came::Said(true) => "yes".to_owned(),
        Came::Said(false) => "no".to_owned(),
        Came::Done => "done".to_owned(),
        Came::Idle => "no ring runs".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vhost_fuzz_harness::corpus::seeds;

    #[test]
    fn every_seed_is_explained_with_its_verdict() {
        let mut whole = String::new();
        for seed in seeds("diff_virtio_queue").expect("a corpus") {
            let mut text = String::new();
            explain(&mut text, &seed.bytes);
            assert!(!text.contains("panics"), "{}: {text}", seed.name);
            if seed.entry.expect != "accept" {
                let breaks = format!("breaks {}", seed.entry.expect);
                assert!(text.contains(&breaks), "{}: {text}", seed.name);
            }
            whole += &text;
        }
        for words in [
            "start    8 entries from 0 on, descriptors 0x1000, available 0x2000, used 0x3000 []",
            "[EVENT_IDX]",
            "no VERSION_1",
            "flags 0x3 [NEXT, WRITE] next 1",
            "makes [0, 7] available",
            "sets used_event to",
            "sets its flags to 0x1",
            "takes at most 256, and writes 0 bytes to each",
            "with what was written",
            "asks for no kicks",
            "restart  at the used index",
            "restart  with what is in flight",
            "it runs",
            "head 0: 1 buffer, 0x20 bytes",
            "goes back with 20 bytes",
            "nothing is available",
            "may differ (VQ-013)",
            "no ring runs",
            "it does not start",
        ] {
            assert!(whole.contains(words), "{words}");
        }
    }
}
