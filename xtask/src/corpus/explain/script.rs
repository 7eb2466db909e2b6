//! An input of `msg_stream`, record by record.

use std::fmt::Write as _;

use vhost_fuzz_core::vhost_user::{Framer, Kind, Layout, Segment};
use vhost_fuzz_harness::oracle::stream::LIMIT;
use vhost_fuzz_harness::script::{self, Actor, Record};
use vhost_fuzz_harness::target::msg_stream;

use super::{dump, quietly};
use crate::corpus::{judge, summary};

/// Prints the records with the messages that they complete, then how each stream ends.
pub(super) fn explain(text: &mut String, input: &[u8]) {
    version(text, input);
    let records = script::decode(input);
    let mut streams = Streams::default();
    for (number, record) in (1..).zip(&records) {
        let _ = writeln!(text, "{number:>5}  {}", in_words(record));
        streams.record(text, record);
    }
    streams.end(text);
    skipped(text, input, &records);
    text.push('\n');
    for (number, stream) in (1..).zip(msg_stream::streams(input)) {
        let outcome = judge::judge_stream(&stream);
        let end = outcome.error.map_or("ends well".to_owned(), |id| format!("breaks {id}"));
        let _ = writeln!(
            text,
            "stream {number}, {}: {} in {}, {end}",
            summary::kind(stream.kind),
            summary::count(outcome.messages.len(), "message"),
            summary::count(stream.segments.len(), "segment"),
        );
    }
}

/// Says why an input has no records, if that is so.
pub(super) fn version(text: &mut String, input: &[u8]) {
    match input.first() {
        Some(&script::VERSION) => {}
        Some(version) => {
            let _ = writeln!(
                text,
                "version {version}, not {}: this script has no records",
                script::VERSION
            );
        }
        None => text.push_str("an empty input: a script without records\n"),
    }
}

/// Says how many bytes are no records.
pub(super) fn skipped(text: &mut String, input: &[u8], records: &[Record<'_>]) {
    let skipped = input.len().saturating_sub(script::encode(records).len());
    if skipped > 0 && input.first() == Some(&script::VERSION) {
        let _ = writeln!(text, "       {} without a record", summary::count(skipped, "byte"));
    }
}

pub(super) fn in_words(record: &Record<'_>) -> String {
    match record {
        Record::Message { kind, bytes } => {
            format!("message  {}, {}", summary::kind(*kind), summary::count(bytes.len(), "byte"))
        }
        Record::Fd { kind, seals, size } => {
            let mut words = format!("fd       {}", summary::fd(*kind));
            if *size > 0 {
                let _ = write!(words, " of {size:#x} bytes");
            }
            if *seals > 0 {
                let _ = write!(words, ", seals {seals:#x}");
            }
            words
        }
        Record::Border => "border".to_owned(),
        Record::ControlTruncated => "control data of the next message is cut".to_owned(),
        Record::Close => "close".to_owned(),
        Record::Reconnect => "reconnect".to_owned(),
        Record::GuestWrite { address, bytes } => {
            format!("guest    writes {} at {address:#x}", summary::count(bytes.len(), "byte"))
        }
        Record::Action { actor, operation, arguments } => {
            let actor = match actor {
                Actor::Driver => "driver ",
                Actor::Device => "device ",
            };
            format!("{actor}  operation {operation}, arguments {arguments:02x?}")
        }
        Record::EffectResult { is_ok: true, value } => format!("effect   succeeds with {value:#x}"),
        Record::EffectResult { is_ok: false, value } => format!("effect   fails with {value:#x}"),
    }
}

/// What the code makes of the streams of one connection.
#[derive(Default)]
pub(super) struct Streams {
    framers: [Option<Stream>; 4],
    fds: usize,
    control_truncated: bool,
}

struct Stream {
    kind: Kind,
    framer: Framer<()>,
    /// Bytes of a message that is not whole.
    open: usize,
    /// The stream has failed, or its code has panicked.
    is_over: bool,
}

impl Streams {
    /// Prints the messages that a record makes whole.
    pub(super) fn record(&mut self, text: &mut String, record: &Record<'_>) {
        match record {
            Record::Fd { .. } => self.fds += 1,
            Record::ControlTruncated => self.control_truncated = true,
            Record::Close | Record::Reconnect => self.end(text),
            Record::Message { kind, bytes } => {
                let fds = std::mem::take(&mut self.fds);
                let cut = std::mem::take(&mut self.control_truncated);
                let Some(at) = Kind::ALL.iter().position(|other| other == kind) else { return };
                let stream = self.framers[at].get_or_insert_with(|| Stream {
                    kind: *kind,
                    framer: Framer::new(*kind, LIMIT),
                    open: 0,
                    is_over: false,
                });
                stream.receive(text, bytes, fds, cut);
            }
            _ => {}
        }
    }

    /// The descriptors so far came with a message that is not for these streams.
    pub(super) fn forget_fds(&mut self) {
        self.fds = 0;
        self.control_truncated = false;
    }

    /// The connection ends: says which streams that cuts.
    pub(super) fn end(&mut self, text: &mut String) {
        for mut stream in std::mem::take(self).framers.into_iter().flatten() {
            if !stream.is_over
                && let Ok(Err(error)) = quietly(|| stream.framer.finish())
            {
                let name = summary::kind(stream.kind);
                line(text, &format!("{name}, refused: {error} ({})", error.rule()));
            }
        }
    }
}

impl Stream {
    fn receive(&mut self, text: &mut String, bytes: &[u8], fds: usize, control_truncated: bool) {
        if self.is_over {
            return line(text, "(after the end of the stream)");
        }
        let mut rest = bytes;
        let mut fds = vec![(); fds];
        let mut control_truncated = control_truncated;
        loop {
            let fds = std::mem::take(&mut fds);
            let pushed =
                quietly(|| self.framer.push(Segment { bytes: rest, fds, control_truncated }));
            control_truncated = false;
            let taken = match pushed {
                Ok(Ok(taken)) => taken,
                Ok(Err(error)) => {
                    self.is_over = true;
                    line(text, &format!("refused: {error} ({})", error.rule()));
                    return dump(text, 0, "not taken", rest);
                }
                Err(panic) => {
                    self.is_over = true;
                    return line(text, &format!("the code panics: {panic}"));
                }
            };
            self.open += taken;
            rest = rest.get(taken..).unwrap_or_default();
            let is_whole = self.take(text);
            if rest.is_empty() || taken == 0 && !is_whole {
                break;
            }
        }
        if self.open > 0 {
            line(text, &format!("({} of a message so far)", summary::count(self.open, "byte")));
        }
    }

    /// Prints a message that has become whole.
    fn take(&mut self, text: &mut String) -> bool {
        let taken = quietly(|| {
            self.framer.take().map(|frame| {
                let fds = summary::count(frame.fds.len(), "descriptor");
                let name = summary::name(frame.kind, judge::code(frame.bytes));
                match frame.decode(Layout::default()) {
                    Ok(message) => format!("{message}; {fds}"),
                    Err(error) => format!("{name}; {fds}; its codec says: {error}"),
                }
            })
        });
        match taken {
            Ok(None) => return false,
            Ok(Some(message)) => line(text, &message),
            Err(panic) => line(text, &format!("the code panics: {panic}")),
        }
        self.open = 0;
        true
    }
}

/// A line about the record above it.
pub(super) fn line(text: &mut String, what: &str) {
    let _ = writeln!(text, "         {what}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use vhost_fuzz_harness::script::FdKind;

    fn message(words: &[u32]) -> Record<'static> {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        Record::Message { kind: Kind::FRONTEND_REQUEST, bytes: bytes.into() }
    }

    fn explained(input: &[u8]) -> String {
        let mut text = String::new();
        explain(&mut text, input);
        text
    }

    #[test]
    fn records_and_the_messages_they_complete_are_printed() {
        let input = script::encode(&[
            Record::Fd { kind: FdKind::EVENTFD, seals: 0, size: 0 },
            message(&[12, 1]),
            Record::Border,
            message(&[8, 0, 0]),
            message(&[1, 1, 0]),
            Record::Fd { kind: FdKind::MEMFD, seals: 1, size: 4096 },
            Record::Close,
        ]);
        assert_eq!(
            explained(&input),
            "\u{20}   1  fd       eventfd\n\
             \u{20}   2  message  front-end requests, 8 bytes\n\
             \u{20}        (8 bytes of a message so far)\n\
             \u{20}   3  border\n\
             \u{20}   4  message  front-end requests, 12 bytes\n\
             \u{20}        SET_VRING_KICK index=0; 1 descriptor\n\
             \u{20}   5  message  front-end requests, 12 bytes\n\
             \u{20}        GET_FEATURES; 0 descriptors\n\
             \u{20}   6  fd       memfd of 0x1000 bytes, seals 0x1\n\
             \u{20}   7  close\n\
             \n\
             stream 1, front-end requests: 2 messages in 2 segments, ends well\n"
        );
    }

    #[test]
    fn the_end_of_a_stream_says_why() {
        let input = script::encode(&[message(&[1, 2, 0]), message(&[1, 1, 0])]);
        let text = explained(&input);
        assert!(text.contains("refused: protocol version 2, not 1 (VU-011)"), "{text}");
        assert!(text.contains("(after the end of the stream)"), "{text}");
        assert!(text.contains("0 messages in 1 segment, breaks VU-011"), "{text}");

        let input = script::encode(&[message(&[1, 1]), Record::Reconnect, message(&[1, 1, 0])]);
        let text = explained(&input);
        assert!(text.contains("refused: the stream ended after 8 of 12 header bytes"), "{text}");
        assert!(text.contains("stream 2, front-end requests: 1 message in 1 segment, ends well"));
    }

    #[test]
    fn what_is_no_script_says_so() {
        assert!(explained(&[]).starts_with("an empty input"));
        assert!(explained(&[9, 9]).starts_with("version 9, not 1"));
        let mut input = script::encode(&[Record::Border]);
        input.extend([0xee, 2, 0, 7, 7]);
        assert!(explained(&input).contains("5 bytes without a record"));
    }

    #[test]
    fn every_kind_of_record_has_words() {
        let records = [
            Record::ControlTruncated,
            Record::GuestWrite { address: 0x1000, bytes: vec![1].into() },
            Record::Action { actor: Actor::Driver, operation: 4, arguments: vec![].into() },
            Record::Action { actor: Actor::Device, operation: 5, arguments: vec![1].into() },
            Record::EffectResult { is_ok: true, value: 7 },
            Record::EffectResult { is_ok: false, value: 5 },
            Record::Fd { kind: FdKind(99), seals: 0, size: 0 },
        ];
        let text = explained(&script::encode(&records));
        for words in [
            "is cut",
            "1 byte at 0x1000",
            "driver   operation 4",
            "device   operation 5",
            "succeeds",
            "fails",
            "unknown kind 99",
        ] {
            assert!(text.contains(words), "{words} in {text}");
        }
    }
}
