//! An input of `mem_table`, step by step.

use std::fmt::Write as _;

use vhost_fuzz_core::vhost_user::{Kind, Layout, Message};
use vhost_fuzz_harness::memory::Core;
use vhost_fuzz_harness::target::mem_table::{self, SLOTS, Step, attached};
use vhost_fuzz_model::memory::Machine;

use super::quietly;
use crate::corpus::{judge, summary};

/// Prints the steps with what the model says about each, the regions that are left, and what the
/// code makes of it all.
pub(super) fn explain(text: &mut String, input: &[u8]) {
    let mut machine = Step::Start { features: 0, protocol_features: 0, slots: SLOTS }.machine();
    for (number, step) in (1..).zip(mem_table::steps(input)) {
        let words = in_words(&step, &machine);
        let verdict = match step.judge(&mut machine) {
            None => "there is no such ring".to_owned(),
            Some(Ok(())) => "fine".to_owned(),
            Some(Err(rule)) => format!("breaks {rule}"),
        };
        let _ = writeln!(text, "{number:>5}  {words}\n         {verdict}");
    }
    text.push('\n');
    state(text, &machine);
    if let Err(panic) = quietly(|| mem_table::check::<Core>(input)) {
        let _ = writeln!(text, "the code panics: {panic}");
    }
}

fn in_words(step: &Step<'_>, machine: &Machine) -> String {
    match step {
        Step::Start { features, protocol_features, slots } => format!(
            "start    features {features:#x}, protocol features {protocol_features:#x}, {}",
            summary::count(*slots, "slot")
        ),
        Step::Request { bytes, files } => {
            let context = machine.context();
            let layout = Layout {
                xen_mmap: context.xen_mmap,
                log_shmfd: context.log_shmfd,
                postcopy_ack: context.postcopy_ack,
            };
            let fds = attached(machine, bytes, files.as_deref()).len();
            let decoded =
                quietly(|| match Message::decode(Kind::FRONTEND_REQUEST, layout, bytes, fds) {
                    Ok(message) => message.to_string(),
                    Err(error) => {
                        let name = summary::name(Kind::FRONTEND_REQUEST, judge::code(bytes));
                        format!("{name}, refused: {error}")
                    }
                });
            let message = decoded.unwrap_or_else(|panic| format!("the codec panics: {panic}"));
            format!("request  {message}; {}", summary::count(fds, "descriptor"))
        }
        Step::Find { is_guest, address, len } => {
            let space = if *is_guest { "guest" } else { "user" };
            format!("find     {len:#x} bytes from {space} address {address:#x}")
        }
        Step::Translate { permissions, iova, len } => {
            format!("find     {len:#x} bytes from I/O virtual address {iova:#x} for {permissions}")
        }
        Step::Mark { address, len } => {
            format!("log      a write of {len:#x} bytes to guest address {address:#x}")
        }
        Step::Place { ring } => format!("place    ring {ring}"),
        Step::MarkUsed { ring, offset, len } => {
            format!("log      a write of {len:#x} bytes to used ring {ring} at {offset:#x}")
        }
        Step::Write { address, len } => {
            format!("log      a write of {len:#x} bytes to descriptor address {address:#x}")
        }
    }
}

/// What is left at the end.
fn state(text: &mut String, machine: &Machine) {
    for region in &machine.regions {
        let _ = writeln!(
            text,
            "region: guest {:#x}, user {:#x}, {:#x} bytes at {:#x} of its file{}",
            region.guest,
            region.user,
            region.size,
            region.offset,
            if region.on_demand { ", mapped on demand" } else { "" }
        );
    }
    for entry in &machine.entries {
        let _ = writeln!(
            text,
            "translation: {:#x} bytes from {:#x} to {} {:#x}, permissions {}",
            entry.size,
            entry.iova,
            if entry.is_guest { "guest" } else { "user" },
            entry.address,
            entry.permissions
        );
    }
    if let Some(size) = machine.log {
        let set: u32 = machine.bitmap.iter().map(|byte| byte.count_ones()).sum();
        let _ = writeln!(text, "log: {size:#x} bytes, {set} bits set");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vhost_fuzz_harness::corpus::seeds;

    #[test]
    fn every_seed_is_explained_with_its_verdict() {
        let mut whole = String::new();
        for seed in seeds("mem_table").expect("a corpus") {
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
            "start    features 0x200000000, protocol features 0x0, 9 slots",
            "request  SET_MEM_TABLE",
            "refused: ",
            "from user address",
            "from I/O virtual address",
            "to guest address",
            "place    ring 0",
            "to used ring 0 at 0x4",
            "to descriptor address",
            "region: guest 0x0, user 0x7f0000000000, 0x200000 bytes at 0x0 of its file",
            "mapped on demand",
            "translation: ",
            "bits set",
        ] {
            assert!(whole.contains(words), "{words}");
        }
    }

    #[test]
    fn a_ring_that_is_not_there_is_said() {
        use vhost_fuzz_harness::script::{self, Actor, Record};
        let script = script::encode(&[Record::Action {
            actor: Actor::Driver,
            operation: 4,
            arguments: vec![9].into(),
        }]);
        let mut text = String::new();
        explain(&mut text, &script);
        assert_eq!(text, "    1  place    ring 9\n         there is no such ring\n\n");
    }
}
