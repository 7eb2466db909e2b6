//! An input of a ring target: a script step by step, an image descriptor by descriptor, with what
//! the model of a ring answers.

use std::fmt::Write as _;

use vhost_fuzz_core::ring::{Layout as Form, PackedQueue, SplitQueue, flag};
use vhost_fuzz_harness::ram::Layout;
use vhost_fuzz_harness::ring::image::{HEADER_LEN, SIZES, steps as image_steps, table_address};
use vhost_fuzz_harness::ring::step::steps;
use vhost_fuzz_harness::ring::step::{DESCRIPTOR_LEN, Descriptors, Start, Step, feature};
use vhost_fuzz_harness::ring::target::{check_image, check_script};

use super::{number, quietly};
use crate::corpus::judge::{RingAnswer as Answer, Rings, ring_form};
use crate::corpus::summary;

/// Most bytes of a write that are printed.
const BYTES_SHOWN: usize = 32;

/// Prints the steps of a script with what comes of each.
pub(super) fn explain_script(text: &mut String, target: &str, input: &[u8]) {
    super::script::version(text, input);
    let form = ring_form(target);
    let mut rings = Rings::new(form);
    for (line, step) in (1..).zip(steps(input)) {
        let _ = writeln!(text, "{line:>5}  {}", in_words(form, &step));
        print_answers(text, form, &rings.step(&step));
    }
    end(text, &rings);
    let outcome = quietly(|| match form {
        Form::Split => check_script::<SplitQueue>(input),
        Form::Packed => check_script::<PackedQueue>(input),
    });
    if let Err(panic) = outcome {
        let _ = writeln!(text, "the code does not agree: {panic}");
    }
}

/// Prints the fields of an image, then the steps that it stands for.
pub(super) fn explain_image(text: &mut String, target: &str, input: &[u8]) {
    let form = ring_form(target);
    let Some(steps) = image_steps(form, input) else {
        text.push_str("too short for an image\n");
        return;
    };
    print_image(text, form, input);
    let mut rings = Rings::new(form);
    for (line, step) in (1..).zip(&steps) {
        let _ = writeln!(text, "{line:>5}  {}", in_words(form, step));
        print_answers(text, form, &rings.step(step));
    }
    end(text, &rings);
    let outcome = quietly(|| match form {
        Form::Split => check_image::<SplitQueue>(input),
        Form::Packed => check_image::<PackedQueue>(input),
    });
    if let Err(panic) = outcome {
        let _ = writeln!(text, "the code does not agree: {panic}");
    }
}

fn end(text: &mut String, rings: &Rings) {
    let broken: Vec<_> = rings.broken.iter().map(ToString::to_string).collect();
    let broken = if broken.is_empty() { "nothing".to_owned() } else { broken.join(", ") };
    let operations = summary::count(rings.operations, "operation");
    let _ = writeln!(text, "\n{operations}, broken: {broken}");
}

fn print_image(text: &mut String, form: Form, input: &[u8]) {
    let Some((&[kind, .., first], rest)) = input.split_first_chunk::<HEADER_LEN>() else { return };
    let size = SIZES[usize::from(kind & 7)];
    let layout = if kind & 8 == 0 { Layout::Small } else { Layout::Odd };
    let (ring, table) = rest.split_at(rest.len().min(16 * usize::from(size)));
    let what = match form {
        Form::Split => format!("head {first}"),
        Form::Packed => format!("first slot {}", u16::from(first) % size),
    };
    let _ = writeln!(text, "{form:?} ring of {size} in {layout:?} memory, {what}");
    print_entries(text, form, "descriptor", 0, ring);
    if !table.is_empty() {
        let _ = writeln!(text, "at {:#x}:", table_address(layout));
        print_entries(text, form, "entry", 0, table);
    }
    text.push('\n');
}

/// Descriptors as they are in memory; those that are zero are only counted.
fn print_entries(text: &mut String, form: Form, what: &str, from: usize, bytes: &[u8]) {
    let mut zeros = 0;
    for (at, entry) in (from..).zip(bytes.chunks(16)) {
        if entry.iter().all(|byte| *byte == 0) {
            zeros += 1;
            continue;
        }
        let _ = match entry.try_into() {
            Ok(entry) => writeln!(text, "{at:>5}  {what:<10} {}", raw_in_words(form, entry)),
            Err(_) => writeln!(text, "{at:>5}  {what:<10} cut: {entry:02x?}"),
        };
    }
    if zeros > 0 {
        let _ = writeln!(text, "       {} of zeros", summary::count(zeros, "place"));
    }
}

fn raw_in_words(form: Form, entry: &[u8; 16]) -> String {
    let [address @ .., l0, l1, l2, l3, t0, t1, f0, f1] = *entry;
    let address = u64::from_le_bytes(address);
    let len = u32::from_le_bytes([l0, l1, l2, l3]);
    let (third, fourth) = (u16::from_le_bytes([t0, t1]), u16::from_le_bytes([f0, f1]));
    let (flags, rest) = match form {
        Form::Split => (third, format!("next {fourth}")),
        Form::Packed => (fourth, format!("id {third:#x}")),
    };
    format!("{}, {rest}", descriptor_in_words(address, len, flags))
}

fn descriptor_in_words(address: u64, len: u32, flags: u16) -> String {
    format!("{address:#x}, {} bytes, {}", number(len.into()), flags_in_words(flags))
}

fn flags_in_words(flags: u16) -> String {
    let names = [
        (flag::NEXT, "NEXT"),
        (flag::WRITE, "WRITE"),
        (flag::INDIRECT, "INDIRECT"),
        (flag::AVAIL, "AVAIL"),
        (flag::USED, "USED"),
    ];
    let mut words = Vec::new();
    let mut rest = flags;
    for (bit, name) in names {
        if flags & bit != 0 {
            words.push(name.to_owned());
            rest &= !bit;
        }
    }
    if rest != 0 || words.is_empty() {
        words.push(format!("{rest:#x}"));
    }
    words.join("|")
}

/// A step, on a line; descriptors on lines of their own.
fn in_words(form: Form, step: &Step<'_>) -> String {
    match step {
        Step::Start(start) => start_in_words(form, start),
        Step::Poke { address, bytes } => {
            let shown = &bytes[..bytes.len().min(BYTES_SHOWN)];
            let more = if shown.len() < bytes.len() { " …" } else { "" };
            let count = summary::count(bytes.len(), "byte");
            format!("memory   {address:#x}: {count} {shown:02x?}{more}")
        }
        Step::Wake => "device   wakes up".to_owned(),
        Step::Pop { count } => {
            format!("device   takes {}", summary::count((*count).max(1).into(), "chain"))
        }
        Step::Unpop { which } => {
            format!("device   takes back that it took buffer {which}, counted from the newest")
        }
        Step::Put { which, len } => {
            format!("device   gives back buffer {which} of those that are out, length {len:#x}")
        }
        Step::Batch { count, len } => {
            format!("device   gives back the oldest {count} as a batch, length {len:#x}")
        }
        Step::Publish => "device   publishes".to_owned(),
        Step::Arm => "device   asks for kicks".to_owned(),
        Step::Disarm => "device   asks for no kicks".to_owned(),
        Step::Restart { is_fresh: false } => "device   stops, and starts where it was".to_owned(),
        Step::Restart { is_fresh: true } => "device   stops, and starts afresh".to_owned(),
        Step::Memory { regions } => format!("memory   has the regions {regions:#010b}"),
        Step::Read { border, len } => {
            format!("device   reads {len} bytes at a time, cut at {border}")
        }
        Step::Write { len } => format!("device   writes {}", summary::count((*len).into(), "byte")),
        Step::Chain { id, descriptors } => {
            let what = if form == Form::Split { "head" } else { "id" };
            format!("driver   makes {what} {id:#x} available{}", list(descriptors))
        }
        Step::Table { address, descriptors } => {
            format!("driver   writes a table at {address:#x}{}", list(descriptors))
        }
        Step::Wish { flags, event } => {
            format!("driver   says: flags {flags:#x}, event {event:#x}")
        }
        Step::Advance { by } => format!("driver   moves its index by {by:#x}"),
    }
}

fn start_in_words(form: Form, start: &Start) -> String {
    let Start { layout, size, features, cap, base, parts } = start;
    let names = [
        (feature::EVENT_IDX, "EVENT_IDX"),
        (feature::INDIRECT, "INDIRECT"),
        (feature::IN_ORDER, "IN_ORDER"),
        (feature::LEGACY, "legacy"),
        (feature::LENIENT, "lenient"),
    ];
    let names = names.into_iter().filter(|(bit, _)| features & bit != 0).map(|(_, name)| name);
    let features: Vec<_> = names.collect();
    let [descriptor, driver, device] = parts;
    let cap = if *cap == 0 { String::new() } else { format!(", tables of at most {cap}") };
    format!(
        "start    {form:?} ring of {size} in {layout:?} memory from {base:#x}, [{}]{cap}\n         \
         parts at {descriptor:#x}, {driver:#x}, {device:#x}",
        features.join(", ")
    )
}

fn list(descriptors: &Descriptors<'_>) -> String {
    let lines = descriptors
        .iter()
        .map(|it| format!("\n           {}", descriptor_in_words(it.address, it.len, it.flags)));
    let mut text: String = lines.collect();
    let rest = descriptors.0.len() % DESCRIPTOR_LEN;
    if rest > 0 {
        let _ = write!(text, "\n           and {}", summary::count(rest, "byte"));
    }
    text
}

fn print_answers(text: &mut String, form: Form, answers: &[Answer]) {
    for answer in answers {
        let _ = writeln!(text, "         {}", answer_in_words(form, answer));
    }
}

fn answer_in_words(form: Form, answer: &Answer) -> String {
    let rules = Rings::rules_of(form);
    match answer {
        Answer::Started => "it runs".to_owned(),
        Answer::Refused(refusal) => format!("refused, {}: {refusal:x?}", refusal.rule(rules)),
        Answer::Down => "the ring does not run".to_owned(),
        Answer::Stopped(stop) => format!("broken, {}: {stop:x?}", stop.rule(rules)),
        Answer::Taken(token, chain) => {
            let elements = chain.elements.iter().map(|element| {
                let kind = if element.writable { 'w' } else { 'r' };
                format!(" {kind}:{:#x}+{:#x}", element.address, element.len)
            });
            format!(
                "takes {:#x}, {}, {} readable and {} writable bytes:{}",
                token.id,
                summary::count(token.slots.into(), "slot"),
                chain.readable,
                chain.writable,
                elements.collect::<String>()
            )
        }
        Answer::Dropped(token, error) => format!(
            "takes {:#x}, {}, malformed, {}: {error:x?}",
            token.id,
            summary::count(token.slots.into(), "slot"),
            error.rule(rules)
        ),
        Answer::Empty => "nothing is available".to_owned(),
        Answer::Yield => "enough for one wake-up".to_owned(),
        Answer::Given(count) => format!("{} given back", summary::count(*count, "buffer")),
        Answer::Kept(refusal) => format!("not given back, {}: {refusal:x?}", refusal.rule(rules)),
        Answer::Call(true) => "the driver is called".to_owned(),
        Answer::Call(false) => "the driver is not called".to_owned(),
        Answer::More(true) => "more is available already".to_owned(),
        Answer::More(false) => "nothing more is available".to_owned(),
        Answer::Untaken => "as if it had not been taken".to_owned(),
        Answer::Written(count) => format!("{} written", summary::count((*count).into(), "byte")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vhost_fuzz_harness::ring::step::Descriptor;
    use vhost_fuzz_harness::script;

    fn explained(target: &str, steps: &[Step<'_>]) -> String {
        let records: Vec<_> = steps.iter().map(Step::record).collect();
        let mut text = String::new();
        explain_script(&mut text, target, &script::encode(&records));
        text
    }

    #[test]
    fn a_script_is_told_with_what_comes_of_it() {
        let descriptors = [
            Descriptor { address: 0x1_2000, len: 20, flags: flag::NEXT },
            Descriptor { address: 0x1_3000, len: 4, flags: flag::WRITE | 0x40 },
        ];
        let text = explained(
            "split_ring",
            &[
                Step::Start(Start::of(4, 0)),
                Step::Chain { id: 2, descriptors: descriptors.into_iter().collect() },
                Step::Chain { id: 9, descriptors: Descriptors(vec![].into()) },
                Step::Pop { count: 3 },
                Step::Put { which: 0, len: 5 },
            ],
        );
        for line in [
            "    1  start    Split ring of 4 in Small memory from 0x0, [EVENT_IDX, INDIRECT]",
            "    2  driver   makes head 0x2 available",
            "           0x12000, 0x14 (20) bytes, NEXT",
            "           0x13000, 4 bytes, WRITE|0x40",
            "    4  device   takes 3 chains",
            "takes 0x2, 1 slot, 20 readable and 4 writable bytes: r:0x12000+0x14 w:0x13000+0x4",
            "broken, VQ-023: Head { head: 9, size: 4 }",
            "not given back, VQ-068",
            "5 operations, broken: VQ-023",
        ] {
            assert!(text.contains(line), "{line}\nis not in\n{text}");
        }
        assert!(!text.contains("does not agree"), "{text}");
    }

    #[test]
    fn an_image_is_told_descriptor_by_descriptor() {
        let mut image = vec![2, 2, 0, 0];
        image.extend([0, 0x20, 1, 0, 0, 0, 0, 0, 16, 0, 0, 0, 7, 0, 0x80, 0]);
        let mut text = String::new();
        explain_image(&mut text, "packed_chain", &image);
        for line in [
            "Packed ring of 4 in Small memory, first slot 0",
            "    0  descriptor 0x12000, 0x10 (16) bytes, AVAIL, id 0x7",
            "takes 0x7, 1 slot, 16 readable and 0 writable bytes: r:0x12000+0x10",
            "broken: nothing",
        ] {
            assert!(text.contains(line), "{line}\nis not in\n{text}");
        }
        text.clear();
        explain_image(&mut text, "packed_chain", &image[..3]);
        assert_eq!(text, "too short for an image\n");
    }
}
