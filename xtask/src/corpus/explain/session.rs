//! An input of `session`, record by record, with what the model of a back-end answers.

use std::fmt::Write as _;

use vhost_fuzz_core::vhost_user::features::{self, Names};
use vhost_fuzz_core::vhost_user::{Kind, Layout, Message};
use vhost_fuzz_harness::script::{self, Record};
use vhost_fuzz_harness::session::offer::ScriptOffer;
use vhost_fuzz_model::session::{Outcome, Step};

use super::script::{Streams, in_words, line, skipped, version};
use crate::corpus::judge::{self, Answer, BackEnd, Heard};
use crate::corpus::summary;

/// Prints what the device offers, then the records with the messages that they complete and what
/// a back-end makes of them.
pub(super) fn explain(text: &mut String, input: &[u8]) {
    version(text, input);
    let records = script::decode(input);
    let offer = ScriptOffer::of_script(&records);
    let has_offer = records.first().is_some_and(|record| ScriptOffer::of_record(record).is_some());
    print_offer(text, &offer);
    let mut back_end = BackEnd::new(&offer);
    let mut streams = Streams::default();
    for (at, record) in records.iter().enumerate() {
        if at == 0 && has_offer {
            let _ = writeln!(text, "{:>5}  device   offers what stands above", 1);
            continue;
        }
        let _ = writeln!(text, "{:>5}  {}", at + 1, in_words(record));
        // The requests of a front-end are printed with their answers.
        match record {
            Record::Message { kind: Kind::FRONTEND_REQUEST, .. } => streams.forget_fds(),
            _ => streams.record(text, record),
        }
        print_heard(text, &back_end.record(record, records.get(at + 1)));
    }
    streams.end(text);
    skipped(text, input, &records);
    text.push('\n');
}

fn print_offer(text: &mut String, offer: &ScriptOffer) {
    let ScriptOffer { device, queues, queue_num, max_queue_size, max_mem_slots, .. } = offer;
    let features = Names(offer.features, features::VIRTIO);
    let protocol = Names(offer.protocol_features, features::PROTOCOL);
    let ScriptOffer { config_len, config_limit, config_writable, page_size, shmem, .. } = offer;
    let windows: Vec<_> =
        config_writable.iter().map(|(start, end)| format!("{start}..{end}")).collect();
    let regions: Vec<_> = shmem.iter().map(|(id, size)| format!("{id}: {size:#x}")).collect();
    let rings = summary::count(usize::from(*queues), "ring");
    let _ = writeln!(
        text,
        "device {device}: {rings} of at most {max_queue_size} entries, GET_QUEUE_NUM {queue_num}, \
         {max_mem_slots} memory slots, pages of {page_size:#x} bytes\n\
         features {features}\n\
         protocol features {protocol}\n\
         configuration {config_len} bytes, up to {config_limit} at once, writable [{}]\n\
         shared memory [{}]\n",
        windows.join(", "),
        regions.join(", "),
    );
}

fn print_heard(text: &mut String, heard: &Heard) {
    if heard.was_heard {
        line(text, "(taken above, while a ring was drained)");
    }
    for answer in &heard.answers {
        print_answer(text, answer);
    }
    if let Some(rule) = heard.broken {
        line(text, &format!("the stream is broken: closes ({rule})"));
    }
}

fn print_answer(text: &mut String, answer: &Answer) {
    let Answer { bytes, fds, layout, effects, step } = answer;
    line(text, &in_words_of(Kind::FRONTEND_REQUEST, *layout, bytes, *fds));
    for (effect, outcome) in effects {
        let end = match outcome {
            Outcome::Failed => "fails".to_owned(),
            Outcome::Done { number, .. } => format!("ends well with {number:#x}"),
        };
        line(text, &format!("  {} {end}", summary::line(&format!("{effect:?}"))));
    }
    match step {
        Step::Silent => line(text, "  no reply"),
        // An effect that nobody ended: the model always gets an answer here.
        Step::Need(effect) => line(text, &format!("  waits for {effect:?}")),
        Step::Close(rule) => line(text, &format!("  refused ({rule}): closes")),
        Step::Reply { bytes, fds, refusal } => {
            let reply = in_words_of(Kind::BACKEND_REPLY, *layout, bytes, *fds);
            let refused = refusal.map_or(String::new(), |rule| format!("refused ({rule}): "));
            line(text, &format!("  {refused}{reply}"));
        }
    }
}

/// A message and its descriptors.
fn in_words_of(kind: Kind, layout: Layout, bytes: &[u8], fds: usize) -> String {
    let count = summary::count(fds, "descriptor");
    let decoded = super::quietly(|| {
        Message::decode(kind, layout, bytes, fds).map(|message| message.to_string())
    });
    let name = summary::name(kind, judge::code(bytes));
    match decoded {
        Ok(Ok(message)) => format!("{}; {count}", summary::line(&message)),
        Ok(Err(error)) => format!("{name}; {count}; its codec says: {error}"),
        Err(panic) => format!("{name}; {count}; the code panics: {panic}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vhost_fuzz_harness::script::FdKind;

    fn message(kind: Kind, words: &[u32]) -> Record<'static> {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        Record::Message { kind, bytes: bytes.into() }
    }

    fn explained(records: &[Record<'_>]) -> String {
        let mut text = String::new();
        explain(&mut text, &script::encode(records));
        text
    }

    #[test]
    fn requests_are_printed_with_effects_and_answers() {
        let ask = |words: &[u32]| message(Kind::FRONTEND_REQUEST, words);
        let fd = Record::Fd { kind: FdKind::EVENTFD, seals: 0, size: 0 };
        let text = explained(&[
            ScriptOffer { queues: 1, ..ScriptOffer::default() }.record(),
            fd,
            ask(&[12, 1, 8, 0, 0]),
            Record::EffectResult { is_ok: true, value: 7 },
            ask(&[11, 1, 8, 0, 0]),
            message(Kind::BACKEND_REPLY, &[11, 5, 8, 0, 7]),
            ask(&[8, 1, 8, 1, 256]),
            ask(&[1, 2]),
            ask(&[0]),
            Record::Close,
        ]);
        for expected in [
            "device 1: 1 ring of at most 1024 entries",
            "configuration 60 bytes, up to 4084 at once, writable [0..32]",
            "shared memory [0: 0x100000, 3: 0x10000]",
            "    1  device   offers what stands above\n",
            "         SET_VRING_KICK index=0; 1 descriptor\n           StartRing(0) ends well",
            "           no reply\n",
            "StopRing { index: 0, drain: true } ends well with 0x7\n",
            "           GET_VRING_BASE reply index=0 base=0x7; 0 descriptors\n",
            "         GET_VRING_BASE reply index=0 base=0x7; 0 descriptors\n",
            "           refused (VU-079): closes\n",
            "         the stream is broken: closes (VU-011)\n",
        ] {
            assert!(text.contains(expected), "{expected}\nis not in\n{text}");
        }
    }

    #[test]
    fn a_refusal_that_is_answered_shows_the_answer() {
        let text = explained(&[
            message(Kind::FRONTEND_REQUEST, &[16, 1, 8, 8, 0]),
            message(Kind::FRONTEND_REQUEST, &[46, 9, 0]),
        ]);
        assert!(text.contains("refused (VU-012): request 46 reply (unknown)"), "{text}");
    }
}
