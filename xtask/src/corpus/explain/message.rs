//! An input of `msg_decode`, field by field.

use std::fmt::Write as _;

use vhost_fuzz_core::vhost_user::{Channel, Direction, Flags, HEADER_LEN, Layout, Message};
use vhost_fuzz_harness::context::Context;
use vhost_fuzz_model::Verdict;
use vhost_fuzz_model::vhost_user::message::{self as model, Meaning};
use vhost_fuzz_model::vhost_user::number as read;
use vhost_fuzz_model::vhost_user::table::Field;

use super::{dump, number, quietly, row};
use crate::corpus::{judge, summary};

/// Prints context, header, payload and what the code makes of it.
pub(super) fn explain(text: &mut String, input: &[u8]) {
    let (bytes, context) = Context::split(input);
    let _ = writeln!(text, "context: {}", in_words(&context));
    let _ = writeln!(text, "offset  size  field              value");
    header(text, context, bytes);
    if let Some(body) = bytes.get(HEADER_LEN..) {
        payload(text, context, bytes, body);
    }
    if bytes.len() < input.len() {
        dump(text, bytes.len(), "context", &input[bytes.len()..]);
    }
    text.push('\n');
    let decoded = quietly(|| {
        let Context { kind, layout, fds } = context;
        match Message::decode(kind, layout, bytes, fds) {
            Ok(message) => format!("message: {message}"),
            Err(error) => format!("refused: {error}"),
        }
    });
    let _ = match decoded {
        Ok(line) => writeln!(text, "{line}"),
        Err(panic) => writeln!(text, "the code panics: {panic}"),
    };
}

/// `main channel, request, 1 descriptor, XEN_MMAP negotiated`.
fn in_words(context: &Context) -> String {
    let Context { kind, layout, fds } = context;
    let channel = match kind.channel {
        Channel::Main => "main channel",
        Channel::Backend => "back-end channel",
    };
    let direction = match kind.direction {
        Direction::Request => "request",
        Direction::Reply => "reply",
    };
    let mut words = format!("{channel}, {direction}, {}", summary::count(*fds, "descriptor"));
    let Layout { xen_mmap, log_shmfd, postcopy_ack } = layout;
    for (is_on, what) in [
        (xen_mmap, "XEN_MMAP negotiated"),
        (log_shmfd, "LOG_SHMFD negotiated"),
        (postcopy_ack, "a postcopy acknowledgement is due"),
    ] {
        if *is_on {
            words += ", ";
            words += what;
        }
    }
    words
}

fn header(text: &mut String, context: Context, bytes: &[u8]) {
    let word = |at: usize| (bytes.len() >= at + 4).then(|| read(bytes, at, 4));
    if let Some(code) = word(0) {
        let name = summary::name(context.kind, judge::code(bytes));
        row(text, 0, 4, "request", &format!("{} {name}", number(code)));
    }
    if let Some(flags) = word(4) {
        row(text, 4, 4, "flags", &flags_in_words(u32::try_from(flags).unwrap_or(u32::MAX)));
    }
    if let Some(size) = word(8) {
        let have = bytes.len() - HEADER_LEN;
        let differs = size != have as u64;
        let note = if differs { format!(", but {have} bytes follow") } else { String::new() };
        row(text, 8, 4, "size", &format!("{}{note}", number(size)));
    }
    if bytes.len() < HEADER_LEN {
        let rest = bytes.len() / 4 * 4;
        dump(text, rest, "cut", &bytes[rest..]);
    }
}

fn flags_in_words(bits: u32) -> String {
    let flags = Flags(bits);
    let mut words = format!("{bits:#x} version {}", flags.version());
    if flags.is_reply() {
        words += ", reply";
    }
    if flags.needs_reply() {
        words += ", need_reply";
    }
    if flags.reserved() != 0 {
        let _ = write!(words, ", reserved {:#x}", flags.reserved());
    }
    words
}

fn payload(text: &mut String, context: Context, bytes: &[u8], body: &[u8]) {
    let Some((meaning, is_legal)) = meaning(context, bytes) else {
        dump(text, HEADER_LEN, "payload", body);
        return;
    };
    if !is_legal && !body.is_empty() {
        let _ = writeln!(text, "  (fields as in a message whose flags and descriptors are right)");
    }
    fields(text, meaning.fields, 0, "", body);
    let len = |fields: &[Field]| fields.last().map_or(0, |field| field.offset + field.width);
    let front = len(meaning.fields);
    for index in 0..meaning.regions {
        let base = front + index * len(meaning.region);
        fields(text, meaning.region, base, &format!("[{index}] "), body);
    }
    let rest = body.get(meaning.rest..).unwrap_or_default();
    dump(text, HEADER_LEN + meaning.rest, "data", rest);
}

/// Where the fields are. When the message is refused for its flags, its length or its
/// descriptors alone, they are where they would be otherwise; that is told too.
fn meaning(context: Context, bytes: &[u8]) -> Option<(Meaning, bool)> {
    let judge = |bytes: &[u8], fds: usize| match model::judge(context.model(), bytes, fds) {
        Verdict::Accept(meaning) => Some(meaning),
        Verdict::Reject(_) => None,
    };
    if let Some(meaning) = judge(bytes, context.fds) {
        return Some((meaning, true));
    }
    let mut mended = bytes.to_vec();
    let flags = match context.kind.direction {
        Direction::Request => Flags::REQUEST,
        Direction::Reply => Flags::REPLY,
    };
    let size = u32::try_from(bytes.len().checked_sub(HEADER_LEN)?).ok()?;
    mended.get_mut(4..8)?.copy_from_slice(&flags.0.to_ne_bytes());
    mended.get_mut(8..HEADER_LEN)?.copy_from_slice(&size.to_ne_bytes());
    let fds = model::natural_fds(context.model(), &mended);
    judge(&mended, fds).map(|meaning| (meaning, false))
}

fn fields(text: &mut String, fields: &[Field], base: usize, prefix: &str, body: &[u8]) {
    for field in fields {
        let at = base + field.offset;
        let name = format!("{prefix}{}", field.name);
        let Some(bytes) = body.get(at..at + field.width) else { return };
        if field.is_number {
            row(text, HEADER_LEN + at, field.width, &name, &number(read(bytes, 0, field.width)));
        } else {
            dump(text, HEADER_LEN + at, &name, bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vhost_fuzz_core::vhost_user::Kind;
    use vhost_fuzz_harness::{fields as visited, seeds};

    fn explained(input: &[u8]) -> String {
        let mut text = String::new();
        explain(&mut text, input);
        text
    }

    fn words(values: &[u32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_ne_bytes()).collect()
    }

    #[test]
    fn a_message_is_printed_field_by_field() {
        let text = explained(&words(&[8, 9, 8, 1, 256]));
        assert_eq!(
            text,
            "context: main channel, request, 0 descriptors\n\
             offset  size  field              value\n\
             \u{20}    0     4  request            8 SET_VRING_NUM\n\
             \u{20}    4     4  flags              0x9 version 1, need_reply\n\
             \u{20}    8     4  size               8\n\
             \u{20}   12     4  index              1\n\
             \u{20}   16     4  num                0x100 (256)\n\
             \n\
             message: SET_VRING_NUM need_reply index=1 num=256\n"
        );
    }

    #[test]
    fn every_field_of_every_form_is_there_in_order() {
        for form in seeds::forms() {
            let Context { kind, layout, fds } = form.context;
            let message = Message::decode(kind, layout, &form.bytes, fds).expect("a legal form");
            let text = explained(&form.input());
            let mut rest = &text[..];
            visited::visit(&message, |name, value| {
                let name = if name == "rest" { "data" } else { name };
                if value == visited::Value::Bytes(&[]) {
                    return;
                }
                let at = rest.find(name).unwrap_or_else(|| panic!("{name} in {text}"));
                rest = &rest[at + name.len()..];
            });
        }
    }

    #[test]
    fn a_refused_message_still_has_fields_where_they_are_certain() {
        // The flags are wrong, the fields are not.
        let text = explained(&words(&[8, 0xd, 8, 1, 256]));
        assert!(text.contains("refused: "), "{text}");
        assert!(text.contains("(fields as in a message"), "{text}");
        // The length is: bytes without names.
        let text = explained(&words(&[8, 1, 4, 1]));
        assert!(text.contains("    12     4  payload            01 00 00 00"), "{text}");
        let text = explained(&words(&[8, 1, 9, 1]));
        assert!(text.contains("size               9, but 4 bytes follow"), "{text}");
    }

    #[test]
    fn cut_headers_and_contexts_are_printed() {
        assert!(explained(&[]).contains("refused: 0 bytes"));
        let text = explained(&words(&[8, 1])[..6]);
        assert!(text.contains("request            8 SET_VRING_NUM"), "{text}");
        assert!(text.contains("     4     2  cut                01 00"), "{text}");
        let layout = Layout { xen_mmap: true, log_shmfd: true, postcopy_ack: true };
        let context = Context { layout, ..Context::plain(Kind::BACKEND_REQUEST, 3) };
        let text = explained(&context.join(&words(&[2, 1, 0])));
        assert!(text.starts_with("context: back-end channel, request, 3 descriptors, XEN_MMAP"));
        assert!(text.contains("    12     2  context "), "{text}");
    }
}
