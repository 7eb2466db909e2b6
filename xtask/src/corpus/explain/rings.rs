//! An input of `ring_equivalence`, step by step.

use std::fmt::Write as _;

use vhost_fuzz_harness::equivalence::device::Core;
use vhost_fuzz_harness::equivalence::driver::{Features, Wish};
use vhost_fuzz_harness::equivalence::plan::{Form, Plan, Request};
use vhost_fuzz_harness::target::ring_equivalence::{self, Mark, Setup, Step};

use super::quietly;
use crate::corpus::summary::{count as number, plural};

/// Prints the steps, and what the code makes of them.
pub(super) fn explain(text: &mut String, input: &[u8]) {
    let mut has_tables = Setup::default().features.indirect;
    for (line, step) in (1..).zip(ring_equivalence::steps(input)) {
        if let Step::Start(setup) = step {
            has_tables = setup.features.indirect;
        }
        let _ = writeln!(text, "{line:>5}  {}", in_words(&step, has_tables));
    }
    text.push('\n');
    match quietly(|| ring_equivalence::check::<Core>(input)) {
        Ok(outcome) => {
            let _ = writeln!(text, "{}", plural(outcome.deliveries, "delivery", "deliveries"));
            for mark in Mark::ALL.iter().filter(|mark| outcome.marks.has(**mark)) {
                let _ = writeln!(text, "came through: {mark:?}");
            }
        }
        Err(panic) => _ = writeln!(text, "the code panics: {panic}"),
    }
}

fn in_words(step: &Step, has_tables: bool) -> String {
    match *step {
        Step::Start(Setup { split, packed, features, at }) => format!(
            "start     split ring of {split}, packed ring of {packed}, at {at:#06x}{}",
            negotiated(features)
        ),
        Step::Request(request) => {
            format!("driver    has a request: {}", laid(&request, has_tables))
        }
        Step::Offer { count } => format!("driver    offers {}", number(count, "request")),
        Step::Reap => "driver    looks what was used".to_owned(),
        Step::Want(wish) => match wish {
            Wish::Always => "driver    wants every call".to_owned(),
            Wish::Never => "driver    wants no calls".to_owned(),
            Wish::After(count) => format!("driver    wants a call after {count} more"),
        },
        Step::Take { count } => format!("device    takes at most {}", number(count, "request")),
        Step::Complete { which, len } => {
            format!("device    completes number {which} of those that it has, {len} bytes")
        }
        Step::Publish => "device    shows what it completed".to_owned(),
        Step::Arm => "device    asks for kicks".to_owned(),
        Step::Disarm => "device    asks for no kicks".to_owned(),
        Step::Restart => "device    stops and starts".to_owned(),
        Step::Batch { count, len } => {
            format!("device    completes {} at once, {len} bytes", number(count, "request"))
        }
    }
}

fn negotiated(Features { event_idx, indirect, in_order }: Features) -> String {
    [(event_idx, "EVENT_IDX"), (indirect, "INDIRECT_DESC"), (in_order, "IN_ORDER")]
        .into_iter()
        .filter(|(is_on, _)| *is_on)
        .fold(String::new(), |text, (_, name)| text + ", " + name)
}

fn laid(request: &Request, has_tables: bool) -> String {
    let Request { readable, writable, style } = *request;
    let plan = Plan::new(request, 0, has_tables);
    let table = match plan.form {
        Form::Direct => String::new(),
        Form::Table { from, .. } => {
            format!(", {} of them in a table", plan.elements.len() - from)
        }
    };
    let descriptors = number(plan.elements.len(), "descriptor");
    format!("{readable} to read, {writable} to write, style {:#06x}: {descriptors}{table}", style.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vhost_fuzz_harness::corpus::seeds;

    #[test]
    fn every_seed_is_explained() {
        let mut whole = String::new();
        for seed in seeds("ring_equivalence").expect("a corpus") {
            let mut text = String::new();
            explain(&mut text, &seed.bytes);
            assert!(!text.contains("panics"), "{}: {text}", seed.name);
            whole += &text;
        }
        for words in [
            "split ring of 8, packed ring of 7, at 0x8000, EVENT_IDX",
            "has a request: 8 to read, 8 to write, style 0x0000: 2 descriptors\n",
            "of them in a table",
            "offers 2 requests",
            "wants every call",
            "wants no calls",
            "wants a call after 2 more",
            "takes at most",
            "completes number 4 of those",
            "shows what it completed",
            "asks for kicks",
            "asks for no kicks",
            "stops and starts",
            "completes 5 requests at once, 0 bytes",
            "came through: ListOverTheEnd",
        ] {
            assert!(whole.contains(words), "{words}");
        }
    }
}
