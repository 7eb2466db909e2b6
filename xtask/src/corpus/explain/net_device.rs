//! An input of `net_device`, step by step, and what the driver is given.

use std::fmt::Write as _;

use vhost_fuzz_core::ring::Layout as Form;
use vhost_fuzz_harness::net_device::step::{self, Cut, Start, Step};
use vhost_fuzz_harness::target::net_device;

use super::dump;
use crate::corpus::summary::count as number;

/// Names of the queues.
const QUEUES: [&str; 5] = ["receive 0", "transmit 0", "receive 1", "transmit 1", "control"];

/// Prints the steps, and what the model makes of them.
pub(super) fn explain(text: &mut String, input: &[u8]) {
    for (line, step) in (1..).zip(step::steps(input)) {
        let _ = writeln!(text, "{line:>5}  {}", in_words(&step));
        if let Step::Send { bytes, .. } | Step::Command { bytes, .. } | Step::Poke { bytes, .. } =
            &step
        {
            dump(text, 0, "bytes", bytes);
        }
    }
    text.push('\n');
    let outcome = net_device::judge(input);
    let chains = number(outcome.operations, "look");
    let _ = writeln!(text, "{chains} for a chain, {}", number(outcome.replies.len(), "answer"));
    for reply in &outcome.replies {
        dump(text, 0, "answer", reply);
    }
    for rule in &outcome.broken {
        let _ = writeln!(text, "it breaks {rule}");
    }
}

fn in_words(step: &Step<'_>) -> String {
    match step {
        Step::Start(start) => started(start),
        Step::Poke { address, bytes } => {
            format!("somebody  writes {} to {address:#x}", number(bytes.len(), "byte"))
        }
        Step::Wake { queue } => format!("device    wakes up for {}", QUEUES[*queue]),
        Step::Discard { pair } => format!("device    throws away what pair {pair} sends"),
        Step::Restart { queue, is_fresh } => {
            let place = if *is_fresh { "from the beginning" } else { "where it was" };
            format!("device    stops and starts {} {place}", QUEUES[*queue])
        }
        Step::Memory { regions } => format!("memory    regions {regions:#b} are there"),
        Step::Wait { ms } => format!("time      {ms} ms pass"),
        Step::Link { is_up } => format!("link      is {}", if *is_up { "up" } else { "down" }),
        Step::Announce => "device    asks for an announcement".to_owned(),
        Step::Negotiate { features } => format!("driver    resets, features {features:#x}"),
        Step::Enable { queue, is_on } => {
            let what = if *is_on { "enabled" } else { "disabled" };
            format!("queue     {} is {what}", QUEUES[*queue])
        }
        Step::Mtu { mtu } => format!("link      takes packets of {mtu} bytes"),
        Step::Send { pair, cut, is_plain, .. } => {
            let what = if *is_plain { "a frame behind zeros" } else { "header and frame" };
            format!("driver    sends on pair {pair} {what}, {}", laid(*cut))
        }
        Step::Post { pair, count, lens } => {
            let lens: Vec<_> =
                lens.chunks_exact(2).map(|len| u16::from_le_bytes([len[0], len[1]])).collect();
            format!("driver    posts {} on pair {pair}, bytes {lens:?}", (*count).max(1))
        }
        Step::Command { room, cut, .. } => {
            format!("driver    commands, with room for {room} bytes, {}", laid(*cut))
        }
        Step::Chain { queue, id, descriptors } => {
            let list: Vec<_> = descriptors
                .iter()
                .map(|it| format!("{:#x}+{:#x} flags {:#x}", it.address, it.len, it.flags))
                .collect();
            format!("driver    chain {id} of {}: {}", QUEUES[*queue], list.join(", "))
        }
        Step::Table { address, descriptors, .. } => {
            format!("driver    table of {} at {address:#x}", descriptors.iter().len())
        }
        Step::Wish { queue, flags, event } => {
            format!("driver    wishes of {}: flags {flags:#x}, event {event:#x}", QUEUES[*queue])
        }
        Step::Advance { queue, by } => format!("driver    index of {} by {by}", QUEUES[*queue]),
    }
}

fn started(start: &Start) -> String {
    let form = if start.form == Form::Split { "split" } else { "packed" };
    format!(
        "start     {form} rings of {:?} in {:?} memory, ring features {:#x}, features {:#x}, \
         gateway {:02x?}, device {:#x}, MTU {}, base {:#x}",
        start.sizes,
        start.layout,
        start.rings,
        start.features,
        start.gateway,
        start.control,
        start.mtu,
        start.base
    )
}

fn laid(cut: Cut) -> String {
    let table = if cut.is_table() { " in a table" } else { "" };
    match cut.0 & !Cut::TABLE {
        0 => format!("in one piece{table}"),
        piece => format!("in pieces of {piece}{table}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vhost_fuzz_harness::corpus::seeds;

    #[test]
    fn every_seed_is_explained_with_its_verdict() {
        let mut whole = String::new();
        for seed in seeds("net_device").expect("a corpus") {
            let mut text = String::new();
            explain(&mut text, &seed.bytes);
            if seed.entry.expect != "accept" {
                let breaks = format!("it breaks {}", seed.entry.expect);
                assert!(text.contains(&breaks), "{}: {text}", seed.name);
            }
            whole += &text;
        }
        for words in ["wakes up", "posts", "commands", "stops and starts", "answer", "in a table"] {
            assert!(whole.contains(words), "{words}");
        }
    }
}
